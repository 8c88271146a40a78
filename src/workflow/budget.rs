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
    /// What all of it takes in memory, about.
    bytes: Cell<usize>,
}

/// The most memory that the files of one workflow may take together.
const MAX_BYTES: usize = 245_000_000;

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

    /// What one takes in memory while files are read and put together, beside its keys and values: as measured, and
    /// rather more than less.
    const fn bytes(self) -> usize {
        match self {
            Self::Values => 100,
            Self::Tasks => 1150,
            Self::Nodes => 450,
            Self::Declarations => 200,
            Self::Expressions => 650,
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
}

impl Budget {
    /// Counts `count` more.
    pub fn spend(&self, resource: Resource, count: usize) -> Spent {
        let was_over = self.is_over(resource);
        let add = |cell: &Cell<usize>, n: usize| cell.set(cell.get().saturating_add(n));
        add(&self.spent[resource as usize], count);
        add(&self.bytes, count.saturating_mul(resource.bytes()));
        match (was_over, self.is_over(resource)) {
            (_, false) => Spent::Within,
            (false, true) => Spent::First,
            (true, true) => Spent::Beyond,
        }
    }

    fn is_over(&self, resource: Resource) -> bool {
        self.spent[resource as usize].get() > resource.limit() || self.bytes.get() > MAX_BYTES
    }

    /// The error where more of this resource was too much.
    pub fn complaint(&self, resource: Resource) -> String {
        match self.spent[resource as usize].get() > resource.limit() {
            true => {
                format!("the files of the workflow hold more than {} {}", resource.limit(), resource.plural())
            }
            false => format!(
                "the files of the workflow hold too much together: they would take more than {} MB of memory",
                MAX_BYTES / 1_000_000
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spent_is_gone_for_all_files() {
        let budget = Budget::default();
        let spend = |count| budget.spend(Resource::Tasks, count);
        assert_eq!(spend(60_000), Spent::Within);
        budget.spend(Resource::Nodes, 1);
        assert_eq!(spend(40_000), Spent::Within);
        assert_eq!((spend(1), spend(0), spend(usize::MAX)), (Spent::First, Spent::Beyond, Spent::Beyond));
        assert!(budget.complaint(Resource::Tasks).contains("more than 100000 tasks"));
    }

    #[test]
    fn no_resource_may_be_at_its_limit_beside_all_others() {
        let budget = Budget::default();
        assert_eq!(budget.spend(Resource::Values, 1_200_000), Spent::Within);
        assert_eq!(budget.spend(Resource::Nodes, 150_000), Spent::Within);
        assert_eq!(budget.spend(Resource::Expressions, 99_000), Spent::First);
        assert!(budget.complaint(Resource::Expressions).contains("too much together"));
        assert_eq!(budget.spend(Resource::Tasks, 1), Spent::Beyond);
    }
}
