class FlyteTask:
    """One task as an entry of `tasks`."""

    def __init__(self, program, task, workflow, node):
        self.program, self.task, self.workflow, self.node = program, task, workflow, node

    def refuse(self, what, help=""):
        place = call_place(self.workflow.workflow) if self.workflow.workflow else call_place(self.task)
        return Mistake(f"node `{self.node}`: {what}", "cannot run here", help, **place)

    def check(self):
        task, kind = self.task, type(self.task)
        names = [one.__name__ for one in kind.__mro__]
        if "Gate" in names:
            raise self.refuse("`approve`, `wait_for_input` and `sleep` are not known here")
        if "EagerAsyncPythonFunctionTask" in names:
            raise self.refuse("`@eager` is not known here", "write a @workflow")
        if kind.__name__.startswith("Reference"):
            raise self.refuse(f"`{getattr(task, 'name', '')}` is a reference to a task elsewhere", "import the task itself")
        if "ContainerTask" in names:
            raise self.refuse("a ContainerTask needs a container")
        if not hasattr(task, "dispatch_execute"):
            raise self.refuse(f"a {kind.__name__} is not known here")
        mode = getattr(task, "execution_mode", None)
        if getattr(mode, "name", "") == "DYNAMIC":
            raise self.refuse("`@dynamic` is not known here yet", "write a @workflow with map_task or conditional")
        if not kind.__module__.startswith(("flytekit.core.", "flytekit.extras.tasks.shell")) and kind.__module__ != self.own_module():
            raise self.refuse(f"{kind.__name__} is a task of a plugin or an agent")

    def own_module(self):
        module = type(self.task).__module__
        return module if self.program.project.find(module.partition(".")[0]) is not None else None

    def table(self, overrides):
        self.check()
        task, metadata = self.task, self.task.metadata
        table = {
            "inputs": interface_of(task.interface.inputs, getattr(task, "python_interface", None)),
            "outputs": {name: type_of(variable.type)[0] for name, variable in task.interface.outputs.items()},
            "flytekit": self.call(),
        }
        hints = getattr(task.python_interface, "inputs", {}) | getattr(task.python_interface, "outputs", {})
        for name, hint in hints.items():
            inner = file_inside(hint)
            if inner:
                raise self.refuse(f"`{name}` of `{task.name}` holds a {inner} inside a value", "hand over the file itself")
            if is_hashed(hint):
                self.program.note("a HashMethod: its values count by their content")
        text = getattr(getattr(task, "docs", None), "short_description", None)
        if text:
            table["description"] = text
        if metadata.cache:
            table.update(cache=True, cache_version=metadata.cache_version)
            if metadata.cache_serialize:
                table["cache_serialize"] = True
            if metadata.cache_ignore_input_vars:
                table["cache_ignore_inputs"] = list(metadata.cache_ignore_input_vars)
        for key, value in overrides.items():
            if value is not None and (key != "cache_version" or value):
                table[key] = value
        if metadata.retries:
            table["retries"] = metadata.retries
        timeout = timeout_of(metadata.timeout)
        if timeout:
            table["timeout"] = timeout
        environment = getattr(task, "environment", None)
        if environment:
            table["env"] = {key: str(value) for key, value in environment.items()}
        resources = getattr(task, "resources", None)
        if resources is not None and getattr(resources, "requests", None) is not None:
            amounts = amounts_of(resources.requests)
            if amounts:
                table["resources"] = amounts
        secrets = getattr(getattr(task, "security_context", None), "secrets", None)
        if secrets:
            table["secrets"] = [secret_name(secret) for secret in secrets]
        self.note_what_has_no_effect(metadata)
        return table

    def note_what_has_no_effect(self, metadata):
        task, note = self.task, self.program.note
        if getattr(task, "container_image", None) is not None:
            note("`container_image`")
        if getattr(task, "pod_template", None) is not None or metadata.pod_template_name:
            note("pod templates")
        if metadata.interruptible is not None:
            note("`interruptible`")
        if not getattr(task, "disable_deck", True):
            note("decks")
        if getattr(task, "_extended_resources", None) is not None or getattr(task, "accelerator", None) is not None:
            note("accelerators")

    def call(self):
        task, project = self.task, self.program.project
        function = inspect_unwrap(getattr(task, "task_function", None))
        module = getattr(function, "__module__", None) or self.instantiated_in()
        name = getattr(function, "__name__", None) or self.variable_of(module)
        code, preload = {}, []
        try:
            found = project.load(module) if project.find(module) else None
            if found is not None:
                closure = Closure(project).of(found, name)
                code, preload = closure.parts, closure.preload
        except Mistake:
            # What cannot be parsed could not be imported either.
            pass
        return {"name": task.name, "module": module, "function": self.variable_of(module) or name, "code": code,
                "preload": preload}

    def instantiated_in(self):
        return getattr(self.task, "_instantiated_in", None) or getattr(self.task, "instantiated_in", None) or self.program.module_name

    def variable_of(self, module):
        for name, value in vars(sys.modules.get(module, self.program.module)).items():
            if value is self.task:
                return name
        return None


def secret_name(secret):
    from flytekit.core.context_manager import SecretsManager

    manager = SecretsManager()
    try:
        return manager.get_secrets_env_var(secret.group, secret.key, secret.group_version)
    except TypeError:
        return manager.get_secrets_env_var(secret.group, secret.key)


def is_hashed(hint):
    return any(type(one).__name__ == "HashMethod" for one in getattr(hint, "__metadata__", ()))


def file_inside(hint, depth=0):
    """The kind of file in a field of a class that becomes one value, or None."""
    import dataclasses

    if depth > 5:
        return None
    fields = []
    if dataclasses.is_dataclass(hint) and isinstance(hint, type) and not is_file(hint):
        import typing

        try:
            fields = [*typing.get_type_hints(hint).values()]
        except Exception:
            fields = [field.type for field in dataclasses.fields(hint)]
        for inner in fields:
            found = file_in(inner) or file_inside(inner, depth + 1)
            if found:
                return found
    return None


def file_in(hint):
    if is_file(hint):
        return hint.__name__
    for inner in getattr(hint, "__args__", ()):
        found = file_in(inner)
        if found:
            return found
    return None


def is_file(hint):
    names = {one.__name__ for one in getattr(hint, "__mro__", ())}
    return bool(names & {"FlyteFile", "FlyteDirectory", "StructuredDataset", "FlyteSchema"})


def main_program(text):
    import json
    import signal

    # The default action ends the process, whatever it does.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(60)
    sys.setrecursionlimit(10000)
    # What the program prints when it is imported is none of the answer.
    answers = os.dup(1)
    os.dup2(2, 1)
    answer = json.dumps(read_program(json.loads(text)))
    sys.stdout.flush()
    with os.fdopen(answers, "w") as file:
        file.write(answer + "\n")
    os._exit(0)
