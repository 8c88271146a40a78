"""The modules of a project as text: found as Python finds them, parsed, and indexed. No code of the user runs.

The first part of the program that describes functions; the parts are read as one file.
"""

import ast
import hashlib
import os
import sys

STDLIB = frozenset(getattr(sys, "stdlib_module_names", ())) | frozenset(sys.builtin_module_names)
# Modules of Python that are loaded before a file of the project could stand in front of them.
PRELOADED = frozenset(sys.builtin_module_names) | frozenset(
    "os io abc site stat codecs posixpath genericpath encodings zipimport _collections_abc _sitebuiltins".split()
)


class Mistake(Exception):
    """Something that the user has to mend; `node` says where in `module`, if it is in a Python file."""

    def __init__(self, message, label="", help="", module=None, node=None, file=None, place=None):
        super().__init__(message)
        self.answer = {"message": message, "label": label, "help": help}
        if module is not None and node is not None:
            self.answer.update(module.place(node))
        elif file is not None:
            self.answer.update(file=file, place=place)


def without_docstrings(tree):
    """Takes docstrings out, which change nothing that is computed."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
                node.body[:1] = [] if len(node.body) > 1 else [ast.copy_location(ast.Pass(), first)]
    return tree


def is_main(test):
    """Whether a condition is `__name__ == "__main__"`."""
    return isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__"


def is_type_checking(test):
    return getattr(test, "id", getattr(test, "attr", None)) == "TYPE_CHECKING"


def imports_of(node):
    """Each name that an import statement binds: (name, module, attribute or None, the import as text)."""
    found = []
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.asname:
                found.append((alias.asname, alias.name, None, f"import {alias.name} as {alias.asname}"))
            else:
                top = alias.name.partition(".")[0]
                found.append((top, top, None, f"import {top}"))
    else:
        source = "." * node.level + (node.module or "")
        for alias in node.names:
            name = alias.asname or alias.name
            found.append((name, source, alias.name, f"from {source} import {alias.name} as {name}"))
    return found


class Module:
    """One file of the project: what its top level binds, and which of its statements act when it is loaded."""

    def __init__(self, name, path, is_package, shown, text):
        self.name, self.path, self.is_package, self.shown = name, path, is_package, shown
        try:
            self.tree = without_docstrings(ast.parse(text, path))
        except SyntaxError as error:
            line, column = error.lineno or 1, max(0, (error.offset or 1) - 1)
            row = text.split(b"\n")[line - 1] if line <= text.count(b"\n") + 1 else b""
            start = len(row.decode("utf-8", "replace")[:column].encode())
            place = [line, start, line, start + 1]
            raise Mistake(f"Python cannot read this file: {error.msg}", "here", file=path, place=place) from None
        except ValueError as error:
            raise Mistake(f"Python cannot read {shown}: {error}", file=path, place=[1, 0, 1, 0]) from None
        self.bindings = {}
        self.stars = []
        self.imports = []
        self.acting = []
        for statement in self.tree.body:
            self.index(statement)

    def place(self, node):
        place = [node.lineno, node.col_offset, node.end_lineno, node.end_col_offset]
        return {"file": self.path, "place": place}

    def bind(self, name, binding):
        self.bindings.setdefault(name, []).append(binding)

    def index(self, node, inside=None):
        """Notes what a statement binds; `inside` is the compound statement that it belongs to, which acts as a whole."""
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            self.index_import(node)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            self.bind(node.name, ("code", inside or node))
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            self.index_assignment(node, inside)
        elif type(node).__name__ == "TypeAlias":
            self.bind(node.name.id, ("code", node))
        elif isinstance(node, ast.If) and is_main(node.test):
            for inner in node.orelse:
                self.index(inner, inside)
        elif isinstance(node, ast.If) and is_type_checking(node.test):
            for inner in node.body:
                if isinstance(inner, (ast.Import, ast.ImportFrom)):
                    self.index_import(inner, loads=False)
                else:
                    self.index(inner, inside)
            for inner in node.orelse:
                self.index(inner, inside)
        elif isinstance(node, ast.Pass) or isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            pass
        else:
            whole = inside or node
            if inside is None:
                self.acting.append(node)
            for field in ("body", "orelse", "finalbody"):
                for inner in getattr(node, field, []):
                    self.index(inner, whole)
            for handler in getattr(node, "handlers", []):
                for inner in handler.body:
                    self.index(inner, whole)
            for inner in ast.walk(node):
                if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                    self.bind(inner.id, ("code", whole))

    def index_import(self, node, loads=True):
        if loads:
            self.imports.append(node)
        if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
            self.stars.append("." * node.level + (node.module or ""))
            return
        for name, source, attribute, text in imports_of(node):
            self.bind(name, ("import", source, attribute, text))

    def index_assignment(self, node, inside):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        plain = all(isinstance(t, ast.Name) for t in targets) and not isinstance(node, ast.AugAssign)
        if inside is None and not (plain and is_pure(node.value)):
            self.acting.append(node)
        for target in targets:
            for inner in ast.walk(target):
                if isinstance(inner, ast.Name):
                    self.bind(inner.id, ("code", inside or node))


# Calls that do nothing but make a value.
PURE = frozenset(
    "bool bytes complex dict float frozenset int len list max min object range set sorted str sum tuple type "
    "Path PurePath compile getLogger namedtuple NamedTuple TypedDict TypeVar ParamSpec NewType Enum Decimal Fraction "
    "date datetime timedelta timezone OrderedDict defaultdict Counter deque field attrgetter itemgetter dedent".split()
)


def is_pure(value):
    """Whether to compute a constant does nothing else, as far as it can be seen."""
    if value is None:
        return True
    stack = [value]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Lambda):
            stack.extend(node.args.defaults + [d for d in node.args.kw_defaults if d])
            continue
        if isinstance(node, ast.Call):
            called = getattr(node.func, "id", getattr(node.func, "attr", None))
            if called not in PURE:
                return False
        if isinstance(node, (ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom)):
            return False
        stack.extend(ast.iter_child_nodes(node))
    return True


class Project:
    """The modules below one import root, and those outside of it that are no installed package."""

    def __init__(self, root, reads):
        self.root, self.reads = root, reads
        self.modules = {}
        self.found = {}

    def read(self, path):
        """The bytes of a file, or None; what was found is noted, so that the answer can be checked again."""
        try:
            with open(path, "rb") as file:
                data = file.read()
        except OSError:
            self.reads[path] = None
            return None
        self.reads[path] = hashlib.sha256(data).hexdigest()
        return data

    def shown(self, path):
        inside = path.startswith(self.root.rstrip("/") + "/")
        return os.path.relpath(path, self.root) if inside else os.path.basename(path)

    def find(self, name):
        """The file of a project module: its path, or None for a module that is not the project's. A folder without
        `__init__.py` is found with its own path."""
        if name not in self.found:
            self.found[name] = self.look(name)
        return self.found[name]

    def look(self, name):
        parent, _, last = name.rpartition(".")
        if parent:
            folder = self.find(parent)
            if folder is None:
                return None
            if folder.endswith("/__init__.py"):
                folder = os.path.dirname(folder)
            elif folder.endswith((".py", ".so")):
                return None
            return self.look_in(folder, last)
        if last in PRELOADED:
            return None
        path = self.look_in(self.root, last)
        if path is None and last in STDLIB:
            return None
        if path is not None and (path.endswith((".py", ".so")) or getattr(installed(last), "origin", None) is None):
            return path
        return self.look_elsewhere(last)

    def look_in(self, folder, last):
        base = os.path.join(folder, last)
        for path in (base + "/__init__.py", base + ".py"):
            if os.path.isfile(path):
                return path
            self.reads[path] = None
        if os.path.isdir(folder):
            for entry in sorted(os.listdir(folder)):
                if entry.endswith(".so") and entry.partition(".")[0] == last:
                    return os.path.join(folder, entry)
        return base if os.path.isdir(base) else None

    def look_elsewhere(self, top):
        """A module that an editable installation or a path file leads to."""
        spec = installed(top)
        path = getattr(spec, "origin", None)
        if not path or not path.endswith(".py") or is_installed(path):
            return None
        return path

    def load(self, name):
        """The module of the project that is called so, or None. A folder or a compiled module has no text."""
        if name not in self.modules:
            path = self.find(name)
            module = None
            if path is not None and path.endswith(".py"):
                text = self.read(path)
                if text is not None:
                    module = Module(name, path, path.endswith("/__init__.py"), self.shown(path), text)
            self.modules[name] = module
        return self.modules[name]

    def absolute(self, module, source):
        """The absolute name of a module that `module` imports as `source`."""
        level = len(source) - len(source.lstrip("."))
        if level == 0:
            return source
        parts = module.name.split(".")
        parts = parts[: len(parts) - level + (1 if module.is_package else 0)]
        rest = source[level:]
        return ".".join(parts + ([rest] if rest else []))


SPECS = {}


def installed(top):
    """The specification of a top-level module that this Python finds, without importing it."""
    if top not in SPECS:
        from importlib.machinery import PathFinder

        try:
            SPECS[top] = PathFinder.find_spec(top, sys.path)
        except (ImportError, ValueError, AttributeError):
            SPECS[top] = None
    return SPECS[top]


def is_installed(path):
    """Whether a file belongs to Python or to an installed package."""
    inside = ("/site-packages/" in path) or ("/dist-packages/" in path)
    return inside or path.startswith(os.path.dirname(os.__file__) + "/")
