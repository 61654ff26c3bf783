"""Terminals: create, input, output, variables, resize, reconnect, exit status, kill, errors."""
import asyncio
import inspect

from both_forms import error_of, of, play
from daytona import PtySize


class Screen:
    """What a terminal showed, in either form of the SDK: the sync one is read, the async one calls back."""

    def __init__(self):
        self.text = ""

    def show(self, data):
        self.text += data.decode(errors="replace")

    async def until(self, handle, text):
        for _ in range(100):
            if text in self.text:
                return
            if inspect.iscoroutinefunction(handle.wait):
                await asyncio.sleep(0.1)
            else:
                handle.wait(self.show, timeout=0.1)
        raise RuntimeError(f"never saw {text!r} in {self.text!r}")

    async def end(self, handle):
        result = await of(handle.wait()) if inspect.iscoroutinefunction(handle.wait) else handle.wait(self.show)
        return [result.exit_code, result.error]


async def create(process, screen, **options):
    if inspect.iscoroutinefunction(process.create_pty_session):
        options["on_data"] = screen.show
    return await of(process.create_pty_session(**options))


async def connect(process, screen, name):
    return await of(process.connect_pty_session(name, screen.show) if inspect.iscoroutinefunction(process.connect_pty_session) else process.connect_pty_session(name))


async def scene(sandbox):
    process, seen, screen = sandbox.process, {}, Screen()
    handle = await create(process, screen, id="p", cwd="/tmp", envs={"A": "ä 1"}, pty_size=PtySize(rows=30, cols=100))
    seen["connected"] = handle.is_connected()
    await of(handle.send_input("echo [$A]; pwd; stty size; tty\n"))
    await screen.until(handle, "/dev/pts/")
    seen["shown"] = [part in screen.text for part in ("[ä 1]", "/tmp\r\n", "30 100\r\n")]
    info = await of(handle.resize(PtySize(rows=40, cols=120)))
    seen["resized"] = [info.rows, info.cols]
    await of(handle.send_input(b"stty size\n"))
    await screen.until(handle, "40 120\r")

    second = Screen()
    other = await connect(process, second, "p")
    await of(other.send_input("echo from the $((1 + 1))nd\n"))
    await second.until(other, "from the 2nd")
    await screen.until(handle, "from the 2nd")
    await of(other.disconnect())

    seen["listed"] = [[item.id, item.active, item.cwd, item.rows, item.cols] for item in await of(process.list_pty_sessions())]
    seen["info"] = (await of(process.get_pty_session_info("p"))).id
    seen["twice"] = await error_of(lambda: create(process, Screen(), id="p"))
    await of(handle.send_input("exit 5\n"))
    seen["exit"] = (await screen.end(handle))[0]
    seen["disconnected"] = handle.is_connected()
    await of(handle.disconnect())
    seen["gone"] = await error_of(lambda: process.get_pty_session_info("p"))

    clean = await create(process, screen, id="clean")
    await of(clean.send_input("exit\n"))
    seen["clean"] = await screen.end(clean)
    await of(clean.disconnect())

    killed = await create(process, screen, id="killed")
    await of(killed.kill())
    seen["killed"] = (await screen.end(killed))[0]
    await of(killed.disconnect())
    seen["none_left"] = await of(process.list_pty_sessions())
    seen["resize_unknown"] = await error_of(lambda: process.resize_pty_session("p", PtySize(rows=1, cols=1)))
    return seen


play(scene)
