//! Every key of a settings file: the list that the reader and the JSON schema are made from.

use crate::workflow::keys::{Key, NOTIFY, Shape, key};

/// The top level of `runner.toml` and of the user's `config.toml`.
pub const SETTINGS: &[Key] = &[
    key("project", Shape::Text, "Used when neither a flag, RUNNER_PROJECT nor the workflow file names one."),
    key("domain", Shape::Text, "Used when neither a flag, RUNNER_DOMAIN nor the workflow file names one."),
    key("jobs", Shape::Whole(1), "How many nodes may run at once; default the number of processors."),
    key(
        "executor",
        Shape::Text,
        "Where tasks run that name no executor: a name of [executors], or \"local\", the default.",
    ),
    key("executors", Shape::Tables(EXECUTOR), "Places where tasks run."),
    key("cache", Shape::Table(CACHE), "The shared cache."),
    key("smtp", Shape::Table(SMTP), "The server that mail of [[notify]] goes through."),
    key("serve", Shape::Table(SERVE), "What the flags of `runner serve` say, where none is given."),
    key("notify", Shape::Array(NOTIFY, &[]), "Who is told of scheduled runs."),
];

/// `[executors.NAME]`.
const EXECUTOR: &[Key] = &[
    key("kind", Shape::Choice(&["local", "slurm", "command"]), "Required; the kind of executor."),
    key("work_dir", Shape::Text, "A folder that this machine and all nodes see at the same path."),
    key("runner_path", Shape::Text, "This program on the nodes."),
    key("prelude", Shape::Text, "Shell lines before anything else in a job."),
    key("max_in_flight", Shape::Whole(1), "Maximum jobs of one run that are submitted and not ended."),
    key("submits_per_minute", Shape::Whole(1), "Maximum jobs submitted in a minute."),
    key("poll_interval", Shape::Duration, "Time between two status calls."),
    key("record_interval", Shape::Duration, "Time between two looks at the records of running jobs."),
    key("record_wait", Shape::Duration, "How late a record may be after a job has left the queue."),
    key("lost_after", Shape::Duration, "A job without a sign of life for this long is lost."),
    key("lost_retries", Shape::Whole(0), "How many times a lost attempt is repeated without being counted."),
    key(
        "stuck_after",
        Shape::Duration,
        "A job that waits for something that never comes is cancelled after this.",
    ),
    key("chunk", Shape::Any, "How many attempts share a job: \"auto\", the default, or a whole number."),
    key("chunk_time", Shape::Duration, "The time that a chunk aims at."),
    key("chunk_max", Shape::Whole(1), "Maximum attempts of a chunk."),
    key("chunk_parallel", Shape::Whole(1), "How many attempts of a chunk run at once."),
    key("job_prefix", Shape::Text, "The beginning of the names of jobs."),
    key("partition", Shape::Text, "As in sbatch."),
    key("account", Shape::Text, "As in sbatch."),
    key("qos", Shape::Text, "As in sbatch."),
    key("constraint", Shape::Text, "As in sbatch."),
    key("reservation", Shape::Text, "As in sbatch."),
    key("cluster", Shape::Text, "As in sbatch."),
    key("time", Shape::Duration, "The time limit of a task without `timeout`."),
    key("memory", Shape::Choice(&["node", "cpu", "none"]), "How memory is asked for."),
    key("gpus", Shape::Choice(&["gres", "gpus"]), "How GPUs are asked for."),
    key("gpu_type", Shape::Text, "The type of GPU."),
    key("extra_args", Shape::Texts, "Further arguments of sbatch."),
    key("bin_dir", Shape::Text, "The folder of sbatch, squeue and scancel."),
    key("submit", Shape::Texts, "The command that submits a job."),
    key("submit_options", Shape::Any, "Arguments that join where a task asks for a resource."),
    key("submit_id", Shape::Text, "A regular expression that finds the job's id."),
    key(
        "submit_again",
        Shape::Text,
        "A regular expression over the output of a submission that is tried again.",
    ),
    key("status", Shape::Texts, "The command that lists all jobs."),
    key("status_line", Shape::Text, "A regular expression that reads a line of it."),
    key("states", Shape::TextTable, "What the states of jobs mean."),
    key("cancel", Shape::Texts, "The command that cancels jobs."),
];

/// `[cache]`.
const CACHE: &[Key] = &[
    key("remote", Shape::Text, "\"s3://BUCKET/PREFIX\" or \"file:///FOLDER\"."),
    key("remote_mode", Shape::Choice(&["rw", "ro", "wo", "off"]), "Which way results go."),
    key("remote_key", Shape::Text, "The key that entries are signed with: \"file:PATH\" or \"env:NAME\"."),
    key("remote_trust", Shape::Texts, "Keys whose entries count as well."),
    key("remote_unsigned", Shape::Bool, "Whether entries go without signatures."),
    key("remote_endpoint", Shape::Text, "The address of the store."),
    key("remote_region", Shape::Text, "The region of the store."),
    key("remote_timeout", Shape::Duration, "How long a request may make no progress."),
    key("remote_connect_timeout", Shape::Duration, "How long a connection may take."),
    key("remote_jobs", Shape::Whole(1), "How many requests go on at once."),
    key("remote_max_size", Shape::Text, "Larger results stay on this machine."),
    key("remote_upload_wait", Shape::Duration, "How long the end of a run waits for uploads."),
];

/// `[smtp]`.
const SMTP: &[Key] = &[
    key("host", Shape::Text, "Required for mail; the server."),
    key("port", Shape::Whole(1), "Its port; default 587, with tls = \"tls\" 465, with \"none\" 25."),
    key(
        "tls",
        Shape::Choice(&["starttls", "tls", "none"]),
        "How the connection is encrypted; default \"starttls\". \"none\" is for this machine only.",
    ),
    key("user", Shape::Text, "The name to log in with; without it nobody logs in."),
    key("password", Shape::Text, "The password; best as \"${NAME}\" or \"${file:PATH}\"."),
    key("from", Shape::Text, "Required for mail; the sender's address."),
];

/// `[serve]`: as the flags of the same names.
const SERVE: &[Key] = &[
    key("listen", Shape::Text, "The address to listen on: \"127.0.0.1:7070\" or \"unix:PATH\"."),
    key("token_file", Shape::Text, "The file with the token."),
    key("base_path", Shape::Text, "The path below which everything lies."),
    key("public_url", Shape::Text, "The address at which people reach it."),
    key("allow_host", Shape::Texts, "Names of hosts that requests may be for."),
    key("read_only", Shape::Bool, "Whether it changes nothing."),
    key("on_exit", Shape::Choice(&["finish", "cancel"]), "The fate of live runs when it ends."),
    key("max_runs", Shape::Whole(1), "How many runs may go on at once; default 4."),
];
