//! The signature of a task as the workflow defines it.

use super::Task;
use crate::core::signature::Signature;
use crate::core::types::Type;

impl Signature {
    pub fn of(task: &Task) -> Self {
        let pair = |(name, ty): (&str, &Type)| (name.to_owned(), ty.to_string());
        let mut inputs: Vec<_> = task.inputs.iter().map(|i| pair((&i.name, &i.ty))).collect();
        let mut outputs: Vec<_> = task.outputs.iter().map(|o| pair((&o.name, &o.ty))).collect();
        inputs.sort();
        outputs.sort();
        Self { task: task.name.clone(), inputs, outputs }
    }
}
