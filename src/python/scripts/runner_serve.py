"""Forks a process for each attempt, from an interpreter that has imported packages, and nothing of the project.

It speaks with `runner` over the socket that is its standard input. A message is the length of its body in four bytes, and
fields that NUL keeps apart; two descriptors come with it, for standard output and error, and a third one for a worker. The
answers are lines: `started ID PID`, `ended ID STATUS MICROSECONDS KIB`, `failed ID`.
"""

import os
import sys

import runner_call

# What an interpreter that calls one function has loaded at this point: a file of the project cannot stand in front of it.
FIRST = frozenset(sys.modules)
ENVIRONMENT = dict(os.environb)
CLOSED_ON_EXEC = 0x40000000
# Variables of one attempt, which the server was started without.
OWN_VARIABLES = (b"RUNNER_INPUTS", b"RUNNER_NODE", b"RUNNER_INDEX", b"RUNNER_ATTEMPT", b"RUNNER_WORKFLOW_DIR",
                 b"RUNNER_WORKFLOW")

import _signal
import _socket
import gc
import importlib.machinery
import resource
import select

import runner_outputs
import runner_values


class Messages:
    """Reads messages, with their descriptors, from a socket."""

    def __init__(self, number):
        self.socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, number)
        os.set_inheritable(number, False)

    def receive(self):
        """The fields and the descriptors of the next message; None at the end."""
        try:
            head, ancillary, _, _ = self.socket.recvmsg(4, 256, CLOSED_ON_EXEC)
            if not head:
                return None
            head += self.exactly(4 - len(head))
            body = self.exactly(int.from_bytes(head, "big"))
        except OSError:
            return None
        numbers = []
        for level, kind, data in ancillary:
            if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
                numbers += [int.from_bytes(data[i:i + 4], sys.byteorder) for i in range(0, len(data) - 3, 4)]
        return body.split(b"\0"), numbers

    def exactly(self, length):
        parts = []
        while length > 0:
            part = self.socket.recv(min(length, 1 << 20))
            if not part:
                raise ConnectionResetError
            parts.append(part)
            length -= len(part)
        return b"".join(parts)

    def say(self, *words):
        self.socket.sendall((" ".join(map(str, words)) + "\n").encode())


class ForkServer:
    def __init__(self, state):
        number = state.get("socket")
        self.messages = Messages(os.dup(0) if number is None else number)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.close(null)
        # Attempts that go on, by their processes.
        self.running = {int(pid): attempt for pid, attempt in state.get("running", {}).items()}
        # Packages that start threads when they are imported: only the process that uses them may have those.
        self.denied = set(state.get("denied", ()))
        self.imported = set()
        self.pending = state.get("pending")
        self.own_out = variable_place(b"OUT")
        self.wakes, self.woken = os.pipe()
        os.set_blocking(self.wakes, False)
        os.set_blocking(self.woken, False)

    def serve(self):
        _signal.signal(_signal.SIGCHLD, lambda number, frame: None)
        _signal.set_wakeup_fd(self.woken, warn_on_full_buffer=False)
        gc.freeze()
        poll = select.poll()
        source = self.messages.socket.fileno()
        poll.register(source, select.POLLIN)
        poll.register(self.wakes, select.POLLIN)
        if self.pending:
            fields, numbers = self.pending
            self.fork([os.fsencode(field) for field in fields], numbers)
        self.reap()
        while True:
            # A package may have taken the signal for itself.
            ready = [number for number, _ in poll.poll(1000 if self.running else None)]
            if self.wakes in ready:
                try:
                    os.read(self.wakes, 4096)
                except BlockingIOError:
                    pass
            self.reap()
            if source in ready:
                message = self.messages.receive()
                if message is None:
                    return
                self.fork(*message)

    def reap(self):
        while self.running:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            attempt = self.running.pop(pid, None)
            if attempt is not None:
                used = int((usage.ru_utime + usage.ru_stime) * 1e6)
                self.messages.say("ended", attempt, status, used, usage.ru_maxrss)

    def fork(self, fields, numbers):
        attempt, packages = fields[0].decode(), os.fsdecode(fields[3])
        self.prepare([name for name in packages.split(",") if name], fields, numbers)
        try:
            pid = os.fork()
        except OSError:
            pid = None
        if pid == 0:
            self.become(fields, numbers)
        for number in numbers:
            os.close(number)
        if pid is None:
            return self.messages.say("failed", attempt)
        self.running[pid] = attempt
        try:
            os.setpgid(pid, pid)
        except OSError:
            pass
        self.messages.say("started", attempt, pid)

    def prepare(self, names, fields, numbers):
        """Imports what an attempt will import; what fails, the attempt finds out for itself."""
        fresh = [name for name in names if name not in self.imported]
        for name in fresh:
            self.imported.add(name)
            package, _, attribute = name.partition(":")
            if attribute and (package not in sys.modules or hasattr(sys.modules[package], attribute)):
                continue
            name, top = name.replace(":", "."), package.partition(".")[0]
            if name in sys.modules or top in self.denied or not is_installed(top):
                continue
            try:
                __import__(name)
            except BaseException:
                continue
            if len(sys._current_frames()) > 1:
                self.denied.add(top)
                self.begin_again(fields, numbers)
        if fresh:
            gc.collect()
            gc.freeze()

    def begin_again(self, fields, numbers):
        """Becomes a new interpreter, without threads, which goes on here."""
        number = self.messages.socket.fileno()
        for kept in (number, *numbers):
            os.set_inheritable(kept, True)
        state = runner_call.written({
            "socket": number, "running": {str(pid): attempt for pid, attempt in self.running.items()},
            "denied": sorted(self.denied), "pending": [[os.fsdecode(field) for field in fields], list(numbers)],
        })
        begin = f"import sys; sys.path[0:1] = [{runner_call.OWN!r}]; import runner_serve; runner_serve.main()"
        os.execve(sys.executable, [sys.executable, "-c", begin, state], ENVIRONMENT)

    def become(self, fields, numbers):
        """The process of one attempt, or of a worker that runs one after the other; does not return."""
        code = 127
        try:
            os.setpgid(0, 0)
            _signal.set_wakeup_fd(-1)
            _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
            self.messages.socket.close()
            os.close(self.wakes)
            os.close(self.woken)
            own_out = self.own_out
            channel = Messages(numbers.pop()) if len(numbers) > 2 else None
            call = runner_call.read(enter(fields, numbers, own_out))
            new_randomness()
            show_project(call["root"])
            runner_call.perform(call)
            while channel:
                used = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
                time = int(sum(part.ru_utime + part.ru_stime for part in used) * 1e6)
                channel.say("done", time, max(part.ru_maxrss for part in used))
                message = channel.receive()
                if message is None:
                    break
                runner_call.main(enter(*message, own_out))
            code = 0
        except BaseException as error:
            try:
                os.write(2, f"the process of a function failed: {type(error).__name__}: {error}\n".encode())
            except OSError:
                pass
        finally:
            finish()
            os._exit(code)


