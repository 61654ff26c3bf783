"""Disk and size of a sandbox: archive and start, resize, snapshot and create from it, recover."""
import time
import uuid

from both_forms import config, error_of, of, play
from daytona import CreateSandboxFromSnapshotParams, Daytona, Resources


async def state_of(sandbox):
    await of(sandbox.refresh_data())
    return str(sandbox.state.value if hasattr(sandbox.state, "value") else sandbox.state)


async def scene(sandbox):
    seen = {}
    run = sandbox.process.exec
    await of(run("echo kept > kept; rm -f .profile"))

    seen["archive_started"] = await error_of(sandbox.archive)
    await of(sandbox.resize(Resources(cpu=2, memory=2)))
    seen["hot"] = [await state_of(sandbox), sandbox.cpu, sandbox.memory, sandbox.disk]
    seen["shrink"] = await error_of(lambda: sandbox.resize(Resources(cpu=1)))

    name = f"python-{uuid.uuid4()}"
    await of(sandbox._experimental_create_snapshot(name))
    seen["snapshotted"] = await state_of(sandbox)
    seen["taken"] = await error_of(lambda: sandbox._experimental_create_snapshot(name))
    daytona = Daytona(config)
    copy = daytona.create(CreateSandboxFromSnapshotParams(snapshot=name))
    seen["copy"] = [copy.snapshot == name, copy.cpu, copy.process.exec("cat kept").result]
    copy.delete()
    daytona.snapshot.delete(daytona.snapshot.get(name))

    await of(sandbox.stop())
    await of(sandbox.resize(Resources(cpu=1, memory=1, disk=5)))
    seen["cold"] = [await state_of(sandbox), sandbox.cpu, sandbox.memory, sandbox.disk]
    await of(sandbox.archive())
    deadline = time.time() + 60
    while await state_of(sandbox) != "archived" and time.time() < deadline:
        time.sleep(0.1)
    seen["archived"] = await state_of(sandbox)
    seen["recover_archived"] = await error_of(sandbox.recover)
    await of(sandbox.start())
    seen["restored"] = [await state_of(sandbox), (await of(run("cat kept; ls -A | grep -c profile"))).result]
    return seen


play(scene)
