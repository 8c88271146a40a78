# The types of hints, by their qualified names.
SIMPLE = {
    "str": "string", "int": "int", "float": "float", "bool": "bool",
    "datetime.datetime": "datetime", "datetime.timedelta": "duration", "datetime.date": "date",
    "pathlib.Path": "file", "pathlib.PurePath": "file", "pathlib.PosixPath": "file", "bytes": "file",
    "dict": "json", "list": "json", "tuple": "json", "object": "json", "typing.Any": "json",
    "typing.Dict": "json", "typing.List": "json", "typing.Tuple": "json",
    "pandas.DataFrame": "file", "polars.DataFrame": "file", "pyarrow.Table": "file",
    "numpy.ndarray": "file", "numpy.typing.NDArray": "file",
}
LISTS = ("list", "set", "frozenset", "List", "Sequence", "MutableSequence", "Iterable", "Collection", "Set", "FrozenSet",
         "AbstractSet", "MutableSet")
MAPS = ("dict", "Dict", "Mapping", "MutableMapping", "OrderedDict", "defaultdict", "DefaultDict")
TYPING = ("typing", "typing_extensions", "collections.abc", "collections")
# Hints that say nothing about a value that could be stored.
NO_VALUES = ("Callable", "Iterator", "Generator", "AsyncIterator", "AsyncGenerator", "Awaitable", "Coroutine", "TypeVar",
             "ParamSpec", "Never", "NoReturn", "Type", "Protocol", "Generic", "ClassVar", "Self")
MAX_DEPTH = 12


class Meaningless(Exception):
    """A hint that means nothing here: why."""


class Hint:
    """What a hint means: a type of the workflow, and what goes with it."""

    def __init__(self, type, one_of=None, pickled=None, kind="value", fields=None):
        self.type, self.one_of, self.pickled, self.kind, self.fields = type, one_of, pickled, kind, fields

    def holds_files(self):
        return "file" in self.type or "dir" in self.type


def optional(hint):
    if not hint.type.endswith("?"):
        return Hint(hint.type + "?", hint.one_of, hint.pickled, hint.kind, hint.fields)
    return hint


