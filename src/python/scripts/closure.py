class Closure:
    """Everything of a project that one function reaches by name, found without running any of it."""

    def __init__(self, project):
        self.project = project
        self.parts = {}
        self.files = set()
        self.packages = {}
        self.preload = []
        self.warnings = []
        self.seen = set()
        self.loaded = set()
        self.queue = []

    def of(self, module, name):
        self.load(module.name)
        self.reach(module, name)
        while self.queue:
            task, *rest = self.queue.pop()
            task(*rest)
        return self

    def warn(self, kind, message, help, module, node):
        warning = {"name": kind, "message": message, "help": help, **module.place(node)}
        if warning not in self.warnings:
            self.warnings.append(warning)

    # Loading

    def load(self, name):
        """Takes in what happens when a module is loaded: its acting statements, those of the packages above it, and what
        it imports."""
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            self.load_one(".".join(parts[:length]))

    def load_one(self, name):
        if name in self.loaded:
            return
        self.loaded.add(name)
        path = self.project.find(name)
        if path is None:
            return
        module = self.project.load(name)
        if module is None:
            if path.endswith(".so"):
                self.project.read(path)
                self.files.add(path)
                self.parts[f"compiled module in {self.project.shown(path)}"] = self.project.reads[path] or "missing"
            return
        self.files.add(path)
        acting = list(module.acting)
        for statement in module.tree.body:
            if self.acts(module, statement):
                acting.append(statement)
        if acting:
            acting.sort(key=lambda statement: statement.lineno)
            dump = "\n".join(ast.dump(statement) for statement in acting)
            self.parts[f"module statements in {module.shown}"] = digest(dump)
            for statement in acting:
                self.queue.append((self.code, module, statement))
        for node in module.imports:
            self.queue.append((self.import_of, module, node))
            self.note_preload(node)

    def note_preload(self, node):
        """What a module imports that is none of the project: `a:b` where b may be a module of a, or a name in it."""
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif node.level == 0 and node.module != "__future__":
            names = [node.module] + [f"{node.module}:{alias.name}" for alias in node.names if alias.name != "*"]
        else:
            names = []
        for name in names:
            if name not in self.preload and self.project.find(name.partition(":")[0].partition(".")[0]) is None:
                self.preload.append(name)

    def acts(self, module, statement):
        """Whether to define something does more than that: an own decorator or base class may note it somewhere."""
        if any(self.is_own(module, decorator) for decorator in getattr(statement, "decorator_list", [])):
            return True
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
            arguments = statement.args
            return not all(is_pure(default) for default in arguments.defaults + arguments.kw_defaults)
        if isinstance(statement, ast.ClassDef):
            values = (inner.value for inner in statement.body if isinstance(inner, (ast.Assign, ast.AnnAssign, ast.Expr)))
            return (
                self.registers(module, statement)
                or not all(is_pure(value) for value in values)
                or any(self.acts(module, inner) for inner in statement.body)
            )
        return False

    def registers(self, module, statement, depth=0):
        """Whether a class is handed to a metaclass or to `__init_subclass__` of a class of the project."""
        if statement.keywords:
            return True
        for base in statement.bases:
            try:
                found = Hints(self.project).qualified(module, base.value if isinstance(base, ast.Subscript) else base)
            except Meaningless:
                continue
            if isinstance(found, str) or not isinstance(found[1], ast.ClassDef) or depth > MAX_DEPTH:
                continue
            own = (getattr(inner, "name", None) for inner in found[1].body)
            if "__init_subclass__" in own or self.registers(*found, depth + 1):
                return True
        return False

    def is_own(self, module, decorator):
        """Whether a decorator is the project's own, so that it may do more than to change what it stands on."""
        while isinstance(decorator, (ast.Call, ast.Attribute)):
            decorator = decorator.func if isinstance(decorator, ast.Call) else decorator.value
        for binding in module.bindings.get(getattr(decorator, "id", None), []):
            if binding[0] == "code":
                return True
            if self.project.find(self.project.absolute(module, binding[1])) is not None:
                return True
        return False

    def import_of(self, module, node):
        """Loads what an import statement names; the local names that it binds are given back."""
        names = {}
        if isinstance(node, ast.Import):
            for alias in node.names:
                self.use(module, node, alias.name)
        else:
            source = self.project.absolute(module, "." * node.level + (node.module or ""))
            self.use(module, node, source)
            for alias in node.names:
                if alias.name != "*" and self.project.find(source) and self.project.find(f"{source}.{alias.name}"):
                    bound = self.project.load(source)
                    if bound is None or alias.name not in bound.bindings:
                        self.load(f"{source}.{alias.name}")
        if not (isinstance(node, ast.ImportFrom) and node.names[0].name == "*"):
            for name, source, attribute, text in imports_of(node):
                names.setdefault(name, []).append(("import", source, attribute, text))
        return names

    def use(self, module, node, name):
        """A module that is imported: of the project, of Python, or of a package."""
        if self.project.find(name) is not None:
            return self.load(name)
        top = name.partition(".")[0]
        if self.project.find(top) is not None:
            self.load(top)
        elif top not in STDLIB and top != "__future__":
            self.packages.setdefault(top, (module, node))

    # Reaching

    def reach(self, module, name):
        if (module.name, name) in self.seen:
            return
        self.seen.add((module.name, name))
        dumps = []
        for binding in module.bindings.get(name, []):
            if binding[0] == "import":
                dumps.append(binding[3])
                self.queue.append((self.follow_import, module, binding, [], None, False))
            else:
                dumps.append(ast.dump(binding[1]))
                self.queue.append((self.code, module, binding[1]))
        if dumps:
            self.parts[f"{name} in {module.shown}"] = digest("\n".join(dumps))

    def whole(self, module):
        """A module that is used as a value: any of its names may be."""
        self.load(module.name)
        for name in module.bindings:
            self.reach(module, name)
        for star in module.stars:
            other = self.project.load(self.project.absolute(module, star))
            if other is not None and (other.name, "*") not in self.seen:
                self.seen.add((other.name, "*"))
                self.whole(other)

    def code(self, module, node):
        if (module.name, id(node)) in self.seen:
            return
        self.seen.add((module.name, id(node)))
        local = {}
        for inner in ast.walk(node):
            if isinstance(inner, (ast.Import, ast.ImportFrom)):
                for name, bindings in self.import_of(module, inner).items():
                    local.setdefault(name, []).extend(bindings)
        hidden = own_names(node) - set(local)
        body = {id(inner) for inner in getattr(node, "body", [])} if hidden else set()
        for chain, at in chains(node, hidden, body):
            self.resolve(module, chain, at, local)

    def resolve(self, module, chain, at, local=None):
        name = chain[0]
        bindings = (local or {}).get(name) or module.bindings.get(name)
        if bindings is None:
            return self.resolve_star(module, chain, at)
        if local and name in local:
            for binding in bindings:
                self.follow_import(module, binding, chain[1:], at)
            if name not in module.bindings:
                return
        self.reach(module, name)
        for binding in module.bindings.get(name, []):
            if binding[0] == "import":
                self.follow_import(module, binding, chain[1:], at)

    def resolve_star(self, module, chain, at):
        name = chain[0]
        for star in module.stars:
            other = self.project.load(self.project.absolute(module, star))
            if other is not None and self.binds(other, name):
                self.load(other.name)
                return self.resolve(other, chain, None)
        if at is None:
            return
        if name in ("exec", "eval", "__import__"):
            self.warn("unseen-code", f"`{name}` runs code that is not in the version of the result",
                      "import what it needs by name, or put the files that it reads in `sources`", module, at)
        elif name == "__file__":
            self.warn("undeclared-file", "`__file__` leads to files that are not in the key",
                      "give the file as an input, or put it in `sources`", module, at)
        elif name in ("globals", "vars"):
            self.whole(module)

    def binds(self, module, name, depth=0):
        if name in module.bindings:
            return True
        others = (self.project.load(self.project.absolute(module, star)) for star in module.stars)
        return depth < 20 and any(other is not None and self.binds(other, name, depth + 1) for other in others)

    def follow_import(self, module, binding, rest, at=None, is_used=True):
        _, source, attribute, _ = binding
        target = self.project.absolute(module, source)
        if self.project.find(target) is None:
            self.use(module, at, target)
            if target == "importlib" and "import_module" in (attribute, *rest[:1]) and at is not None:
                self.warn("unseen-code", "`import_module` loads a module whose name is only known when it runs",
                          "import it by name, or put its file in `sources`", module, at)
            return
        if attribute is not None:
            rest = [attribute, *rest]
        elif not rest and not is_used:
            # The import alone: what is used of it, its uses say.
            return
        self.follow(target, rest)

    def follow(self, target, rest):
        """An attribute of a module of the project, and what lies behind it."""
        while True:
            self.load(target)
            module = self.project.load(target)
            if rest:
                if module is not None and self.binds(module, rest[0]):
                    return self.resolve(module, rest, None)
                if self.project.find(f"{target}.{rest[0]}") is not None:
                    target, rest = f"{target}.{rest[0]}", rest[1:]
                    continue
            if module is not None:
                self.whole(module)
            return

    # Packages

    def versions(self):
        """The installed version of each package that is reached, and of all that those require; None for a missing one."""
        versions, pending = {}, list(self.packages)
        missing = []
        for top in pending:
            found = distributions(top)
            if not found:
                if installed(top) is None:
                    missing.append(top)
                else:
                    versions[top] = "unknown"
            for name in found:
                add_version(name, versions)
        for top in missing:
            module, node = self.packages[top]
            if node is not None and not is_tried(module, node):
                self.warn("missing-package", f"the package `{top}` is not there for this Python",
                          "install it into the environment, or name another one with python_env", module, node)
        return versions


