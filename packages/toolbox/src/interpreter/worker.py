# The interpreter of one context. Runs sources one after the other in the name space of __main__.
#
# Descriptor 3, moved out of the user's way at once, carries frames: one byte of type, four of length (big endian), then the payload.
#   in:   E  name=value, a variable for the next run     R  source: run it
#   out:  N V T  name, text and traceback of an error    D  the run is over
# Descriptor 5 carries nothing: the kernel kills this process when the other end is closed, so that no source outlives those who wait for it.
# Descriptors 1 and 2 carry what the program and everything it starts print; 0 is empty.
import fcntl
import io
import os
import signal
import sys

PIECE = 1024  # characters after which a line without end is sent
KEPT_SOURCES = 200  # sources whose lines a traceback can show
MAX_TEXT = 1 << 20  # characters of an error's text and of its traceback
FIONREAD = 0x541B
F_SETSIG = 10
O_ASYNC = 0o20000
ORDER_WAIT_S = 0.05

try:
    channel = fcntl.fcntl(3, fcntl.F_DUPFD_CLOEXEC, 200)
    os.close(3)
except OSError:
    channel = 3
    os.set_inheritable(3, False)
own_pid = os.getpid()
try:
    lifeline = fcntl.fcntl(5, fcntl.F_DUPFD_CLOEXEC, 200)
    os.close(5)
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, own_pid)
    fcntl.fcntl(lifeline, F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | O_ASYNC)
except OSError:
    pass  # a system that signals nothing: the end of the channel is seen after the run
running = False
runs = 0
sources = {}
latest = 1


class Output(io.FileIO):
    """The raw side of a stream. Before it writes behind the other one it lets the reader catch up, so that the order is kept."""

    def write(self, data):
        global latest
        number = self.fileno()
        if latest != number:
            settle(latest)
            latest = number
        return super().write(data)


def settle(number):
    """Waits a moment until what was written to a pipe has been read."""
    import time

    end = time.monotonic() + ORDER_WAIT_S
    try:
        while any(fcntl.ioctl(number, FIONREAD, b'\0\0\0\0')) and time.monotonic() < end:
            time.sleep(0.0002)
    except OSError:
        pass


def stream(number):
    text = io.TextIOWrapper(io.BufferedWriter(Output(number, 'w', closefd=False), PIECE), 'utf-8', 'backslashreplace', line_buffering=True)
    text._CHUNK_SIZE = PIECE
    text.mode = 'w'
    return text


streams = {}


def prepare():
    """Streams that a program has closed are opened anew, and an interrupt arrives whatever handler the program has left."""
    for name, number in (('stdout', 1), ('stderr', 2)):
        mine = streams.get(name)
        if mine is None or mine.closed:
            streams[name] = stream(number)
            if mine is None or getattr(sys, name) is mine:
                setattr(sys, name, streams[name])
                setattr(sys, '__%s__' % name, streams[name])
    if sys.stdin is None or sys.stdin.closed:
        sys.stdin = open(os.devnull)
    signal.signal(signal.SIGINT, interrupt)


def interrupt(number, frame):
    if running:
        raise KeyboardInterrupt


def receive(count):
    parts = []
    while count:
        part = os.read(channel, min(count, 1 << 20))
        if not part:
            os._exit(0)
        parts.append(part)
        count -= len(part)
    return b''.join(parts)


def send(kind, text=''):
    data = text.encode('utf-8', 'backslashreplace')
    frame = memoryview(kind + len(data).to_bytes(4, 'big') + data)
    while frame:
        frame = frame[os.write(channel, frame):]


def run(source, variables):
    global running, runs
    runs += 1
    name = '<stdin:%d>' % runs
    sources[name] = source
    sources.pop('<stdin:%d>' % (runs - KEPT_SOURCES), None)
    before = {key: os.environ.get(key) for key in variables}
    failure = None
    status = 0
    try:
        os.environ.update(variables)
        code = compile(source, name, 'exec', dont_inherit=True)
        try:
            running = True
            exec(code, sys.modules['__main__'].__dict__)
        finally:
            running = False
    except SystemExit as error:
        running = False
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException as error:
        running = False
        failure = error
        status = 1
    flush()
    if os.getpid() != own_pid:  # a child that the program has forked and that came back here
        os._exit(status & 255)
    for key, value in before.items():
        if value is None:
            os.environ.pop(key, None)
        else:
            os.environ[key] = value
    if failure is not None:
        report(failure)
        failure.__traceback__ = None


def flush():
    for each in {id(s): s for s in (sys.stdout, sys.stderr, streams['stdout'], streams['stderr'])}.values():
        try:
            each.flush()
        except BaseException:  # closed or replaced by something that cannot: the program's own affair
            pass


def report(error):
    try:
        value = str(error)
    except BaseException:
        value = '<unprintable %s object>' % type(error).__name__
    try:
        trace = traceback_of(error)
    except BaseException:  # an exception whose parts cannot be printed
        trace = '%s: %s\n' % (type(error).__name__, value)
    send(b'N', type(error).__name__)
    send(b'V', plain(value)[:MAX_TEXT])
    send(b'T', plain(trace)[-MAX_TEXT:])


def plain(text):
    """Every source is called <stdin>; the numbers only keep their lines apart."""
    import re

    return re.sub(r'<stdin:\d+>', '<stdin>', text)


def traceback_of(error):
    import linecache
    import traceback

    for name, source in sources.items():
        linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    whole = traceback.TracebackException(type(error), error, error.__traceback__)
    shorten(whole, traceback.StackSummary.from_list, set())
    if not whole.stack and whole.__cause__ is None and whole.__context__ is None:
        return ''.join(whole.format_exception_only())
    return ''.join(whole.format())


def shorten(part, summary, seen):
    """Leaves the user's frames: none of this file, none of the installed libraries."""
    if part is None or id(part) in seen:
        return
    seen.add(id(part))
    frames = [f for f in part.stack if f.filename != '<worker>']
    part.stack = summary([f for f in frames if is_users(f.filename)] or frames)
    shorten(part.__cause__, summary, seen)
    shorten(part.__context__, summary, seen)
    for each in getattr(part, 'exceptions', None) or ():
        shorten(each, summary, seen)


def is_users(path):
    library = os.path.dirname(os.__file__) + os.sep
    installed = path.startswith(library) or '/site-packages/' in path or '/dist-packages/' in path
    return not installed and not path.startswith('<frozen ')


def main():
    sys.argv = ['']
    variables = {}
    prepare()
    while True:
        head = receive(5)
        payload = receive(int.from_bytes(head[1:], 'big')).decode('utf-8', 'replace')
        if head[:1] == b'E':
            key, _, value = payload.partition('=')
            variables[key] = value
        elif head[:1] == b'R':
            prepare()
            run(payload, variables)
            variables = {}
            send(b'D')


main()
