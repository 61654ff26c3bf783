"""Sessions: state, exit codes, split output, background commands, input, log streams, errors."""
from both_forms import error_of, of, play
from daytona import SessionExecuteRequest


async def scene(sandbox):
    process, seen = sandbox.process, {}
    await of(process.create_session("s"))
    seen["twice"] = await error_of(lambda: process.create_session("s"))

    async def run(command, **more):
        return await of(process.execute_session_command("s", SessionExecuteRequest(command=command, **more)))

    await run("cd /tmp; export A=1; f() { echo f$A; }")
    kept = await run("f; pwd; echo oops >&2; (exit 3)")
    seen["kept"] = [kept.exit_code, kept.stdout, kept.stderr]

    waiting = await run("read name; echo hello $name; echo done >&2", run_async=True, suppress_input_echo=True)
    seen["running"] = (await of(process.get_session_command("s", waiting.cmd_id))).exit_code
    out, err = [], []
    await of(process.send_session_command_input("s", waiting.cmd_id, "Ann\n"))
    await process.get_session_command_logs_async("s", waiting.cmd_id, out.append, err.append)
    seen["stream"] = ["".join(out), "".join(err)]
    seen["finished"] = (await of(process.get_session_command("s", waiting.cmd_id))).exit_code
    logs = await of(process.get_session_command_logs("s", waiting.cmd_id))
    seen["logs"] = [logs.stdout, logs.stderr]
    seen["late_input"] = await error_of(lambda: process.send_session_command_input("s", waiting.cmd_id, "Ann\n"))

    long = await run("for i in 1 2 3; do echo $i; sleep 0.1; done; yes 0123456789 | head -n 200000", run_async=True)
    bytes_seen = 0

    async def count(text):
        nonlocal bytes_seen
        bytes_seen += len(text)

    await process.get_session_command_logs_async("s", long.cmd_id, count, count)
    seen["long"] = bytes_seen

    session = await of(process.get_session("s"))
    seen["commands"] = [session.session_id, len(session.commands)]
    seen["listed"] = [item.session_id for item in await of(process.list_sessions())]
    seen["unknown_command"] = await error_of(lambda: process.get_session_command("s", "none"))
    seen["exit"] = (await run("echo bye; exit 7")).exit_code
    seen["ended"] = await error_of(lambda: run("true"))
    await of(process.delete_session("s"))
    seen["gone"] = await error_of(lambda: process.get_session("s"))
    return seen


play(scene)