def is_tried(module, node):
    """Whether an import stands in a `try` that may do without it."""
    return any(isinstance(t, ast.Try) and any(n is node for n in ast.walk(t)) for t in ast.walk(module.tree))


def digest(text):
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def own_names(node):
    """The parameters and variables of a function, which stand for nothing outside of it."""
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return set()
    arguments = node.args
    every = arguments.posonlyargs + arguments.args + arguments.kwonlyargs + [arguments.vararg, arguments.kwarg]
    names = {argument.arg for argument in every if argument is not None}
    others = set()
    stack = list(node.body)
    while stack:
        inner = stack.pop()
        if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(inner.name)
        elif isinstance(inner, ast.Global):
            others.update(inner.names)
        elif isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
            names.add(inner.id)
        elif not isinstance(inner, (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
            stack.extend(ast.iter_child_nodes(inner))
    # A nested function may mean the global one.
    others.update(name for inner in ast.walk(node) if isinstance(inner, ast.Global) for name in inner.names)
    return names - others


def chains(node, hidden=frozenset(), body=frozenset()):
    """Each name that code uses, with the attributes that follow it: (["np", "random", "seed"], its node). `hidden` names are
    left out below the statements of `body`."""
    stack = [(node, False)]
    if hidden:
        outside = [child for child in ast.iter_child_nodes(node) if id(child) not in body]
        hints = [(child, False) for child in outside]
        if node.returns is not None:
            hints = [(child, child is node.returns) for child in outside]
        for found in chains_in(hints):
            yield found
        stack = [(child, False) for child in node.body]
    for found in chains_in(stack):
        if found[0][0] not in hidden:
            yield found


def chains_in(stack):
    stack = list(stack)
    while stack:
        inner, is_hint = stack.pop()
        if isinstance(inner, ast.Attribute):
            names, base = [], inner
            while isinstance(base, ast.Attribute):
                names.append(base.attr)
                base = base.value
            if isinstance(base, ast.Name):
                yield [base.id, *reversed(names)], inner
                continue
            stack.append((base, is_hint))
            continue
        if isinstance(inner, ast.Name):
            if not isinstance(inner.ctx, ast.Store):
                yield [inner.id], inner
            continue
        if is_hint and isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            try:
                stack.append((ast.copy_location(ast.parse(inner.value, mode="eval").body, inner), True))
            except (SyntaxError, ValueError):
                pass
            continue
        for field, value in ast.iter_fields(inner):
            hint = is_hint or field in ("annotation", "returns")
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    stack.append((child, hint))


DISTRIBUTIONS = None


def distributions(top):
    """The names of the installed distributions that a top-level module belongs to."""
    global DISTRIBUTIONS
    from importlib import metadata

    try:
        return [metadata.distribution(top).metadata["Name"]]
    except metadata.PackageNotFoundError:
        pass
    if DISTRIBUTIONS is None:
        DISTRIBUTIONS = metadata.packages_distributions() if hasattr(metadata, "packages_distributions") else {}
    return sorted(set(DISTRIBUTIONS.get(top, [])))


def add_version(name, versions):
    """The version of a distribution, and of those that it requires."""
    import re
    from importlib import metadata

    pending = [name]
    while pending:
        name = pending.pop()
        key = re.sub(r"[-_.]+", "-", name).lower()
        if key in versions:
            continue
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        versions[key] = found.version
        for requirement in found.requires or []:
            if "extra ==" not in requirement and "extra==" not in requirement:
                match = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", requirement)
                pending.extend([match.group()] if match else [])
