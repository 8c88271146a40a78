import re

def read_program(request):
    """What a program written with flytekit says, as workflow documents; to learn it, the program is imported."""
    reads, answer = {}, {"documents": {}, "mistakes": [], "main": None}
    try:
        FlyteProgram(request, reads).read(answer)
    except Mistake as mistake:
        answer["mistakes"].append(mistake.answer)
    for path in list(loaded_files(answer.get("root"))):
        if path not in reads:
            try:
                with open(path, "rb") as file:
                    reads[path] = hashlib.sha256(file.read()).hexdigest()
            except OSError:
                reads[path] = None
    folders = {path for path in sys.path if os.path.isdir(path) and is_installed(path + "/x")}
    answer["folders"] = [[path, os.stat(path).st_mtime_ns] for path in sorted(folders)]
    answer.update(reads=reads, executable=sys.executable)
    return answer


def loaded_files(root):
    """The files of the project that were loaded."""
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        inside = root and isinstance(path, str) and path.startswith(root.rstrip("/") + "/")
        if inside and "/site-packages/" not in path and "/dist-packages/" not in path and not path.startswith(sys.prefix + "/"):
            yield path


class FlyteProgram:
    def __init__(self, request, reads):
        self.file, self.asked, self.reads = request["file"], request.get("name"), reads
        self.folder, self.base = os.path.split(self.file)
        self.documents, self.tasks, self.notes = {}, {}, []

    def read(self, answer):
        root, self.module_name, _ = locate({"target": f"{self.base}:x", "dir": self.folder}, self.reads)
        answer["root"] = self.root = root
        self.project = Project(root, self.reads)
        if self.project.load(self.module_name) is None:
            raise Mistake(f"there is no readable module `{self.module_name}` below {root}")
        self.need_flytekit()
        self.load()
        entity = self.choose()
        answer["main"] = self.add(entity, is_main=True)
        answer.update(documents=self.documents, files=sorted(loaded_files(root)), notes=self.notes,
                      python="{}.{}".format(*sys.version_info))

    def need_flytekit(self):
        from importlib import metadata

        try:
            version = metadata.version("flytekit")
        except metadata.PackageNotFoundError:
            help = "install it there (pip install flytekit), or name another environment with --python-env"
            raise Mistake(f"there is no flytekit for {sys.executable}", "needs flytekit", help) from None
        numbers = [int(part) for part in version.split(".")[:2] if part.isdigit()]
        if numbers < [1, 14]:
            raise Mistake(f"flytekit {version} is too old", "needs 1.14 or later", "pip install --upgrade flytekit")

    def load(self):
        from importlib import import_module

        sys.path[0:1] = [self.root]
        try:
            self.module = import_module(self.module_name)
        except BaseException as error:
            raise self.failed(error) from None

    def failed(self, error):
        """A mistake of an exception: the lines of the project that led to it."""
        import traceback

        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(self.root + "/")
                  and "/site-packages/" not in frame.filename]
        lines = [f"{frame.filename}:{frame.lineno}, in {frame.name}: {(frame.line or '').strip()}" for frame in frames]
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        place = {}
        if isinstance(error, SyntaxError) and error.filename and error.lineno:
            place = {"file": error.filename, "place": [error.lineno, 0, error.lineno, 1]}
        elif frames:
            last = frames[-1]
            place = {"file": last.filename, "place": [last.lineno, 0, last.lineno, len(last._original_line.rstrip()) if
                                                      hasattr(last, "_original_line") else 1]}
        help = "the way there:\n" + "\n".join(lines) if len(lines) > 1 else ""
        return Mistake(f"the program cannot be imported: {text}", "raised here", help, **place)

    def choose(self):
        """The workflow, task or launch plan that is meant."""
        from flytekit import LaunchPlan
        from flytekit.core.base_task import PythonTask
        from flytekit.core.context_manager import FlyteEntities
        from flytekit.core.workflow import WorkflowBase

        kinds = (WorkflowBase, PythonTask, LaunchPlan)
        named = {name: value for name, value in vars(self.module).items() if isinstance(value, kinds)}
        for entity in FlyteEntities.entities:
            if isinstance(entity, kinds):
                named.setdefault(entity.name, entity)
        for plans in (LaunchPlan.CACHE.values(),):
            for plan in plans:
                named.setdefault(plan.name, plan)
        if self.asked:
            if self.asked not in named:
                own = [name for name in named if name in vars(self.module)] or list(named)
                raise Mistake(f"{self.base} has no workflow, task or launch plan `{self.asked}`", near(self.asked, named),
                              "there are: " + ", ".join(sorted(own)))
            return named[self.asked]
        found = {}
        for name, value in vars(self.module).items():
            if isinstance(value, WorkflowBase):
                found.setdefault(id(value), (name, value))
        found = list(found.values())
        own = [(name, value) for name, value in found if value.name.rpartition(".")[0] in (self.module_name, "")] or found
        if len(own) == 1:
            return own[0][1]
        if own:
            raise Mistake(f"{self.base} has {len(own)} workflows", "which one?",
                          "name one: " + ", ".join(f"{self.base}:{name}" for name, _ in own))
        others = [name for name in named if name in vars(self.module)]
        help = "name one of these: " + ", ".join(f"{self.base}:{name}" for name in others) if others else \
            "write one with @workflow, or name a task: FILE.py:TASK"
        raise Mistake(f"{self.base} has no workflow of flytekit", "", help)

    # Documents

    def path(self, name):
        return f"{self.base}:{name}#python"

    def add(self, entity, is_main=False):
        """Adds the document of a workflow, a launch plan or a task; its path, relative to the program's folder."""
        from flytekit import LaunchPlan
        from flytekit.core.workflow import WorkflowBase

        path = self.path(entity.name)
        if isinstance(entity, LaunchPlan):
            path = self.path(f"{entity.name}@plan")
        if path in self.documents:
            return path
        if not isinstance(entity, (WorkflowBase, LaunchPlan)):
            self.documents[path] = OneTask(self, entity).document()
            return path
        self.documents[path] = {}
        workflow, plan = (entity.workflow, entity) if isinstance(entity, LaunchPlan) else (entity, None)
        if not isinstance(workflow, WorkflowBase) or type(workflow).__name__.startswith("Reference"):
            raise Mistake(f"`{entity.name}` is a reference to something elsewhere", "cannot run here",
                          "import the workflow or task itself")
        self.documents[path] = FlyteWorkflow(self, workflow, plan, is_main).document()
        return path

    def note(self, text):
        if text not in self.notes:
            self.notes.append(text)


