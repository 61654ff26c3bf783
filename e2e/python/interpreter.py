"""The code interpreter: kept state, streams, errors, contexts, variables, time limit."""
from both_forms import error_of, of, play


async def scene(sandbox):
    interpreter, seen = sandbox.code_interpreter, {}
    out, err, errors = [], [], []
    first = await of(interpreter.run_code(
        "import sys\nx = 20\nprint('out', x)\nprint('err', file=sys.stderr)",
        on_stdout=lambda message: out.append(message.output), on_stderr=lambda message: err.append(message.output)))
    seen["first"] = [first.stdout, first.stderr, first.error, "".join(out), "".join(err)]
    seen["kept"] = (await of(interpreter.run_code("print(x + 1)"))).stdout
    failed = await of(interpreter.run_code("print('before')\n1 / 0", on_error=errors.append))
    seen["failed"] = [failed.stdout, failed.error.name, failed.error.value, "ZeroDivisionError" in failed.error.traceback, errors[0].name]
    seen["syntax"] = (await of(interpreter.run_code("def"))).error.name
    seen["input"] = (await of(interpreter.run_code("input()"))).error.name
    seen["envs"] = (await of(interpreter.run_code("import os; print(os.environ['A'])", envs={"A": "ä"}))).stdout
    seen["subprocess"] = (await of(interpreter.run_code("import subprocess; subprocess.run(['echo', 'child'])"))).stdout
    seen["unicode"] = (await of(interpreter.run_code("print('é✓𝄞' * 10000)"))).stdout == "é✓𝄞" * 10000 + "\n"

    context = await of(interpreter.create_context(cwd="/tmp"))
    seen["context"] = [context.language, context.cwd, context.active]
    seen["own"] = (await of(interpreter.run_code("import os; print(os.getcwd(), 'x' in globals())", context=context))).stdout
    seen["listed"] = [item.id == context.id for item in await of(interpreter.list_contexts())]
    seen["timeout"] = await error_of(lambda: interpreter.run_code("while True: pass", context=context, timeout=1))
    await of(interpreter.delete_context(context))
    seen["deleted"] = await error_of(lambda: interpreter.run_code("1", context=context))
    seen["twice"] = await error_of(lambda: interpreter.delete_context(context))
    seen["still"] = (await of(interpreter.run_code("print(x)"))).stdout
    return seen


play(scene)
