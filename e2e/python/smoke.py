"""Drives a server with the unmodified Python SDK, in its sync and async forms. Prints one JSON object of what it saw."""
import asyncio
import json
import os

from daytona import AsyncDaytona, CreateSandboxFromSnapshotParams, Daytona, DaytonaConfig

config = DaytonaConfig(api_key=os.environ["DAYTONA_API_KEY"], api_url=os.environ["DAYTONA_API_URL"])
seen = {}


def name_of(call):
    try:
        call()
        return None
    except Exception as error:  # the class is what is looked at
        return type(error).__name__


def sync_form():
    daytona = Daytona(config)
    sandbox = daytona.create(CreateSandboxFromSnapshotParams(language="python", env_vars={"A": "1"}, labels={"suite": "python"}))
    seen["state"] = sandbox.state.value
    seen["code"] = sandbox.process.code_run("print(6 * 7)").result
    seen["exec"] = sandbox.process.exec("echo $A; exit 3").__dict__.get("exit_code")
    sandbox.fs.upload_file(b"hello", "dir/a.txt")
    seen["download"] = sandbox.fs.download_file("dir/a.txt").decode()
    sandbox.fs.upload_file(b"x" * 3_000_000, "big")
    seen["big"] = len(sandbox.fs.download_file("big"))
    seen["files"] = sorted(f.name for f in sandbox.fs.list_files("dir"))
    seen["missing_file"] = name_of(lambda: sandbox.fs.download_file("nowhere"))
    seen["timeout"] = name_of(lambda: sandbox.process.exec("sleep 5", timeout=1))
    sandbox.stop()
    seen["stopped"] = sandbox.state.value
    sandbox.start()
    seen["kept"] = sandbox.fs.download_file("dir/a.txt").decode()
    seen["preview"] = sandbox.get_preview_link(3000).url.split(".")[0].endswith(f"3000-{sandbox.id}")
    sandbox.delete(timeout=60, wait=True)
    seen["gone"] = name_of(lambda: daytona.get(sandbox.id))


async def async_form():
    async with AsyncDaytona(config) as daytona:
        sandbox = await daytona.create()
        seen["async_code"] = (await sandbox.process.code_run("print(1)")).result
        await sandbox.stop()
        seen["async_stopped"] = sandbox.state.value
        await sandbox.delete()


sync_form()
asyncio.run(async_form())
print(json.dumps(seen))
