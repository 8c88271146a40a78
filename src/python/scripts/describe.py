def describe(request):
    """Describes the functions of a request: their interfaces, and the code that they reach."""
    reads, projects, answers = {}, {}, []
    for task in request["tasks"]:
        try:
            answers.append(describe_one(task, reads, projects))
        except Mistake as mistake:
            answers.append({"mistakes": [mistake.answer]})
    folders = {path for path in sys.path if os.path.isdir(path) and is_installed(path + "/x")}
    folders = [[path, os.stat(path).st_mtime_ns] for path in sorted(folders)]
    return {"answers": answers, "reads": reads, "folders": folders, "executable": sys.executable}


def describe_one(task, reads, projects):
    root, name, function = locate(task, reads)
    project = projects.setdefault(root, Project(root, reads))
    module = project.load(name)
    if module is None:
        raise Mistake(f"there is no readable module `{name}` below {root}")
    statement = find_function(module, function)
    mistakes = []
    interface = read_interface(project, module, statement, mistakes)
    closure = Closure(project).of(module, function)
    packages = closure.versions()
    interface.update(
        root=root,
        module=name,
        function=function,
        file=module.path,
        code=closure.parts,
        files=sorted(closure.files),
        packages=packages,
        preload=closure.preload,
        warnings=closure.warnings + interface.pop("warnings"),
        python="{}.{}".format(*sys.version_info),
    )
    return {"mistakes": mistakes} if mistakes else {"described": interface}


def near(name, known):
    from difflib import get_close_matches

    found = get_close_matches(name, list(known), 1, 0.6)
    return f"did you mean `{found[0]}`?" if found else "there is none"


def locate(task, reads):
    """The import root, the module and the function that the workflow names."""
    source, _, function = task["target"].rpartition(":")
    folder = task["dir"]
    if source.endswith(".py"):
        path = os.path.normpath(os.path.join(folder, source))
        if not os.path.isfile(path):
            reads[path] = None
            beside = os.path.dirname(path)
            names = [n[:-3] for n in os.listdir(beside) if n.endswith(".py")] if os.path.isdir(beside) else []
            label = near(os.path.basename(path)[:-3], names).replace("`?", ".py`?")
            raise Mistake(f"there is no file {source}", label, f"it is relative to {folder}")
        root, name = os.path.dirname(path), os.path.basename(path)[:-3]
        parts = [] if name == "__init__" else [name]
        while os.path.isfile(os.path.join(root, "__init__.py")):
            parts.insert(0, os.path.basename(root))
            root = os.path.dirname(root)
        for part in parts:
            if not part.isidentifier():
                raise Mistake(f"`{part}` cannot be the name of a Python module", "no identifier",
                              "rename the file: letters, digits and `_`")
        return root, ".".join(parts), function
    base = source.replace(".", "/")
    for root in (folder, os.path.join(folder, "src")):
        for path in (os.path.join(root, base, "__init__.py"), os.path.join(root, base + ".py")):
            if os.path.isfile(path):
                return root, source, function
            reads[path] = None
    raise Mistake(f"there is no module `{source}`", "not found", f"it is looked for in {folder} and in its `src`")


