//! What a run was asked for, as people and scripts see it.

use serde::Serialize;
use serde_json::{Map as JsonMap, Value as Json};

/// A request with everything that was decided for it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RequestView {
    /// The path of the workflow file.
    pub workflow: String,
    /// The folder that the run was started in.
    pub dir: String,
    pub project: String,
    pub domain: String,
    /// The value of each input, also of those that were not given; files by path (`origin`) and digest.
    pub inputs: JsonMap<String, Json>,
    /// The flags that ask for something else than the workflow file does.
    pub flags: Vec<String>,
    /// The version of the program.
    pub runner: String,
}
