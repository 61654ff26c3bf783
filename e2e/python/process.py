"""Commands and code: directory, variables, exit codes, arguments, charts, time limits, the sandbox's own variables, metrics."""
from both_forms import error_of, of, play
from daytona import CodeRunParams

FIGURE = "import matplotlib.pyplot as plt\nplt.plot([1, 2], [3, 4])\nplt.title('Line')\nplt.show()"


async def scene(sandbox):
    process, seen = sandbox.process, {}
    done = await of(process.exec("pwd; echo $A; echo err >&2; exit 4", cwd="/tmp", env={"A": "ä b"}))
    seen["exec"] = [done.exit_code, done.result, done.artifacts.stdout == done.result]
    seen["exec_timeout"] = await error_of(lambda: process.exec("sleep 30", timeout=1))
    seen["no_directory"] = await error_of(lambda: process.exec("true", cwd="/nowhere"))
    done = await of(process.code_run("import os, sys; print(sys.argv[1:], os.environ['A']); sys.exit(3)", params=CodeRunParams(argv=["x y"], env={"A": "1"})))
    seen["code"] = [done.exit_code, done.result]
    seen["code_timeout"] = await error_of(lambda: process.code_run("while True: pass", timeout=1))
    done = await of(process.code_run(f"try:\n  import matplotlib\nexcept ImportError:\n  print('none')\nelse:\n  exec({FIGURE!r})"))
    seen["charts"] = "none" if done.result == "none\n" else [chart.title for chart in done.artifacts.charts]
    await of(sandbox.update_env({"MINE": "yes"}))
    seen["env"] = (await of(process.exec("echo $MINE"))).result
    await of(sandbox.update_env({}, unset=["MINE"]))
    seen["unset"] = (await of(process.exec("echo [$MINE]"))).result
    metrics = await of(sandbox.get_metrics_latest())
    seen["metrics"] = [metrics.cpu_count, metrics.mem_total > 0, metrics.disk_total > 0]
    return seen


play(scene)
