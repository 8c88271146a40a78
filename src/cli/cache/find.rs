//! The flags that pick results.

use crate::ops::results::EntryFilter;

/// Which results.
#[derive(clap::Args)]
pub struct Which {
    /// Only those of this task, by its qualified name: workflow.task or library.task
    #[arg(long, value_name = "QUALIFIED")]
    pub task: Option<String>,
    /// Only those of this project
    #[arg(long, value_name = "P")]
    pub project: Option<String>,
    /// Only those of this domain
    #[arg(long, value_name = "D")]
    pub domain: Option<String>,
}

impl Which {
    pub fn filter(&self) -> EntryFilter {
        EntryFilter { task: self.task.clone(), project: self.project.clone(), domain: self.domain.clone() }
    }
}