def enter(fields, numbers, own_out):
    """Takes on the descriptors, folder and variables of an attempt; the file that describes its call."""
    for target, number in enumerate(numbers, 1):
        os.dup2(number, target)
        os.close(number)
    _, folder, call, _, *variables = fields
    os.chdir(folder)
    for name in OWN_VARIABLES:
        os.environb.pop(name, None)
    for variable in variables:
        name, _, value = variable.partition(b"=")
        os.environb[name] = value
        if name == b"OUT":
            show_variable(own_out, value)
    return os.fsdecode(call)


def finish():
    """What an interpreter does at its end, without taking itself apart."""
    threading = sys.modules.get("threading")
    try:
        if threading is not None:
            threading._shutdown()
        import atexit

        atexit._run_exitfuncs()
    except BaseException:
        pass
    runner_call.flush()


def variable_place(name):
    """Where in memory the system finds a variable that this process was started with, and its length."""
    try:
        with open("/proc/self/environ", "rb") as file:
            at = (b"\0" + file.read()).find(b"\0" + name + b"=")
        with open("/proc/self/stat", "rb") as file:
            start = int(file.read().rpartition(b")")[2].split()[47])
    except (OSError, ValueError, IndexError):
        return None
    return None if at < 0 else (start + at + len(name) + 1, len(ENVIRONMENT[name]))


def show_variable(place, value):
    """Processes of an attempt are known by the variable that the system shows of them, also those that are only forked."""
    if place is None or len(value) > place[1]:
        return
    try:
        memory = os.open("/proc/self/mem", os.O_RDWR)
        try:
            os.pwrite(memory, value.ljust(place[1], b"\0"), place[0])
        finally:
            os.close(memory)
    except OSError:
        pass


def new_randomness():
    """Without this all attempts had the same random numbers. `random` sees to itself."""
    numpy = sys.modules.get("numpy.random")
    if numpy is not None:
        numpy.seed()


def show_project(root):
    """Forgets modules that a file of the project stands in front of, as it would for a new interpreter."""
    try:
        names = os.listdir(root)
    except OSError:
        return
    tops = {name.partition(".")[0] for name in names if name.endswith((".py", ".so"))}
    for name in names:
        if "." not in name and name in sys.modules and os.path.isfile(os.path.join(root, name, "__init__.py")):
            tops.add(name)
    hidden = {top for top in tops if top in sys.modules and top not in FIRST}
    if hidden:
        for name in [name for name in sys.modules if name.partition(".")[0] in hidden]:
            del sys.modules[name]


def is_installed(top):
    """Whether a module belongs to Python or to an installed package; one that is only linked to may be the project's."""
    if top in sys.modules or top in getattr(sys, "stdlib_module_names", sys.builtin_module_names):
        return True
    try:
        found = importlib.machinery.PathFinder.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return False
    origin = (found and found.origin) or ""
    return "/site-packages/" in origin or "/dist-packages/" in origin


def main():
    server = ForkServer(runner_call.parsed(sys.argv[1]) if len(sys.argv) > 1 else {})
    try:
        server.serve()
    except OSError:
        # Nobody listens any more.
        pass
    for pid in server.running:
        try:
            os.killpg(pid, _signal.SIGKILL)
        except OSError:
            pass
    os._exit(0)
