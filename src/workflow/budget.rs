//! How much the files of one workflow may hold together, so that hostile text costs neither all memory nor minutes.
//!
//! Each limit lies far above what a workflow of 100,000 nodes needs. Knows nothing of what it counts.

use std::cell::Cell;

/// A part of workflow files whose number is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Keys and values of the TOML text.
    Values,
    Tasks,
    Nodes,
    /// Inputs and outputs of tasks and workflows.
    Declarations,
    /// Expressions that are more than the name of a value.
    Expressions,
}

/// What is left for the files that are still to be read.
#[derive(Debug, Default)]
pub struct Budget {
    spent: [Cell<usize>; 5],
}

/// Whether there are too many by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spent {
    Within,
    /// These are the first that are too many.
    First,
    Beyond,
}

impl Resource {
    /// The most that the files of one workflow may hold.
    const fn limit(self) -> usize {
        match self {
            Self::Values => 2_000_000,
            Self::Tasks => 100_000,
            Self::Nodes => 150_000,
            Self::Declarations => 300_000,
            Self::Expressions => 100_000,
        }
    }

    fn plural(self) -> &'static str {
        match self {
            Self::Values => "keys and values",
            Self::Tasks => "tasks",
            Self::Nodes => "nodes",
            Self::Declarations => "inputs and outputs",
            Self::Expressions => "expressions other than the name of a value",
        }
    }

    /// The error for files that hold more.
    pub fn too_many(self) -> String {
        format!("the files of the workflow hold more than {} {}", self.limit(), self.plural())
    }
}

impl Budget {
    /// How many more there may be.
    pub fn left(&self, resource: Resource) -> usize {
        resource.limit().saturating_sub(self.spent[resource as usize].get())
    }

    /// Counts `count` more.
    pub fn spend(&self, resource: Resource, count: usize) -> Spent {
        let spent = &self.spent[resource as usize];
        let before = spent.get();
        let after = before.saturating_add(count);
        spent.set(after);
        match (before > resource.limit(), after > resource.limit()) {
            (_, false) => Spent::Within,
            (false, true) => Spent::First,
            (true, true) => Spent::Beyond,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spent_is_gone_for_all_files() {
        let budget = Budget::default();
        assert_eq!(budget.left(Resource::Tasks), 100_000);
        let spend = |count| budget.spend(Resource::Tasks, count);
        assert_eq!(spend(60_000), Spent::Within);
        budget.spend(Resource::Nodes, 1);
        assert_eq!(budget.left(Resource::Tasks), 40_000);
        assert_eq!(spend(40_000), Spent::Within);
        assert_eq!((spend(1), spend(0), spend(usize::MAX)), (Spent::First, Spent::Beyond, Spent::Beyond));
        assert_eq!(budget.left(Resource::Tasks), 0);
    }
}