class Hints:
    """Reads hints as text, in the module that they stand in."""

    def __init__(self, project):
        self.project = project

    def qualified(self, module, node, depth=0):
        """What a name in a hint stands for: a qualified name outside of the project, or (module, statement) inside."""
        names = []
        while isinstance(node, ast.Attribute):
            names.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            raise Meaningless("is no type")
        return self.named(module, [node.id, *reversed(names)], depth)

    def named(self, module, chain, depth=0):
        if depth > MAX_DEPTH:
            raise Meaningless("leads around in a circle")
        bindings = module.bindings.get(chain[0])
        if bindings is None:
            import builtins

            for star in module.stars:
                name = self.project.absolute(module, star)
                other = self.project.load(name)
                if other is not None:
                    if chain[0] in other.bindings or other.stars:
                        return self.named(other, chain, depth + 1)
                elif name.partition(".")[0] in STDLIB and hasattr(__import__(name, fromlist=[chain[0]]), chain[0]):
                    return ".".join([name, *chain])
            if hasattr(builtins, chain[0]):
                return ".".join(chain)
            raise Meaningless(f"`{chain[0]}` is not defined in {module.shown}")
        kind, *rest = bindings[-1]
        if kind == "code":
            return module, rest[0]
        source, attribute, _ = rest
        target = self.project.absolute(module, source)
        path = ([attribute] if attribute else []) + chain[1:]
        while self.project.find(target) is not None and path:
            other = self.project.load(target)
            if other is not None and (path[0] in other.bindings or other.stars):
                return self.named(other, path, depth + 1)
            if self.project.find(f"{target}.{path[0]}") is None:
                raise Meaningless(f"{target} has no `{path[0]}`")
            target, path = f"{target}.{path[0]}", path[1:]
        return ".".join([target, *path])

    def read(self, module, node, depth=0):
        """The meaning of a hint.

        Raises Meaningless for one that says nothing here.
        """
        if depth > MAX_DEPTH:
            raise Meaningless("is nested too deeply")
        if isinstance(node, ast.Constant) and node.value is None:
            return Hint("null", kind="none")
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            try:
                return self.read(module, ast.parse(node.value.strip(), mode="eval").body, depth + 1)
            except SyntaxError:
                raise Meaningless("is no type") from None
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            members = []
            while isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
                members.insert(0, node.right)
                node = node.left
            return self.union(module, [node, *members], depth)
        if isinstance(node, ast.Subscript):
            return self.subscript(module, node, depth)
        if isinstance(node, (ast.Name, ast.Attribute)):
            found = self.qualified(module, node)
            if isinstance(found, str):
                return self.foreign(found)
            return self.own(*found, depth)
        raise Meaningless("is no type")

    def foreign(self, name):
        if name in SIMPLE:
            return Hint(SIMPLE[name])
        top, _, last = name.rpartition(".")
        if top in TYPING and last in LISTS + MAPS:
            return Hint("json")
        if top in TYPING and last in NO_VALUES or name in ("type",):
            raise Meaningless("is no value that could be kept")
        if name in ("set", "frozenset"):
            return Hint("json")
        if name in ("NoneType", "types.NoneType"):
            return Hint("null", kind="none")
        return Hint("file", pickled=name)

    def own(self, module, statement, depth):
        if isinstance(statement, ast.ClassDef):
            return self.of_class(module, statement, depth)
        value = getattr(statement, "value", None)
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)) or value is None:
            raise Meaningless("is no type")
        if isinstance(value, ast.Call):
            called = self.qualified(module, value.func)
            last = called.rpartition(".")[2] if isinstance(called, str) else ""
            if last == "NewType" and len(value.args) == 2:
                return self.read(module, value.args[1], depth + 1)
            if last in NO_VALUES:
                raise Meaningless("is no value that could be kept")
            raise Meaningless("is made when the module runs, so that it cannot be read")
        return self.read(module, value, depth + 1)

    def subscript(self, module, node, depth):
        base = self.qualified(module, node.value)
        index = node.slice
        if type(index).__name__ == "Index":
            index = index.value
        items = list(index.elts) if isinstance(index, ast.Tuple) else [index]
        if not isinstance(base, str):
            return self.own(*base, depth)
        top, _, last = base.rpartition(".")
        if top and top not in TYPING:
            return self.foreign(base)
        inner = lambda node: self.read(module, node, depth + 1)
        if last == "Optional":
            return optional(inner(items[0]))
        if last == "Union":
            return self.union(module, items, depth)
        if last == "Literal":
            return self.literal(items)
        if last == "Annotated":
            said = [i.value for i in items[1:] if isinstance(i, ast.Constant) and i.value in ("dir", "file", "json")]
            hint = inner(items[0])
            return Hint(said[0] + ("?" if hint.type.endswith("?") else "")) if said else hint
        if last in ("Required", "NotRequired", "ReadOnly", "Final"):
            return inner(items[0])
        if last in ("tuple", "Tuple"):
            if len(items) == 2 and isinstance(items[1], ast.Constant) and items[1].value is Ellipsis:
                return self.listed(inner(items[0]))
            members = [inner(item) for item in items]
            return Hint("json", kind="tuple", fields=[(None, item, member) for item, member in zip(items, members)])
        if last in LISTS:
            return self.listed(inner(items[0]))
        if last in MAPS and len(items) == 2:
            key, value = inner(items[0]), inner(items[1])
            if key.type == "string" and not key.one_of and value.kind != "none":
                return Hint(f"map<{value.type}>", pickled=value.pickled)
            return self.json([key, value], "a dict whose keys are not `str`")
        if last in NO_VALUES:
            raise Meaningless("is no value that could be kept")
        return self.foreign(base)

    def listed(self, inner):
        if inner.kind == "none":
            return Hint("json")
        return Hint(f"list<{inner.type}>", pickled=inner.pickled)

    def json(self, parts, what):
        if any(part.holds_files() for part in parts):
            raise Meaningless(f"is {what} with a file inside, and json holds none")
        return Hint("json")

    def union(self, module, nodes, depth):
        members = [self.read(module, node, depth + 1) for node in nodes]
        some = [member for member in members if member.kind != "none"]
        if not some:
            return members[0]
        hint = some[0] if len(some) == 1 else self.json(some, "a union")
        return optional(hint) if len(some) < len(members) else hint

    def literal(self, items):
        values = []
        for item in items:
            try:
                values.append(ast.literal_eval(item))
            except ValueError:
                raise Meaningless("has a value that is not written out") from None
        some = [value for value in values if value is not None]
        for kind, name in ((str, "string"), (bool, "bool"), (int, "int")):
            if some and all(type(value) is kind for value in some):
                hint = Hint(name, one_of=some)
                return optional(hint) if len(some) < len(values) else hint
        raise Meaningless("mixes kinds of values")

    # Classes of the project

    def bases(self, module, statement, depth=0):
        """The qualified names of all bases outside of the project, and `dataclass` for one that is made one."""
        found = set()
        decorators = [each.func if isinstance(each, ast.Call) else each for each in statement.decorator_list]
        for name in self.known(module, decorators):
            if isinstance(name, str) and name.endswith(".dataclass"):
                found.add("dataclass")
        bases = [each.value if isinstance(each, ast.Subscript) else each for each in statement.bases]
        for name in self.known(module, bases):
            if isinstance(name, str):
                found.add(name)
            elif isinstance(name[1], ast.ClassDef) and depth < MAX_DEPTH:
                found |= self.bases(*name, depth + 1)
        return found

    def known(self, module, expressions):
        """What the expressions name, without those that name nothing."""
        for expression in expressions:
            try:
                yield self.qualified(module, expression)
            except Meaningless:
                pass

    def of_class(self, module, statement, depth):
        bases = self.bases(module, statement)
        last = {base.rpartition(".")[2] for base in bases}
        if last & {"Enum", "IntEnum", "StrEnum"}:
            return self.enum(module, statement, last)
        if last & {"TypedDict", "NamedTuple"}:
            kind = "fields"
        elif "dataclass" in bases or "BaseModel" in last:
            kind = "value"
        else:
            return Hint("file", pickled=statement.name)
        fields = self.fields(module, statement, depth)
        if kind == "fields":
            return Hint("json", kind=kind, fields=fields)
        return self.json([hint for _, _, hint in fields], f"the class `{statement.name}`")

    def fields(self, module, statement, depth):
        """Each annotated field of a class and of its bases in the project: (name, its hint's node, its hint)."""
        found = {}
        for base in statement.bases:
            try:
                own = self.qualified(module, base)
            except Meaningless:
                continue
            if not isinstance(own, str) and isinstance(own[1], ast.ClassDef):
                for field in self.fields(*own, depth + 1):
                    found[field[0]] = field
        for node in statement.body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                if "ClassVar" in ast.dump(node.annotation):
                    continue
                try:
                    hint = self.read(module, node.annotation, depth + 1)
                except Meaningless as problem:
                    raise Meaningless(f"has a field `{node.target.id}` whose hint {problem}") from None
                found[node.target.id] = (node.target.id, node.annotation, hint)
        return list(found.values())

    def enum(self, module, statement, bases):
        values, count = [], 0
        for node in statement.body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            if len(targets) != 1 or not isinstance(targets[0], ast.Name) or targets[0].id.startswith("_"):
                continue
            count += 1
            name = targets[0].id
            if isinstance(node.value, ast.Call) and "auto" in ast.dump(node.value.func):
                previous = values[-1] if values and isinstance(values[-1], int) else 0
                values.append(name.lower() if "StrEnum" in bases else previous + 1)
                continue
            try:
                values.append(ast.literal_eval(node.value))
            except ValueError:
                raise Meaningless(f"is an enum, and the value of `{name}` is not written out") from None
        for kind, name in ((str, "string"), (int, "int")):
            if values and all(type(value) is kind for value in values):
                return Hint(name, one_of=values)
        return Hint("file", pickled=statement.name)