def find_function(module, name):
    found = None
    for statement in module.tree.body:
        if getattr(statement, "name", None) == name:
            found = statement
    if isinstance(found, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return found
    if found is not None:
        raise Mistake(f"`{name}` in {module.shown} is a class, not a function", "not a function")
    if name in module.bindings:
        kind, *rest = module.bindings[name][-1]
        if kind == "import":
            help = f"name the module that defines it: {rest[0]}"
            raise Mistake(f"`{name}` is imported by {module.shown}, not defined there", "imported", help)
        raise Mistake(f"`{name}` in {module.shown} is no function at the top level of the file", "not a top-level `def`")
    known = [s.name for s in module.tree.body if isinstance(s, (ast.FunctionDef, ast.AsyncFunctionDef))]
    help = "the functions there are: " + ", ".join(known) if known else "it has no function at its top level"
    raise Mistake(f"{module.shown} has no function `{name}`", near(name, known), help)


def read_interface(project, module, statement, mistakes):
    hints = Hints(project)
    arguments = statement.args
    for argument, stars, what in ((arguments.vararg, "*", "arguments"), (arguments.kwarg, "**", "keyword arguments")):
        if argument is not None:
            mistakes.append(Mistake(f"`{stars}{argument.arg}` of `{statement.name}` takes any {what}, and a task has named inputs",
                                    "cannot be an input", "name each parameter", module, argument).answer)
    for argument in arguments.posonlyargs:
        mistakes.append(Mistake(f"`{argument.arg}` of `{statement.name}` is positional only, and inputs are given by name",
                                "before the `/`", "remove the `/`", module, argument).answer)
    warnings, parameters = [], []
    positional = arguments.posonlyargs + arguments.args
    defaults = [None] * (len(positional) - len(arguments.defaults)) + arguments.defaults
    pairs = list(zip(positional, defaults)) + list(zip(arguments.kwonlyargs, arguments.kw_defaults))
    for argument, default in pairs:
        parameter = {"name": argument.arg, **module.place(argument)}
        if argument.annotation is not None:
            parameter.update(read_hint(hints, module, argument.annotation, warnings, argument.arg))
        if default is not None:
            parameter["optional"] = True
            parameter.update(read_default(default))
        parameters.append(parameter)
    result = {"kind": "missing", "items": [], **module.place(statement)}
    if statement.returns is not None:
        result.update(module.place(statement.returns))
        result.update(read_result(hints, module, statement.returns, warnings))
    return {"parameters": parameters, "result": result, "warnings": warnings,
            "place": module.place(statement)["place"]}


def read_default(node):
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return {}
    if value is None:
        return {"none": True}
    plain = (bool, int, float, str, list, dict, tuple)
    if not isinstance(value, plain) or isinstance(value, float) and (value != value or abs(value) == float("inf")):
        return {}
    import json

    try:
        return {"default": json.loads(json.dumps(value, allow_nan=False))}
    except (TypeError, ValueError):
        return {}


def read_hint(hints, module, node, warnings, name):
    try:
        hint = hints.read(module, node)
    except Meaningless as problem:
        return {"problem": f"{ast.unparse(node)}: {problem}", **module.place(node)}
    if hint.kind == "none":
        return {"problem": "None: is no value that could be given", **module.place(node)}
    warn_pickled(hint, module, node, warnings, name)
    return {"type": hint.type, "one_of": hint.one_of or []}


def warn_pickled(hint, module, node, warnings, name):
    if hint.pickled:
        warnings.append({
            "name": "pickled-value",
            "message": f"`{name}` is kept as a pickle of `{hint.pickled}`",
            "help": "another version of the class may not read it: hand over a file, a dataclass or a plain value",
            **module.place(node),
        })


def read_result(hints, module, node, warnings):
    try:
        hint = hints.read(module, node)
    except Meaningless as problem:
        return {"kind": "one", "items": [{"name": "result", "problem": f"{ast.unparse(node)}: {problem}", **module.place(node)}]}
    if hint.kind == "none":
        return {"kind": "none"}
    if hint.kind in ("fields", "tuple"):
        items = []
        for name, at, inner in hint.fields:
            if inner.kind == "none":
                return {"kind": "one", "items": [{"name": "result", "problem": "a tuple cannot hold None as an output"}]}
            warn_pickled(inner, module, node, warnings, name or "result")
            items.append({"name": name or "", "type": inner.type, **module.place(node)})
        return {"kind": hint.kind, "items": items}
    warn_pickled(hint, module, node, warnings, "result")
    return {"kind": "one", "items": [{"name": "result", "type": hint.type, **module.place(node)}]}
