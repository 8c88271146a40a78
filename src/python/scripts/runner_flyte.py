"""Calls one task of flytekit: JSON to Literals, `dispatch_execute`, Literals back."""

import os

import runner_call


def run(call):
    about = call["flytekit"]
    if "fail" in about:
        # What a condition says where none of its cases holds.
        runner_call.fail(call, 1, "exit", about["fail"], final=True)
    from flytekit.core.context_manager import ExecutionState, FlyteContextManager

    runner_call.own_loader(call["root"])
    task = find(call, about)
    given = runner_call.read(os.environ["RUNNER_INPUTS"])
    from runner_literals import to_literal

    from flytekit.models.literals import LiteralMap

    inputs = {}
    for name, variable in task.interface.inputs.items():
        inputs[name] = to_literal(given.get(name), variable.type)
    context = prepared(call, FlyteContextManager.current_context(), ExecutionState)
    with FlyteContextManager.with_context(context) as inside:
        result = task.dispatch_execute(inside, LiteralMap(inputs))
        if hasattr(result, "__await__"):
            from flytekit.utils.asyn import loop_manager

            async def wait():
                return await result

            result = loop_manager.run_sync(wait)
        hand_back(call, task, result)


def find(call, about):
    from importlib import import_module

    module = import_module(call["module"])
    task = getattr(module, call["function"], None)
    if getattr(task, "name", None) != about["name"]:
        from flytekit.core.context_manager import FlyteEntities

        found = [entity for entity in FlyteEntities.entities if getattr(entity, "name", None) == about["name"]]
        task = found[-1] if found else None
    if not hasattr(task, "dispatch_execute"):
        raise runner_call.Refused("input", f"{call['module']} has no task `{about['name']}` now")
    return task


def prepared(call, context, state_class):
    """What a task sees of its execution: a folder of its own for files, and what the run is called."""
    import datetime
    import logging

    from flytekit.core.checkpointer import SyncCheckpoint
    from flytekit.core.context_manager import ExecutionParameters
    from flytekit.core.data_persistence import FileAccessProvider
    from flytekit.core.mock_stats import MockStats
    from flytekit.models.core.identifier import Identifier, ResourceType, WorkflowExecutionIdentifier

    home = os.path.join(os.environ["OUT"], ".flytekit")
    raw = os.path.join(home, "raw")
    os.makedirs(raw, exist_ok=True)
    project, domain = os.environ.get("RUNNER_PROJECT", ""), os.environ.get("RUNNER_DOMAIN", "")
    run = os.environ.get("RUNNER_RUN_ID", "")
    access = FileAccessProvider(local_sandbox_dir=home, raw_output_prefix=raw)
    parameters = ExecutionParameters(
        execution_date=datetime.datetime.now(datetime.timezone.utc),
        tmp_dir=os.getcwd(),
        stats=MockStats(),
        execution_id=WorkflowExecutionIdentifier(project, domain, run),
        logging=logging.getLogger("flytekit.user"),
        raw_output_prefix=raw,
        checkpoint=SyncCheckpoint(checkpoint_dest=os.path.join(home, "checkpoint")),
        decks=[],
        task_id=Identifier(ResourceType.TASK, project, domain, call["flytekit"]["name"], ""),
    )
    state = context.new_execution_state(os.getcwd()).with_params(
        mode=state_class.Mode.TASK_EXECUTION, user_space_params=parameters
    )
    return context.with_file_access(access).with_execution_state(state)


def hand_back(call, task, result):
    from flytekit.models.literals import LiteralMap
    from runner_literals import to_json

    if not isinstance(result, LiteralMap):
        raise runner_call.Refused("output", f"`{call['function']}` gave back a {type(result).__name__}, and no values")
    outputs = {}
    for name in task.interface.outputs:
        literal = result.literals.get(name)
        if literal is not None:
            outputs[name] = to_json(literal, lambda *found, name=name: keep(name, *found))
    runner_call.write(call["result"], {"outputs": outputs, "unseen": []})


def keep(name, address, is_folder, *at):
    """Brings what a value names to where outputs are, under a name that is the same each time."""
    import shutil

    if "://" in address:
        if not address.startswith("file://"):
            raise runner_call.Refused("output", f"output `{name}` is {address}, which is not on this machine")
        address = address[len("file://"):]
    if not os.path.exists(address):
        raise runner_call.Refused("output", f"output `{name}`: there is nothing at {address}")
    out = os.environ["OUT"]
    part = "-".join([name, *(str(key) for key in reversed(at))]).replace("/", "_")
    pickled = os.path.basename(os.path.dirname(address))
    base = os.path.basename(address.rstrip("/"))
    if not is_folder and len(base) == 32 and all(c in "0123456789abcdef" for c in base) and pickled:
        # A name that flytekit made up.
        base = name + ".pkl"
    target = os.path.join(out, part) if is_folder else os.path.join(out, part, base)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    inside = os.path.realpath(address).startswith(os.path.realpath(os.path.join(out, ".flytekit")) + "/")
    if inside:
        os.rename(address, target)
    elif is_folder:
        shutil.copytree(address, target)
    else:
        shutil.copyfile(address, target)
    return target


def cause_of(error):
    """The exception that the user's code raised, and whether another attempt may follow it."""
    from flytekit.exceptions.user import FlyteRecoverableException

    seen = set()
    while id(error) not in seen:
        seen.add(id(error))
        inner = getattr(error, "value", None)
        if type(error).__module__.startswith("flytekit.exceptions") and isinstance(inner, BaseException):
            error = inner
    return error, isinstance(error, FlyteRecoverableException)
