//! The smallest workflow: one node `n` over one task `t`, every part of which a test may replace.

/// TOML text by its parts; each execution of the task is counted.
pub struct OneTask<'a> {
    pub name: &'a str,
    pub top: &'a str,
    pub cache: &'a str,
    pub extra: &'a str,
    pub inputs: &'a str,
    pub outputs: &'a str,
    pub run: &'a str,
    pub workflow_inputs: &'a str,
    pub bind: &'a str,
    pub node: &'a str,
    pub returns: &'a str,
}

impl Default for OneTask<'_> {
    /// A task that hands its text on.
    fn default() -> Self {
        OneTask {
            name: "wf",
            top: "",
            cache: "cache = true\ncache_version = \"1\"",
            extra: "",
            inputs: "x = \"string\"",
            outputs: "y = \"string\"",
            run: "printf %s \"$x\" > \"$OUT/y\"",
            workflow_inputs: "x = { type = \"string\", default = \"a\" }",
            bind: "x = \"{{ inputs.x }}\"",
            node: "n",
            returns: "y = \"{{ n.y }}\"",
        }
    }
}

impl OneTask<'_> {
    /// A task that hands the file `data.txt` on as a file.
    pub fn copying() -> Self {
        OneTask {
            inputs: "f = \"file\"",
            outputs: "g = \"file\"",
            run: "cp \"$f\" \"$OUT/g\"",
            workflow_inputs: "",
            bind: "f = \"data.txt\"",
            returns: "g = \"{{ n.g }}\"",
            ..OneTask::default()
        }
    }

    pub fn text(&self) -> String {
        let OneTask { name, top, cache, extra, inputs, outputs, run, workflow_inputs, bind, node, returns } =
            self;
        format!(
            "{top}\n[workflow]\nname = \"{name}\"\n[inputs]\n{workflow_inputs}\n\
             [tasks.t]\n{cache}\ninputs = {{ {inputs} }}\noutputs = {{ {outputs} }}\n\
             run = '''\necho t >> @COUNT@\n{run}\n'''\n{extra}\n\
             [nodes.{node}]\ntask = \"t\"\ninputs = {{ {bind} }}\n[outputs]\n{returns}\n"
        )
    }
}
