"""Files: streams, several at once, folders, permissions, search, replace, move, delete, errors."""
import os
import tempfile

from both_forms import error_of, of, play
from daytona import FileDownloadRequest, FileUpload


async def scene(sandbox):
    fs, seen = sandbox.fs, {}
    seen["dirs"] = [await of(sandbox.get_work_dir()), await of(sandbox.get_user_home_dir())]
    await of(fs.create_folder("d/e", "750"))
    with tempfile.TemporaryDirectory() as local:
        path = os.path.join(local, "a")
        with open(path, "wb") as file:
            file.write(b"from a file")
        await of(fs.upload_files([FileUpload(source=b"one", destination="d/one"), FileUpload(source=path, destination="d/é 2")]))
        await of(fs.download_file("d/é 2", os.path.join(local, "b")))
        with open(os.path.join(local, "b"), "rb") as file:
            seen["local"] = file.read().decode()
    progress = []
    await of(fs.upload_file_stream(b"y" * 5_000_000, "d/stream", on_progress=lambda it: progress.append(it.bytes_sent)))
    seen["sent"] = progress[-1]
    received = 0
    stream = await of(fs.download_file_stream("d/stream"))
    if hasattr(stream, "__aiter__"):
        async for chunk in stream:
            received += len(chunk)
    else:
        for chunk in stream:
            received += len(chunk)
    seen["received"] = received
    several = await of(fs.download_files([FileDownloadRequest(source=name) for name in ("d/one", "d/none")]))
    seen["several"] = [[item.source, item.result.decode() if item.result else None, item.error is None] for item in several]

    seen["listed"] = sorted([item.name, item.is_dir, item.size] for item in await of(fs.list_files("d")) if not item.is_dir)
    info = await of(fs.get_file_info("d/e"))
    seen["info"] = [info.is_dir, info.permissions, info.owner, info.group]
    await of(fs.set_file_permissions("d/one", mode="600"))
    seen["mode"] = (await of(fs.get_file_info("d/one"))).permissions
    seen["found"] = [[item.file, item.line, item.content] for item in await of(fs.find_files("d", "one"))]
    seen["matched"] = (await of(fs.search_files("d", "o*"))).files
    seen["replaced"] = [[item.file, item.success] for item in await of(fs.replace_in_files(["d/one"], "one", "two"))]
    await of(fs.move_files("d/one", "d/e/two"))
    seen["moved"] = (await of(fs.download_file("d/e/two"))).decode()
    seen["move_unknown"] = await error_of(lambda: fs.move_files("d/one", "d/x"))
    seen["delete_full"] = await error_of(lambda: fs.delete_file("d"))
    seen["forbidden"] = await error_of(lambda: fs.upload_file(b"x", "/etc/x"))
    await of(fs.delete_file("d", recursive=True))
    seen["deleted"] = await error_of(lambda: fs.get_file_info("d"))
    return seen


play(scene)
