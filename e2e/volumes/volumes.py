"""Volumes as the documentation uses them: create, get, list, share between sandboxes by subpath, outlive them, delete."""
import sys
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "python"))

import asyncio
import json

from both_forms import error_of, of
from daytona import AsyncDaytona, CreateSandboxFromSnapshotParams, Daytona, VolumeMount


async def scene(daytona):
    seen, name = {}, f"python-{uuid.uuid4()}"
    seen["unknown"] = await error_of(lambda: daytona.volume.get(name))
    volume = await of(daytona.volume.get(name, create=True))
    seen["created"] = [volume.name == name, str(getattr(volume.state, "value", volume.state))]
    seen["again"] = (await of(daytona.volume.get(name))).id == volume.id
    seen["listed"] = volume.id in [each.id for each in await of(daytona.volume.list())]
    mount = "/home/daytona/volume"

    async def sandbox(subpath=None, by=volume.id):
        return await of(daytona.create(CreateSandboxFromSnapshotParams(
            language="python", volumes=[VolumeMount(volume_id=by, mount_path=mount, **({"subpath": subpath} if subpath else {}))])))

    producer = await sandbox()
    await of(producer.fs.upload_file(b"shared payload", f"{mount}/users/alice/payload.bin"))
    seen["in_use"] = await error_of(lambda: daytona.volume.delete(volume))
    alice = await sandbox("users/alice", name)
    seen["alice"] = (await of(alice.fs.download_file(f"{mount}/payload.bin"))).decode()
    seen["listing"] = [each.name for each in await of(alice.fs.list_files(mount))]
    await of(producer.delete())
    await of(alice.process.exec(f"echo more >> {mount}/payload.bin"))
    await of(alice.delete())
    consumer = await sandbox()
    seen["kept"] = (await of(consumer.fs.download_file(f"{mount}/users/alice/payload.bin"))).decode()
    seen["mounts"] = [[each.mount_path, each.volume_id == volume.id] for each in consumer.volumes]
    await of(consumer.delete())
    await of(daytona.volume.delete(volume))
    refused = await error_of(lambda: daytona.create(CreateSandboxFromSnapshotParams(volumes=[VolumeMount(volume_id=name, mount_path=mount)])))
    # Its data goes in the background: until then it is there and not ready.
    seen["deleted"] = refused in ("DaytonaBadRequestError", "DaytonaNotFoundError")
    return seen


async def main():
    async with AsyncDaytona() as daytona:
        seen = {"sync": await scene(Daytona()), "async": await scene(daytona)}
    print(json.dumps(seen))


asyncio.run(main())
