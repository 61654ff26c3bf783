"""Declarative images and snapshots through the Python SDK, sync and async."""
import asyncio
import json
import uuid

from daytona import (
    AsyncDaytona, CreateSandboxFromImageParams, CreateSandboxFromSnapshotParams, CreateSnapshotParams, Daytona, DaytonaError, DaytonaNotFoundError, Image, Resources,
)

daytona = Daytona()
report: dict[str, object] = {}
unique = uuid.uuid4().hex[:8]


def sh(sandbox, command):
    return sandbox.process.exec(command).result.strip()


# This SDK uploads contexts over https only, and the server under test speaks http: files come by commands.
image = (
    Image.base("python:3.12-slim")
    .run_commands(f"printf 'note {unique}' > /home/note.txt")
    .run_commands(f"echo building {unique}")
    .env({"WHO": "python"})
    .workdir("/home")
)
logs: list[str] = []
sandbox = daytona.create(CreateSandboxFromImageParams(image=image, resources=Resources(cpu=1, memory=1, disk=3)), timeout=300, on_snapshot_create_logs=logs.append)
report["declarative"] = [sandbox.state.value, sh(sandbox, "cat note.txt; echo; echo $WHO; pwd").replace(unique, "U")]
report["declarative_logs"] = f"building {unique}" in "\n".join(logs)
sandbox.delete()

logs = []
name = f"python-{unique}"
snapshot = daytona.snapshot.create(CreateSnapshotParams(name=name, image=image), on_logs=logs.append)
report["snapshot"] = [snapshot.state.value, snapshot.name == name]
report["listed"] = name in [item.name for item in daytona.snapshot.list(limit=100).items]
sandbox = daytona.create(CreateSandboxFromSnapshotParams(snapshot=name))
report["from_snapshot"] = [sandbox.snapshot == name, sh(sandbox, "echo $WHO")]
sandbox.delete()
daytona.snapshot.delete(daytona.snapshot.get(name))
try:
    daytona.snapshot.get(name)
except DaytonaNotFoundError as error:
    report["deleted"] = type(error).__name__

pulled = daytona.snapshot.create(CreateSnapshotParams(name=f"pulled-{unique}", image="python:3.12-slim", resources=Resources(cpu=2, memory=2, disk=4)))
report["pulled"] = [pulled.state.value, pulled.cpu, pulled.mem, pulled.disk]
daytona.snapshot.delete(pulled)

logs = []
try:
    daytona.create(CreateSandboxFromImageParams(image=Image.base("python:3.12-slim").run_commands(f"echo last {unique}; exit 3")), timeout=300, on_snapshot_create_logs=logs.append)
except DaytonaError as error:
    report["failed"] = [type(error).__name__, "build_failed" in str(error).lower() or "failed" in str(error).lower(), f"last {unique}" in "\n".join(logs)]


async def main():
    async with AsyncDaytona() as client:
        chunks: list[str] = []
        made = await client.create(
            CreateSandboxFromImageParams(image=Image.base("python:3.12-slim").run_commands(f"echo async {unique}")), timeout=300, on_snapshot_create_logs=chunks.append)
        result = await made.process.exec("echo fine")
        report["async"] = [made.state.value, result.result.strip(), f"async {unique}" in "\n".join(chunks)]
        await made.delete()


asyncio.run(main())
print(json.dumps(report))
