"""Calls one function as a task: values in, the call, values back. The file that its argument names says which.

Only what every call needs is imported here: `json` alone takes as long as the start of Python.
"""

import os
import sys

# The folder of this program, which may lie below the project.
OWN = os.path.dirname(os.path.abspath(__file__))


class Scanning:
    """What Python's own scanner of JSON is set up with."""

    strict, memo = True, {}
    object_hook = object_pairs_hook = None
    parse_float, parse_int, parse_constant = float, int, float


def read(path):
    with open(path, encoding="utf-8") as file:
        return parsed(file.read())


def parsed(text):
    try:
        from _json import make_scanner

        return make_scanner(Scanning())(text, 0)[0]
    except (ImportError, AttributeError, TypeError):
        import json

        return json.loads(text)


def written(value):
    try:
        from _json import encode_basestring_ascii, make_encoder

        return "".join(make_encoder({}, None, encode_basestring_ascii, None, ":", ",", False, False, False)(value, 0))
    except (ImportError, AttributeError, TypeError):
        import json

        return json.dumps(value, allow_nan=False)


def write(path, result):
    text = written(result)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


class Refused(Exception):
    """A value that does not fit: said without a traceback, since no line of the user's is to blame for it."""

    def __init__(self, kind, message):
        super().__init__(message)
        self.kind = kind


def fail(call, code, kind, message, final=False):
    """Ends the process; after a final failure no other attempt follows."""
    try:
        write(call["result"], {"failed": {"kind": kind, "message": message, "final": final}})
    finally:
        flush()
        os._exit(code)


def flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass


# Folders of projects that are loaded in this process.
ROOTS = set()


def own_loader(root):
    """Project modules are compiled from the text that is there now: a compiled file may be of an older one, and is not
    written beside the source."""
    if root in ROOTS:
        return
    ROOTS.add(root)
    from importlib import machinery

    class TextLoader(machinery.SourceFileLoader):
        def get_code(self, name):
            path = self.get_filename(name)
            return self.source_to_code(self.get_data(path), path)

    kinds = [(machinery.ExtensionFileLoader, machinery.EXTENSION_SUFFIXES), (TextLoader, machinery.SOURCE_SUFFIXES)]

    def hook(path):
        inside = path == root or path.startswith(root.rstrip("/") + "/")
        if not inside or path == OWN or "/site-packages" in path or "/dist-packages" in path or not os.path.isdir(path):
            raise ImportError
        return machinery.FileFinder(path, *kinds)

    sys.path_hooks.insert(0, hook)
    for path in [path for path in sys.path_importer_cache if path == root or path.startswith(root.rstrip("/") + "/")]:
        del sys.path_importer_cache[path]


def load(call):
    """The function itself; loading its module is the first thing that runs of the user's code."""
    from importlib import import_module

    own_loader(call["root"])
    try:
        module = import_module(call["module"])
    except ModuleNotFoundError as error:
        shadow = shadows(call, error)
        if shadow:
            error.args = (f"{error.args[0]} ({shadow})",)
        raise
    function = vars(module).get(call["function"])
    if not callable(function):
        raise Refused("input", f"{call['module']} has no function `{call['function']}` now")
    return function


def shadows(call, error):
    """Whether a file of the project has the name of a package that failed to import a part of itself."""
    top = (error.name or "").partition(".")[0]
    path = getattr(sys.modules.get(top), "__file__", None) or ""
    if "." in (error.name or "") and path.startswith(call["root"] + "/") and "/site-packages/" not in path:
        return f"{path} stands in front of the installed package `{top}`: rename it"
    return None


def run(call):
    import runner_values as values

    function = load(call)
    hints = values.hints_of(function)
    given = read(os.environ["RUNNER_INPUTS"])
    arguments = {}
    for parameter in call["parameters"]:
        name = parameter["name"]
        value = given.get(name)
        if value is None and parameter["omit"]:
            continue
        hint = values.checked(hints, name, parameter, call)
        arguments[name] = values.decode(value, hint, parameter["type"], f"input `{name}`")
    result = function(**arguments)
    if values.is_awaitable(result):
        import asyncio

        async def wait():
            return await result

        result = asyncio.run(wait())
    made = os.environ.get("RUNNER_WORKFLOW")
    if made and os.path.lexists(made):
        outputs = {}  # A workflow stands in their place.
    else:
        outputs = values.encode_all(result, hints.get("return", values.NOTHING), call)
    write(call["result"], {"outputs": outputs, "unseen": unseen(call)})


def unseen(call):
    """Files of the project that were loaded and are not in the version of the result."""
    if not call["cached"]:
        return []
    known = set(call["files"])
    root = call["root"].rstrip("/") + "/"
    found = set()
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if isinstance(path, str) and path.startswith(root) and path not in known:
            if os.path.dirname(path) != OWN and not path.startswith(sys.prefix + "/") and "/site-packages/" not in path and "/dist-packages/" not in path:
                found.add(path)
    return sorted(found)


def main(path):
    perform(read(path))


def perform(call):
    if sys.path[0] != call["root"]:
        sys.path.insert(0, call["root"])
    sys.argv = [call["file"]]
    try:
        if call.get("flytekit"):
            import runner_flyte

            runner_flyte.run(call)
        else:
            run(call)
    except Refused as error:
        fail(call, 1, error.kind, str(error), final=bool(call.get("flytekit")))
    except SystemExit as error:
        leave(call, error.code)
    except BaseException as error:
        import runner_trace

        final = False
        if call.get("flytekit"):
            error, again = runner_flyte.cause_of(error)
            final = not again
        runner_trace.show(error, call["root"])
        fail(call, 1, "exit", runner_trace.last_line(error), final)
    flush()


def leave(call, code):
    if code is None or code == 0:
        fail(call, 1, "output", f"`{call['function']}` called sys.exit({'' if code is None else 0}) and handed nothing back: "
             "let it return")
    if not isinstance(code, int):
        print(code, file=sys.stderr)
        fail(call, 1, "exit", str(code))
    fail(call, code & 0xFF or 1, "exit", f"sys.exit({code})")
