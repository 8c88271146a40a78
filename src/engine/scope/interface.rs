//! The outputs of a use of a workflow: its `[outputs]` evaluated over the nodes that have ended.

use crate::core::types::Type;
use crate::core::value::Value;
use crate::engine::scope::error::OutputError;
use crate::engine::scope::frames::Frame;
use crate::engine::scope::values::{ScopeValues, UserFiles};
use crate::workflow::binding::{Binding, Reference, ValueError};
use crate::workflow::{Published, Workflow};

/// The outputs of a sub-workflow; `None` if some of them are outside the run.
///
/// # Errors
/// The first output without a value.
pub(in crate::engine) fn interface(
    frame: &Frame,
    files: &UserFiles,
) -> Result<Option<Box<[Value]>>, OutputError> {
    let mut outputs = Vec::with_capacity(frame.workflow.outputs.len());
    for output in &frame.workflow.outputs {
        if !is_available(output, frame) {
            return Ok(None);
        }
        outputs.push(evaluate(output, frame, files)?);
    }
    Ok(Some(outputs.into()))
}

pub(in crate::engine) fn is_available(output: &Published, frame: &Frame) -> bool {
    let mut available = true;
    output.value.for_each_reference(&mut |reference| {
        if let Reference::Output { node, .. } = reference {
            available &= frame.outputs[node as usize].is_some();
        }
    });
    available
}

/// Whether something is null that others count on: a part was skipped that the file itself never skips.
pub(in crate::engine) fn lacks(workflow: &Workflow, outputs: &[Value]) -> bool {
    let counted_on = |output: &Published| output.ty.as_ref().is_some_and(|ty| !ty.is_optional());
    workflow.outputs.iter().zip(outputs).any(|(output, value)| *value == Value::Null && counted_on(output))
}

/// The value of an output. The outputs of a skipped node are null, and so is every value made of them.
///
/// # Errors
/// The output has no value, or one that does not fit.
pub(in crate::engine) fn evaluate(
    output: &Published,
    frame: &Frame,
    files: &UserFiles,
) -> Result<Value, OutputError> {
    let mut of_null = false;
    output.value.for_each_reference(&mut |reference| {
        if let Reference::Output { node, output } = reference {
            let values = frame.outputs[node as usize].as_deref();
            of_null |= values.and_then(|values| values.get(output as usize)) == Some(&Value::Null);
        }
    });
    let is_text = matches!(&output.value, Binding::Template(template) if !template.is_single_expression());
    match evaluate_as_it_is(output, &frame.values(files)) {
        Ok(_) if of_null && is_text => Ok(Value::Null),
        Err(_) if of_null => Ok(Value::Null),
        other => other.map_err(|problem| OutputError { output: output.name.clone(), problem }),
    }
}

fn evaluate_as_it_is(output: &Published, values: &ScopeValues) -> Result<Value, ValueError> {
    match (&output.ty, &output.path) {
        (Some(ty), _) => output.value.evaluate(&Type::Optional(Box::new(ty.required().clone())), values),
        (None, Some(_)) => {
            let optional = |ty| Type::Optional(Box::new(ty));
            let file = output.value.evaluate(&optional(Type::File), values);
            let others = [
                Type::Dir,
                Type::List(Box::new(optional(Type::File))),
                Type::Map(Box::new(optional(Type::File))),
            ];
            others.iter().fold(file, |found, ty| {
                found.or_else(|problem| output.value.evaluate(ty, values).map_err(|_| problem))
            })
        }
        // An expression may pick a file out of several: then it is no JSON.
        (None, None) => [Type::Json, Type::File, Type::Dir]
            .iter()
            .map(|ty| output.value.evaluate(ty, values))
            .reduce(|found, other| found.or_else(|problem| other.map_err(|_| problem)))
            .unwrap_or(Ok(Value::Null)),
    }
}