def call_place(entity):
    """Where a function of the user stands."""
    function = getattr(entity, "_workflow_function", None) or getattr(entity, "task_function", None)
    code = getattr(inspect_unwrap(function), "__code__", None)
    if code is None:
        return {}
    return {"file": code.co_filename, "place": [code.co_firstlineno, 0, code.co_firstlineno, 1]}


def inspect_unwrap(function):
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    return function


def own_name(text):
    """A name that can stand in a template."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", text) or "node"
    if name[0].isdigit():
        name = "n" + name
    reserved = {"inputs", "failure", "true", "false", "none", "not", "and", "or", "in", "is", "if", "else", "self", "loop",
                "True", "False", "None"}
    return name + "_" if name in reserved else name


def quoted(text):
    import json

    return json.dumps(text, ensure_ascii=False)


def as_binding(value):
    """JSON as a binding: a text with braces is none with an expression."""
    if isinstance(value, str) and "{{" in value:
        return "{{ " + quoted(value).replace("{", "\\u007b").replace("}", "\\u007d") + " }}"
    if isinstance(value, list):
        # A document has no null in a list, but an expression may be one.
        return ["{{ none }}" if inner is None else as_binding(inner) for inner in value]
    if isinstance(value, dict):
        return {key: "{{ none }}" if inner is None else as_binding(inner) for key, inner in value.items()}
    return value


def local_path(uri, is_folder, *at):
    if "://" in uri and not uri.startswith("file://"):
        raise Mistake(f"{uri} is not on this machine", "no file here", "only local files can be given")
    return os.path.abspath(uri[len("file://"):] if uri.startswith("file://") else uri)


def default_of(python_type, value, literal_type):
    """A default as JSON; None where it cannot be written out."""
    from flytekit.core.context_manager import FlyteContextManager
    from flytekit.core.type_engine import TypeEngine

    if value is None:
        return None
    context = FlyteContextManager.current_context()
    default = to_json(TypeEngine.to_literal(context, value, python_type, literal_type), local_path)
    if holds_null(default):
        raise Mistake(f"the default {value!r} holds a None, which a default cannot", "not known here", "give the value instead")
    return default


def holds_null(value):
    if isinstance(value, (list, dict)):
        return any(holds_null(inner) for inner in (value.values() if isinstance(value, dict) else value))
    return value is None


def interface_of(variables, python_interface, fixed=(), optional=False):
    defaults = getattr(python_interface, "inputs_with_defaults", None) or {}
    inputs = {}
    for name, variable in variables.items():
        if name in fixed:
            continue
        kind, choices = type_of(variable.type)
        entry = {"type": kind}
        if choices:
            entry["one_of"] = choices
        python_type, default = defaults.get(name, (None, None))
        if default is not None:
            value = default_of(python_type, default, variable.type)
            if value is not None:
                entry["default"] = value
        inputs[name] = entry
    return inputs


class OneTask:
    """A task as a workflow of one node."""

    def __init__(self, program, task):
        self.program, self.task = program, task

    def document(self):
        workflow = FlyteWorkflow(self.program, None, None, True)
        name = workflow.name_for(self.task.name.rpartition(".")[2])
        key = workflow.task(self.task, name, {})
        inputs = interface_of(self.task.interface.inputs, getattr(self.task, "python_interface", None))
        outputs = {output: f"{{{{ {name}.{output} }}}}" for output in self.task.interface.outputs}
        node = {"task": key, "inputs": {one: f"{{{{ inputs.{one} }}}}" for one in inputs}}
        return workflow.finish({"name": self.task.name}, inputs, {name: node}, outputs, [])
