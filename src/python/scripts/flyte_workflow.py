class FlyteWorkflow:
    """One workflow as a document: its nodes, and the tasks that they use."""

    def __init__(self, program, workflow, plan, is_main):
        self.program, self.workflow, self.plan, self.is_main = program, workflow, plan, is_main
        self.names, self.nodes, self.tasks, self.by_id, self.fixed = set(), {}, {}, {}, {}

    def mistake(self, message, label="cannot run here", help=""):
        return Mistake(message, label, help, **(call_place(self.workflow) if self.workflow else {}))

    def document(self):
        workflow, plan = self.workflow, self.plan
        try:
            if hasattr(workflow, "compile"):
                workflow.compile()
        except Exception as error:
            raise self.program.failed(error) from None
        if plan is not None:
            for name, literal in plan.fixed_inputs.literals.items():
                self.fixed[name] = to_json(literal, local_path)
        inputs = interface_of(workflow.interface.inputs, workflow.python_interface, self.fixed)
        if plan is not None:
            for name, parameter in plan.parameters.parameters.items():
                if parameter.default is not None and name in inputs:
                    inputs[name]["default"] = to_json(parameter.default, local_path)
        for node in workflow.nodes:
            self.node(node, None)
        outputs = {binding.var: self.binding(binding.binding) for binding in workflow.output_bindings}
        header = {"name": workflow.name if plan is None else f"{plan.name}@plan"}
        text = getattr(getattr(workflow, "docs", None), "short_description", None)
        if text:
            header["description"] = text
        failure = getattr(workflow, "failure_node", None)
        if failure is not None:
            header["on_failure"] = self.node(failure, None)
        policy = getattr(workflow.workflow_metadata, "on_failure", None)
        if getattr(policy, "name", "") == "FAIL_AFTER_EXECUTABLE_NODES_COMPLETE":
            header["failure_policy"] = "continue"
        return self.finish(header, inputs, self.nodes, outputs, self.schedules() if self.is_main else [])

    def finish(self, header, inputs, nodes, outputs, schedules):
        document = {"workflow": header, "inputs": inputs, "tasks": self.tasks, "nodes": nodes, "outputs": outputs}
        if schedules:
            document["schedules"] = schedules
        return document

    def schedules(self):
        from flytekit import LaunchPlan

        schedules = []
        for plan in LaunchPlan.CACHE.values():
            if plan.workflow is not self.workflow or plan.schedule is None or self.plan not in (None, plan):
                continue
            name = re.sub(r"[^a-z0-9_]", "_", plan.name.rpartition(".")[2].lower()).strip("_") or "plan"
            entry, schedule = {"name": name}, plan.schedule
            cron = getattr(schedule, "cron_schedule", None)
            if cron is not None and cron.schedule:
                entry["cron"] = cron.schedule if cron.schedule.startswith("@") or " " in cron.schedule else "@" + cron.schedule
            elif schedule.rate is not None:
                unit = {0: "m", 1: "h", 2: "d"}[schedule.rate.unit]
                entry["every"] = f"{schedule.rate.value}{unit}"
            else:
                raise self.mistake(f"the schedule of launch plan `{plan.name}` is of a kind that is not known here")
            given = {name: parameter.default for name, parameter in plan.parameters.parameters.items() if parameter.default}
            given.update(plan.fixed_inputs.literals)
            arg = schedule.kickoff_time_input_arg
            if arg:
                entry["scheduled_at_input"] = arg
            entry["inputs"] = {name: to_json(literal, local_path) for name, literal in given.items()
                               if name not in (arg, *self.fixed) and not is_default(self.workflow, name, literal)}
            schedules.append(entry)
        return schedules

    # Nodes

    def name_for(self, text):
        name = base = own_name(text)
        number = 1
        while name in self.names:
            number += 1
            name = f"{base}_{number}"
        self.names.add(name)
        return name

    def node_name(self, node):
        if node.id and not re.fullmatch(r"(.*-)?d?n\d+|fn\d+", node.id):
            return self.name_for(node.id)
        entity = node.flyte_entity
        inner = getattr(entity, "_run_task", None) or entity
        return self.name_for(getattr(inner, "name", "node").rpartition(".")[2])

    def node(self, node, condition):
        """Adds the entry of a node; its name. A conditional has one for each of its branches."""
        from flytekit import LaunchPlan
        from flytekit.core.condition import BranchNode
        from flytekit.core.workflow import WorkflowBase

        if id(node) in self.by_id:
            return self.by_id[id(node)]
        entity = node.flyte_entity
        if isinstance(entity, BranchNode):
            self.by_id[id(node)] = self.branches(node, entity, condition)
            return self.by_id[id(node)]
        name = self.by_id[id(node)] = self.node_name(node)
        given = {binding.var: binding.binding for binding in node.bindings}
        bound = {var: self.binding(data) for var, data in given.items()}
        bound = {var: value for var, value in bound.items() if value is not None}
        entry = {"inputs": bound}
        if isinstance(entity, LaunchPlan) and not is_reference(entity):
            entry["workflow"] = self.program.add(entity)
            for var in entity.fixed_inputs.literals:
                bound.pop(var, None)
        elif isinstance(entity, WorkflowBase) and not is_reference(entity):
            entry["workflow"] = self.program.add(entity)
        else:
            entry.update(self.task_node(node, entity, name, bound, given))
        before = [one for one in node.upstream_nodes if not self.feeds(one, node)]
        needs = []
        for one in before:
            if isinstance(one.flyte_entity, BranchNode):
                raise self.mistake(f"node `{name}` runs after the conditional `{one.flyte_entity.name}` by order alone",
                                   help="let it take a result of the conditional")
            if one.id:
                needs.append(self.node(one, condition))
        if needs:
            entry["needs"] = needs
        if condition:
            entry["if"] = "{{ " + condition + " }}"
        self.nodes[name] = entry
        return name

    def feeds(self, one, node):
        found = []

        def look(data):
            if data.promise is not None:
                found.append(data.promise.node_id)
            for inner in (data.collection.bindings if data.collection else []):
                look(inner)
            for inner in (data.map.bindings.values() if data.map else []):
                look(inner)

        for binding in node.bindings:
            look(binding.binding)
        return one.id in found

    def task_node(self, node, entity, name, bound, given):
        from flytekit.core.array_node_map_task import ArrayNodeMapTask

        entry = {}
        overrides = {}
        metadata = node.metadata
        task = entity
        if isinstance(entity, ArrayNodeMapTask):
            task = entity._run_task
            for var, value in entity._bound_inputs_values.items():
                if var not in bound:
                    bound[var] = as_binding(default_of(task.python_interface.inputs[var], value, task.interface.inputs[var].type))
            entry["foreach"] = [var for var in entity.interface.inputs if var not in entity._bound_inputs]
            if entity.concurrency:
                entry["concurrency"] = entity.concurrency
            if entity.min_success_ratio is not None and entity.min_success_ratio < 1:
                entry["min_success_ratio"] = entity.min_success_ratio
            elif entity.min_successes:
                raise self.mistake(f"node `{name}`: `min_successes` of map_task is not known here",
                                   help="say min_success_ratio")
        if getattr(metadata, "_cacheable", None) is not None:
            overrides = {"cache": bool(metadata.cacheable), "cache_version": metadata.cache_version,
                         "cache_serialize": bool(metadata.cache_serializable)}
        entry["task"] = self.task(task, name, overrides)
        table = self.tasks[entry["task"]]
        retries = getattr(metadata.retries, "retries", None)
        if retries is not None and retries != table.get("retries", 0):
            entry["retries"] = retries
        timeout = timeout_of(metadata.timeout)
        if timeout and timeout != table.get("timeout"):
            entry["timeout"] = timeout
        if node._resources is not None:
            entry["resources"] = amounts_of(node._resources)
        if node._container_image is not None or node._pod_template is not None:
            self.program.note("`container_image` and pod templates")
        return entry

    def task(self, task, node, overrides):
        """Adds a task; its key among the tasks of this document."""
        table = FlyteTask(self.program, task, self, node).table(overrides)
        key = task.name
        number = 1
        while key in self.tasks and self.tasks[key] != table:
            number += 1
            key = f"{task.name}#{number}"
        self.tasks[key] = table
        return key

    # Values

    def binding(self, data):
        if data.promise is not None:
            text = self.reference(data.promise)
            if isinstance(text, tuple):
                return text[0]
            return "{{ " + text + " }}"
        if data.collection is not None:
            return [self.binding(inner) for inner in data.collection.bindings]
        if data.map is not None:
            return {key: self.binding(inner) for key, inner in data.map.bindings.items()}
        if data.scalar is not None:
            from flytekit.models.literals import Literal

            return as_binding(to_json(Literal(scalar=data.scalar), local_path))
        return None

    def reference(self, promise):
        """An expression for what a promise stands for; a value in a tuple where that is known."""
        path = "".join(f"[{quoted(part) if isinstance(part, str) else part}]" for part in promise.attr_path or [])
        if not promise.node_id or promise.node_id == "start-node":
            if promise.var in self.fixed and not path:
                return (as_binding(self.fixed[promise.var]),)
            return f"inputs.{promise.var}{path}"
        node = promise.node
        text = self.output(node, promise.var)
        return text + path

    def output(self, node, var):
        from flytekit.core.condition import BranchNode

        if not isinstance(node.flyte_entity, BranchNode):
            return f"{self.node(node, None)}.{var}"
        self.node(node, None)
        return "coalesce(" + ", ".join(self.leaves(node, var)) + ")"

    def leaves(self, node, var):
        """The outputs of the branches of a conditional of which one has run."""
        from flytekit.core.condition import BranchNode

        found = []
        for case in cases_of(node.flyte_entity):
            if isinstance(case.flyte_entity, BranchNode):
                found += self.leaves(case, var)
            else:
                found.append(f"{self.by_id[id(case)]}.{var}")
        return found

    # Conditions

    def branches(self, node, branch, outer):
        block, operands = branch._ifelse_block, {binding.var: binding.binding for binding in node.bindings}
        before, first = [outer] if outer else [], None
        for case in [block.case, *(block.other or [])]:
            held = self.expression(case.condition, operands)
            first = self.case(case.then_node, " and ".join([*before, f"({held})"])) or first
            before.append(f"not ({held})")
        otherwise = " and ".join(before)
        if block.else_node is not None:
            self.case(block.else_node, otherwise)
        elif block.error is not None:
            name = self.name_for(branch.name + "_fail")
            self.tasks[name] = {"outputs": {}, "inputs": {}, "flytekit": {
                "name": name, "module": self.program.module_name, "function": name, "fail": block.error.message, "code": {}}}
            self.nodes[name] = {"task": name, "inputs": {}, "if": "{{ " + otherwise + " }}"}
        return first

    def case(self, node, condition):
        for one in node.upstream_nodes:
            if one.id and id(one) not in self.by_id and one not in self.workflow.nodes:
                self.case(one, condition)
        return self.node(node, condition)

    def expression(self, expression, operands):
        if expression.conjunction is not None:
            both = expression.conjunction
            word = {0: "and", 1: "or"}[both.operator]
            left, right = (self.expression(side, operands) for side in (both.left_expression, both.right_expression))
            return f"({left}) {word} ({right})"
        one = expression.comparison
        word = {0: "==", 1: "!=", 2: ">", 3: ">=", 4: "<", 5: "<="}[one.operator]
        return f"{self.operand(one.left_value, operands)} {word} {self.operand(one.right_value, operands)}"

    def operand(self, operand, operands):
        if operand.var is not None and operand.var in operands:
            data = operands[operand.var]
            if data.promise is None:
                return self.written(to_json_of(data))
            text = self.reference(data.promise)
            return self.written(text[0]) if isinstance(text, tuple) else text
        if operand.scalar is not None:
            from flytekit.models.literals import Literal

            return self.written(to_json(Literal(scalar=operand.scalar), local_path))
        if operand.primitive is not None:
            return self.written(operand.primitive.value)
        return "none"

    def written(self, value):
        if value is None:
            return "none"
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, (int, float)):
            return repr(value)
        if isinstance(value, str):
            return quoted(value)
        raise self.mistake(f"a condition compares with {value!r}, which is not known here", help="compare texts, numbers or bools")


