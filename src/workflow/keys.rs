//! Every key of a workflow file: its name, the shape of its value, what it is for, and whether it is reserved.
//!
//! The one list that the reader of files (unknown keys, suggestions) and the JSON schema are both made from.

use crate::core::notify::NotifyEvent;

/// One key of a table.
pub struct Key {
    pub name: &'static str,
    pub shape: Shape,
    /// One sentence for editors.
    pub doc: &'static str,
    pub state: KeyState,
}

/// Whether a key can be used.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    Ready,
    /// Kept free for a later version of the format.
    Reserved,
}

/// The shape of a key's value, as far as an editor can check it.
#[derive(Clone, Copy)]
pub enum Shape {
    /// A lower-case identifier or another name.
    Text,
    Bool,
    /// A whole number, at least the given one.
    Whole(i64),
    Number,
    /// Text such as `90s`.
    Duration,
    Texts,
    /// A text, or a list of texts.
    TextOrTexts,
    /// A list of texts, or of tables with these keys.
    Sources(&'static [Key]),
    /// A table of texts.
    TextTable,
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// A table from names to types, short or long; the long form has these keys.
    Inputs(&'static [Key]),
    /// The same for outputs, or a list of names.
    Outputs,
    /// A table from names to any values.
    Bindings,
    /// A table from names to amounts.
    Amounts,
    /// A table of published workflow outputs.
    Published,
    Table(&'static [Key]),
    /// A table from names to tables.
    Tables(&'static [Key]),
    /// An array of tables with these keys, and those that each must have.
    Array(&'static [Key], &'static [&'static str]),
    /// A list of some of these texts.
    Choices(&'static [&'static str]),
    Any,
}

pub const fn key(name: &'static str, shape: Shape, doc: &'static str) -> Key {
    Key { name, shape, doc, state: KeyState::Ready }
}

const fn reserved(name: &'static str) -> Key {
    Key { name, shape: Shape::Any, doc: "Reserved for a later version.", state: KeyState::Reserved }
}

/// The policies that a task, a node and `[defaults]` have in common.
macro_rules! execution_policies {
    () => {
        [
            key("retries", Shape::Whole(0), "How many attempts may follow a failed first one; default 0."),
            key("retry_delay", Shape::Duration, "The wait before the second attempt; default \"1s\"."),
            key("retry_backoff", Shape::Number, "The factor by which each further wait grows; default 2.0."),
            key("timeout", Shape::Duration, "How long an attempt may take; none by default."),
            key("grace", Shape::Duration, "The time between SIGTERM and SIGKILL; default \"10s\"."),
            key(
                "resources",
                Shape::Amounts,
                "The resources that the scheduler reserves, as { cpus = 2, memory = \"4GiB\", gpu = 1 }; default 1 cpu.",
            ),
            key("executor", Shape::Text, "Where attempts run, by the name in the settings; default \"local\"."),
            key("executor_args", Shape::Texts, "More arguments of the command that submits a job."),
            key("chunk", Shape::Any, "How many attempts share a job: \"auto\" or a whole number; default what the executor says."),
            key("chunk_parallel", Shape::Whole(1), "How many attempts of a job run at once; default what the executor says."),
        ]
    };
}

/// The policies about the cache, of a task and of `[defaults]`.
macro_rules! cache_policies {
    () => {
        [
            key("cache", Shape::Bool, "Whether results are memoised; default false."),
            key(
                "cache_version",
                Shape::Text,
                "A pinned version; without one the version follows the definition.",
            ),
            key("cache_serialize", Shape::Bool, "Identical work started at the same time runs once."),
            key("cache_ignore_inputs", Shape::Texts, "Inputs left out of the cache key."),
            key(
                "cache_remote",
                Shape::Bool,
                "false: results are not put into the shared cache, nor taken from it.",
            ),
            key("cache_max_age", Shape::Duration, "An older entry is a miss, and is replaced."),
            key(
                "cache_env",
                Shape::Texts,
                "Variables that are passed to the task and join the automatic version.",
            ),
            key(
                "cache_aliases",
                Shape::Texts,
                "Qualified names that the task had before: their results count where it has none.",
            ),
        ]
    };
}

/// Joins constant lists of keys into one.
macro_rules! join {
    ($name:ident, $($part:expr),+) => {{
        const PARTS: &[&[Key]] = &[$(&$part),+];
        const LENGTH: usize = { let mut n = 0; let mut i = 0; while i < PARTS.len() { n += PARTS[i].len(); i += 1; } n };
        const JOINED: [Key; LENGTH] = {
            let mut all = [const { key("", Shape::Any, "") }; LENGTH];
            let (mut n, mut i) = (0, 0);
            while i < PARTS.len() {
                let mut j = 0;
                while j < PARTS[i].len() {
                    let k = &PARTS[i][j];
                    all[n] = Key { name: k.name, shape: k.shape, doc: k.doc, state: k.state };
                    n += 1;
                    j += 1;
                }
                i += 1;
            }
            all
        };
        &JOINED
    }};
}

/// The top level of a workflow file.
pub const FILE: &[Key] = &[
    key("import", Shape::Texts, "Library files whose tasks are used here, relative to this file."),
    key("workflow", Shape::Table(WORKFLOW), "The name and the settings of the workflow."),
    key("inputs", Shape::Inputs(WORKFLOW_INPUT), "The workflow's own typed inputs."),
    key("defaults", Shape::Table(DEFAULTS), "Settings for every task of this file that does not set them."),
    key("resources", Shape::Amounts, "How much of each resource there is, as { gpu = 2 }."),
    key("tasks", Shape::Tables(TASK), "Reusable, typed definitions."),
    key("nodes", Shape::Tables(NODE), "Uses of tasks, with their inputs bound."),
    key("outputs", Shape::Published, "The results of the workflow."),
    key("schedules", Shape::Array(SCHEDULE, &["name"]), "When the workflow runs by itself."),
    key("notify", Shape::Array(NOTIFY, &[]), "Who is told of scheduled runs."),
];

/// The top level of a library file.
pub const LIBRARY_FILE: &[Key] = &[
    key("import", Shape::Texts, "Further libraries that importers of this one get as well."),
    key("library", Shape::Table(LIBRARY), "The name of the library."),
    key("defaults", Shape::Table(DEFAULTS), "Settings for every task of this file that does not set them."),
    key("tasks", Shape::Tables(TASK), "Reusable, typed definitions."),
];

pub const WORKFLOW: &[Key] = &[
    key("name", Shape::Text, "Required; the first part of its tasks' qualified names."),
    key("description", Shape::Text, "A description for people."),
    key("project", Shape::Text, "Used when --project is not given; else \"default\"."),
    key("domain", Shape::Text, "Used when --domain is not given; else \"development\"."),
    key("on_failure", Shape::Text, "A node that runs last when the run failed."),
    key("on_success", Shape::Text, "A node that runs last when the run succeeded."),
    key(
        "exclusive",
        Shape::Choice(&["skip", "wait"]),
        "At most one run of this workflow, project and domain at a time: a second one ends at once, or waits.",
    ),
];

pub const LIBRARY: &[Key] = &[
    key("name", Shape::Text, "Required; the first part of its tasks' qualified names."),
    key("description", Shape::Text, "A description for people."),
];

/// The policies that `--set` can change.
pub const POLICIES: &[Key] = join!(POLICIES, execution_policies!(), cache_policies!());

/// `[defaults]`.
pub const DEFAULTS: &[Key] = join!(
    DEFAULTS,
    *POLICIES,
    [
        key(
            "shell",
            Shape::Texts,
            "The program that runs scripts; default [\"bash\", \"-euo\", \"pipefail\"]."
        ),
        key("env", Shape::TextTable, "Variables for every task; a task's own values win."),
        key("pass_env", Shape::Texts, "Variables passed on from the caller's environment; may hold `*`."),
        key("cwd", Shape::Choice(&["scratch", "workflow"]), "Where commands run; default \"scratch\"."),
        key(
            "python_env",
            Shape::Text,
            "The Python of functions: a folder with bin/python, an interpreter, \"conda:NAME\" or \"uv\"."
        ),
    ]
);

/// The policies of its task that a node can override.
pub const NODE_POLICIES: &[Key] = join!(NODE_POLICIES, execution_policies!());

pub const TASK: &[Key] = join!(
    TASK,
    [
        key("description", Shape::Text, "A description for people."),
        key("inputs", Shape::Inputs(INPUT), "Its typed inputs."),
        key("outputs", Shape::Outputs, "Its typed outputs."),
        key(
            "run",
            Shape::Text,
            "A shell script; inputs are variables of the same name, outputs go to \"$OUT/NAME\"."
        ),
        key("argv", Shape::Texts, "A command without a shell; each item is a template over the inputs."),
        key(
            "python",
            Shape::Text,
            "Instead of run: FILE.py:FUNCTION or package.module:FUNCTION; its hints are the inputs and outputs."
        ),
        key(
            "python_env",
            Shape::Text,
            "The Python of the function: a folder with bin/python, an interpreter, \"conda:NAME\" or \"uv\"."
        ),
        key(
            "python_start",
            Shape::Choice(&["fork", "reuse", "cold"]),
            "How a process for the function begins: forked from an interpreter that has imported packages (\"fork\", the default), so that it makes other attempts of the task as well (\"reuse\"), or as a new interpreter (\"cold\")."
        ),
        key(
            "dynamic",
            Shape::Bool,
            "Whether the command may write a workflow to $RUNNER_WORKFLOW, which runs in place of its outputs; default false."
        ),
        key(
            "args",
            Shape::Texts,
            "The positional parameters of `run`; each item is a template over the inputs."
        ),
        key(
            "shell",
            Shape::Texts,
            "The program that runs the script; default [\"bash\", \"-euo\", \"pipefail\"]."
        ),
        key(
            "sources",
            Shape::Sources(SOURCE),
            "Globs of files the command needs beside its inputs, relative to this file."
        ),
        key(
            "cwd",
            Shape::Choice(&["scratch", "workflow"]),
            "Where the command runs; default \"scratch\", an empty folder."
        ),
        key("env", Shape::TextTable, "Variables of the command's environment."),
        key("pass_env", Shape::Texts, "Variables passed on from the caller's environment; may hold `*`."),
        key("secrets", Shape::Texts, "Variables passed on whose values are masked everywhere."),
        key(
            "stage",
            Shape::Choice(&["auto", "copy", "link"]),
            "How input files are brought to the task; default \"auto\"."
        ),
        reserved("image"),
        reserved("sandbox"),
    ],
    execution_policies!(),
    cache_policies!()
);

/// The long form of an entry of `sources`.
pub const SOURCE: &[Key] = &[
    key("path", Shape::Text, "Required; a glob, relative to this file."),
    key("as", Shape::Text, "The folder of the scratch directory that replaces the literal part of `path`."),
];

pub const NODE: &[Key] = join!(
    NODE,
    [
        key("description", Shape::Text, "A description for people."),
        key("task", Shape::Text, "The task; may be left out when it has the node's own name."),
        key("inputs", Shape::Bindings, "The task's inputs, as values or {{ references }}."),
        key("needs", Shape::Texts, "Nodes that must succeed first, without passing any data."),
        key("foreach", Shape::Texts, "Runs once for each element of these list inputs."),
        key("matrix", Shape::Texts, "Runs once for each combination of these list inputs."),
        key("concurrency", Shape::Whole(1), "How many elements may run at once."),
        key("min_success_ratio", Shape::Number, "How many of the elements must succeed, from 0 to 1."),
        key("if", Shape::Any, "A {{ condition }}; the node is skipped when it is false."),
        key(
            "workflow",
            Shape::Text,
            "Instead of task: a workflow file that runs as this node, relative to this file."
        ),
    ],
    execution_policies!()
);

/// An input of the workflow.
pub const WORKFLOW_INPUT: &[Key] = &[
    key("type", Shape::Text, "Required; the type."),
    key("default", Shape::Any, "The value when none is given."),
    key("description", Shape::Text, "A description for people."),
    key("one_of", Shape::Any, "The only values allowed."),
];

/// An input of a task.
pub const INPUT: &[Key] = join!(
    INPUT,
    *WORKFLOW_INPUT,
    [key(
        "pass",
        Shape::Choice(&["env", "file"]),
        "How the command gets the value: \"env\", the default, as a variable; \"file\", as the path of a file with the text."
    )]
);

pub const OUTPUT: &[Key] = &[
    key("type", Shape::Text, "Required; the type."),
    key("description", Shape::Text, "A description for people."),
    key("from", Shape::Choice(&["stdout"]), "Takes standard output, as text or as a file."),
    key("path", Shape::Text, "Takes this file or directory of the scratch folder, keeping its base name."),
];

pub const PUBLISHED: &[Key] = &[
    key("value", Shape::Any, "Required; the value."),
    key("path", Shape::Text, "Where a file or directory is published, relative to this file."),
    key("description", Shape::Text, "A description for people."),
];

pub const SCHEDULE: &[Key] = &[
    key("name", Shape::Text, "Required; unique in the file. The whole name is <workflow>/<name>."),
    key(
        "cron",
        Shape::TextOrTexts,
        "Five fields or six (seconds first), or @daily and its kin; a list gives the union of their instants.",
    ),
    key("every", Shape::Duration, "Instead of cron: an interval of whole seconds, at least \"1s\"."),
    key("timezone", Shape::Text, "An IANA name, for cron only; default UTC."),
    key("inputs", Shape::Bindings, "Plain values of the workflow's inputs for these runs."),
    key(
        "scheduled_at_input",
        Shape::Text,
        "A datetime input that receives the instant, or a date input: its day.",
    ),
    key(
        "overlap",
        Shape::Choice(&["skip", "queue", "replace", "allow"]),
        "The action while the run before still goes on; default skip.",
    ),
    key(
        "catch_up",
        Shape::Choice(&["latest", "none", "all"]),
        "The action for instants that were missed; default latest.",
    ),
    key("catch_up_window", Shape::Duration, "How far back missed instants count; default \"1d\"."),
    key("jitter", Shape::Duration, "Each instant is delayed by a part of this; default \"0s\"."),
    key("start", Shape::Any, "No instant before it; `every` counts from it."),
    key("max_runtime", Shape::Duration, "A longer run is ended, and fails; none by default."),
    key("keep_runs", Shape::Whole(1), "The number of its runs that stay in the history; default 1000."),
    key("project", Shape::Text, "As for exec."),
    key("domain", Shape::Text, "As for exec."),
];

/// Names that mean something to other programs when they are environment variables.
pub const FOREIGN_VARIABLES: [&str; 6] =
    ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy", "rsync_proxy"];

/// Words of the template language, which no name may be.
pub const TEMPLATE_WORDS: [&str; 10] =
    ["and", "or", "not", "in", "is", "if", "else", "true", "false", "none"];

/// Sections that a workflow file must not hold.
pub const SETTINGS_ONLY: [&str; 4] = ["executors", "cache", "smtp", "serve"];

/// `[[notify]]`, of settings and workflow files.
pub const NOTIFY: &[Key] = &[
    key("name", Shape::Text, "One nearer to the workflow replaces one of the same name."),
    key("on", Shape::Choices(&NotifyEvent::NAMES), "What is told; default [\"failure\", \"recovery\"]."),
    key("webhook", Shape::Text, "The address of a POST; may hold ${NAME} and ${file:PATH}."),
    key("command", Shape::Texts, "A program and its arguments; the message is its standard input."),
    key("email", Shape::Texts, "Addresses of mail, which goes through [smtp] of the settings."),
    key("headers", Shape::TextTable, "Headers of the POST; may hold ${NAME} and ${file:PATH}."),
    key("body", Shape::Text, "A template over the message; without it the message as JSON."),
    key("schedules", Shape::Texts, "Schedules whose runs are told; default all."),
    key("after", Shape::Whole(1), "Consecutive failures before the first message; default 1."),
    key("repeat", Shape::Duration, "How long a failure goes on before it is told again; never by default."),
    key("timeout", Shape::Duration, "How long one try may take; default \"10s\"."),
    key("disabled", Shape::Bool, "Silences an entry of the same name that is farther away."),
];
