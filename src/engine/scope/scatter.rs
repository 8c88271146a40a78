//! The elements of a `foreach` or `matrix` node: the inputs of each, and the outputs of all together.

use std::sync::Arc;

use crate::core::value::Value;
use crate::engine::scope::error::NodeError;
use crate::workflow::binding::ValueError;
use crate::workflow::node::equal_lengths;
use crate::workflow::{Node, Scatter, ScatterShape};

/// The inputs of a node whose lists are known. Elements are made one at a time: there may be very many.
#[derive(Debug)]
pub struct ScatteredInputs {
    /// As the node is bound: lists where it is spread over them.
    inputs: Vec<Value>,
    lists: Vec<List>,
    count: usize,
}

#[derive(Debug)]
struct List {
    /// Index of the input.
    input: usize,
    items: Arc<[Value]>,
    /// After how many elements the next item is taken.
    stride: usize,
}

impl ScatteredInputs {
    /// # Errors
    /// Lists of different length, more combinations than can be counted, or an element that its input does not
    /// allow.
    pub fn new(node: &Node, scatter: &Scatter, inputs: Vec<Value>) -> Result<Self, NodeError> {
        let declared = node.body.inputs();
        let mut lists = Vec::with_capacity(scatter.over.len());
        for input in scatter.over.iter().map(|i| *i as usize) {
            let Some(Value::List(items)) = inputs.get(input) else {
                let problem = ValueError::Unfit("a list is expected".into());
                return Err(NodeError::Input { input: declared[input].name.clone(), element: None, problem });
            };
            for (i, item) in items.iter().enumerate() {
                declared[input].check_choice(item).map_err(|problem| NodeError::Input {
                    input: declared[input].name.clone(),
                    element: Some(i),
                    problem: problem.into(),
                })?;
            }
            lists.push(List { input, items: items.clone(), stride: 1 });
        }
        let count = match scatter.shape {
            ScatterShape::Zip => {
                let lengths: Vec<_> =
                    lists.iter().map(|list| (&*declared[list.input].name, list.items.len())).collect();
                equal_lengths(&lengths).map_err(NodeError::Elements)?;
                lists.first().map_or(0, |list| list.items.len())
            }
            ScatterShape::Cross => {
                let mut count = usize::from(!lists.is_empty());
                for list in lists.iter_mut().rev() {
                    list.stride = count.max(1);
                    count = count
                        .checked_mul(list.items.len())
                        .filter(|count| *count <= MAX_ELEMENTS)
                        .ok_or_else(|| {
                            NodeError::Elements(format!("`matrix` has more than {MAX_ELEMENTS} combinations"))
                        })?;
                }
                count
            }
        };
        if count > MAX_ELEMENTS {
            let problem = format!("the node has {count} elements, and at most {MAX_ELEMENTS} can be run");
            return Err(NodeError::Elements(problem));
        }
        Ok(Self { inputs, lists, count })
    }

    /// How many elements there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The inputs of one element.
    pub fn element(&self, index: usize) -> Vec<Value> {
        let mut inputs: Vec<Value> = Vec::with_capacity(self.inputs.len());
        for (i, value) in self.inputs.iter().enumerate() {
            let list = self.lists.iter().find(|list| list.input == i);
            inputs.push(match list {
                Some(list) => list.items[index / list.stride % list.items.len()].clone(),
                None => value.clone(),
            });
        }
        inputs
    }
}

/// Maximum elements of one node.
const MAX_ELEMENTS: usize = 1_000_000;

/// The outputs of all elements, as one list for each of `outputs` outputs; null for an element without any.
pub fn gather(elements: &[Option<Box<[Value]>>], outputs: usize) -> Box<[Value]> {
    let column = |output: usize| -> Value {
        let of = |element: &Option<Box<[Value]>>| {
            element.as_ref().and_then(|values| values.get(output)).cloned().unwrap_or(Value::Null)
        };
        elements.iter().map(of).collect()
    };
    (0..outputs).map(column).collect()
}