def cases_of(branch):
    block = branch._ifelse_block
    cases = [case.then_node for case in [block.case, *(block.other or [])]]
    return cases + ([block.else_node] if block.else_node is not None else [])


def to_json_of(data):
    from flytekit.models.literals import Literal

    return to_json(Literal(scalar=data.scalar), local_path) if data.scalar is not None else None


def is_reference(entity):
    return type(entity).__name__.startswith("Reference")


def is_default(workflow, name, literal):
    """Whether a launch plan repeats a default of its workflow."""
    python_type, default = workflow.python_interface.inputs_with_defaults.get(name, (None, None))
    if default is None:
        return False
    return default_of(python_type, default, workflow.interface.inputs[name].type) == to_json(literal, local_path)


def timeout_of(timeout):
    if not timeout:
        return None
    if isinstance(timeout, int):
        return f"{timeout}s"
    return seconds(timeout) + "s" if timeout.total_seconds() > 0 else None


def amounts_of(resources):
    """The amounts that a task requests, of models or of `Resources`."""
    from flytekit.models.task import Resources

    found = {}
    if isinstance(resources, Resources):
        names = {Resources.ResourceName.CPU: "cpu", Resources.ResourceName.GPU: "gpu", Resources.ResourceName.MEMORY: "mem"}
        found = {names[entry.name]: entry.value for entry in resources.requests if entry.name in names}
    else:
        for name in ("cpu", "gpu", "mem"):
            value = getattr(resources, name, None)
            if isinstance(value, (list, tuple)):
                value = value[0]
            if value is not None:
                found[name] = str(value)
    amounts = {}
    for name in ("cpu", "gpu"):
        if name in found:
            text = found[name]
            count = float(text[:-1]) / 1000 if text.endswith("m") else float(text)
            amounts[name + "s"] = max(int(-(-count // 1)), 1 if name == "cpu" else 0)
    if "mem" in found:
        number, unit = re.fullmatch(r"([0-9.]+)\s*([A-Za-z]*)", found["mem"]).groups()
        amounts["memory"] = number + {"": "B", "K": "kB", "k": "kB"}.get(unit, unit + "B" if unit else "B")
    return amounts
