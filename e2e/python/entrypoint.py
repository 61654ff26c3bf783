"""The entrypoint's session: read, followed from its first byte to its last, and not to be written to."""
import asyncio

from both_forms import error_of, of, play
from daytona import SessionExecuteRequest


async def scene(sandbox):
    process, seen = sandbox.process, {}
    session = await of(process.get_entrypoint_session())
    seen["session"] = [session.session_id, [[command.id, command.exit_code] for command in session.commands]]
    seen["reserved"] = [
        await error_of(lambda: process.create_session("entrypoint")),
        await error_of(lambda: process.execute_session_command("entrypoint", SessionExecuteRequest(command="true"))),
    ]
    seen["listed"] = len(await of(process.list_sessions()))
    out, err = [], []
    following = asyncio.create_task(process.get_entrypoint_logs_async(out.append, err.append))
    while "begun" not in "".join(out):
        await asyncio.sleep(0.05)
    logs = await of(process.get_entrypoint_logs())
    seen["begun"] = [logs.stdout, logs.stderr]
    await of(process.exec("touch /tmp/go"))
    await following
    seen["followed"] = ["".join(out), "".join(err)]
    while (await of(process.get_entrypoint_session())).commands[0].exit_code is None:
        await asyncio.sleep(0.05)
    seen["exit"] = (await of(process.get_entrypoint_session())).commands[0].exit_code
    return seen


play(scene)
