//! The interface of a task that is a Python function: what its hints say, and what the workflow file declares, which wins.

use super::binding::Binding;
use super::diagnostic::{Diagnostic, SourceSpan, Span};
use super::functions::{FoundFunction, FunctionCall, Functions, PythonStart, check_no_command};
use super::interface::read_outputs;
use super::keys;
use super::reader::{Reader, snake_case};
use super::syntax::{Table, TomlKind};
use super::{Capture, Input, Output, Pass, TaskCommand, is_name};
use crate::core::closest::closest;
use crate::core::types::Type;
use crate::core::value::Value;
use crate::python::answer::{PythonFunction, PythonParameter, ResultKind};

/// Reads the outputs and the command of the task `name`, which is a function; `inputs` are those that the file declares, and
/// become those that the function has.
pub fn read_function(
    reader: &mut Reader,
    table: &Table,
    name: &str,
    functions: &Functions,
    inputs: &mut Vec<Input>,
) -> (Vec<Output>, TaskCommand) {
    check_no_command(reader, table);
    let owner = format!("task `{name}`");
    let declared = read_declared(reader, table, &owner);
    let found = functions.get(name);
    let Some((found, function)) = found.and_then(|found| Some((found, found.answer.described.clone()?)))
    else {
        // What is wrong has been reported; nodes are checked against what is declared.
        return (declared.into_outputs(), TaskCommand::Program(Vec::new()));
    };
    let mut merge = Merge { reader, functions, function: &function };
    *inputs = merge.inputs(table, std::mem::take(inputs));
    let (outputs, returns) = merge.outputs(declared);
    let FoundFunction { interpreter, read, question, .. } = found.clone();
    let (outputs, output_hints) = outputs.into_iter().unzip();
    let warnings = functions.warnings(&function);
    let start = PythonStart::read(reader, table);
    let call = FunctionCall {
        interpreter,
        function,
        returns,
        output_hints,
        read,
        warnings,
        start,
        flytekit: None,
        question,
    };
    (outputs, TaskCommand::Function(Box::new(call)))
}

/// What the file says of outputs.
enum Declared {
    Nothing,
    Names(Vec<(String, Span)>),
    Types(Vec<Output>, Span),
}

impl Declared {
    fn into_outputs(self) -> Vec<Output> {
        match self {
            Self::Types(outputs, _) => outputs,
            Self::Nothing | Self::Names(_) => Vec::new(),
        }
    }
}

fn read_declared(reader: &mut Reader, table: &Table, owner: &str) -> Declared {
    let Some(item) = table.get("outputs") else { return Declared::Nothing };
    if let TomlKind::Array(_) = item.kind {
        let names = reader.texts(table, "outputs").unwrap_or_default();
        let mut known: Vec<(String, Span)> = Vec::new();
        for (name, span) in names {
            if !is_name(name, false) {
                let message = format!("`{name}` cannot be the name of an output");
                reader.error(span, message, "use lower-case letters, digits and `_`");
            } else if known.iter().any(|(other, _)| other == name) {
                reader.error(span, format!("two outputs are called `{name}`"), "the second one");
            } else {
                known.push((name.to_owned(), span));
            }
        }
        return Declared::Names(known);
    }
    let mut outputs = read_outputs(reader, table, owner);
    for output in &mut outputs {
        if output.capture != Capture::Out {
            let message = format!(
                "output `{}` is what the function returns, and is taken from nowhere else",
                output.name
            );
            reader.error(item.span, message, "drop `from` and `path`");
        }
        output.capture = Capture::Returned;
    }
    Declared::Types(outputs, item.span)
}

/// Outputs with the types that their hints mean.
type Hinted = Vec<(Output, Option<String>)>;

struct Merge<'a, 'r> {
    reader: &'r mut Reader,
    functions: &'a Functions,
    function: &'a PythonFunction,
}

impl Merge<'_, '_> {
    fn place(&self, file: &std::path::Path, place: [u32; 4]) -> SourceSpan {
        self.functions.place(file, place).unwrap_or_default()
    }

    fn error(&mut self, place: SourceSpan, message: String, label: &str, help: String) {
        self.reader.report(Diagnostic::at(place, message, label).help(help));
    }

    fn inputs(&mut self, table: &Table, declared: Vec<Input>) -> Vec<Input> {
        let function = self.function;
        if let Some(inner) = table.get("inputs").and_then(|item| match &item.kind {
            TomlKind::Table(inner) => Some(inner),
            _ => None,
        }) {
            for (key, _) in inner.iter() {
                let names = || function.parameters.iter().map(|parameter| parameter.name.as_str());
                if !names().any(|name| name == key.name) {
                    let label = closest(&key.name, names())
                        .map_or("no such parameter".to_owned(), |near| format!("did you mean `{near}`?"));
                    let message = format!("`{}` has no parameter `{}`", function.function, key.name);
                    self.reader.error(key.span, message, label);
                }
            }
        }
        let mut declared = declared;
        let parameters = &function.parameters;
        parameters
            .iter()
            .filter_map(|parameter| {
                let own = declared.iter().position(|input| *input.name == *parameter.name);
                let own = own.map(|at| declared.swap_remove(at));
                self.input(parameter, own)
            })
            .collect()
    }

    fn input(&mut self, parameter: &PythonParameter, declared: Option<Input>) -> Option<Input> {
        let place = self.place(&parameter.file, parameter.place);
        let name = &parameter.name;
        let of = format!("`{name}` of `{}`", self.function.function);
        let is_foreign = keys::TEMPLATE_WORDS.contains(&name.as_str());
        if !is_name(name, false) || is_foreign {
            let function = &self.function.function;
            let help = match snake_case(name).filter(|near| !keys::TEMPLATE_WORDS.contains(&near.as_str())) {
                Some(near) => format!(
                    "inputs have lower-case names: call the parameter `{near}`; or keep `{function}` as it is, and name a \
                     function of its own for the task: `def run_{function}({near}, ...): return {function}({name}={near}, ...)`"
                ),
                None => {
                    "use lower-case letters, digits and `_`, beginning with a letter, and no word of templates".into()
                }
            };
            self.error(place, format!("{of} cannot be the name of an input"), "rename it", help);
            return None;
        }
        let mut input = match declared {
            Some(input) => input,
            None => {
                let ty = self.hint(parameter, place, &of)?;
                let one_of =
                    parameter.one_of.iter().filter_map(|json| Value::from_json(ty.required(), json).ok());
                let one_of = one_of.collect();
                Input {
                    name: name.as_str().into(),
                    ty,
                    default: None,
                    description: None,
                    one_of,
                    pass: Pass::Env,
                }
            }
        };
        if parameter.optional && input.default.is_none() {
            let literal = parameter.default.as_ref().filter(|_| !input.ty.holds_files());
            let literal = literal.and_then(|json| Value::from_json(&input.ty, json).ok());
            if parameter.default.is_some() && literal.is_none() && is_plain(&input.ty) {
                let help = "let the default fit the hint, or the hint the default".to_owned();
                self.error(place, format!("the default of {of} is no {}", input.ty), "this one", help);
            }
            input.default = Some(match literal {
                Some(value) => Binding::Literal(value),
                None => {
                    // It stays Python's: the function gets no argument.
                    input.ty = optional(input.ty);
                    Binding::Literal(Value::Null)
                }
            });
        }
        if let Some(Binding::Literal(value)) = &input.default
            && let Err(problem) = input.check_choice(value)
        {
            self.error(
                place,
                format!("the default of {of} is not allowed: {problem}"),
                "not one of them",
                String::new(),
            );
        }
        Some(input)
    }

    fn hint(&mut self, parameter: &PythonParameter, place: SourceSpan, of: &str) -> Option<Type> {
        let declare = format!("or declare it: inputs = {{ {} = \"...\" }}", parameter.name);
        if let Some(problem) = &parameter.problem {
            let message = format!("the hint of {of} means nothing here: {problem}");
            self.error(place, message, "declare it in inputs", format!("use another hint, {declare}"));
            return None;
        }
        let Some(text) = &parameter.r#type else {
            self.error(place, format!("{of} has no type"), "no hint", format!("write a hint, {declare}"));
            return None;
        };
        Type::parse(text)
            .map_err(|problem| {
                self.error(place, format!("the hint of {of}: {problem}"), "not usable", declare);
            })
            .ok()
    }

    fn outputs(&mut self, declared: Declared) -> (Hinted, ResultKind) {
        let function = self.function;
        let result = &function.result;
        let place = self.place(&result.file, result.place);
        let name = &function.function;
        if let Declared::Types(outputs, _) = &declared
            && result.kind == ResultKind::Missing
        {
            let kind = if outputs.len() == 1 { ResultKind::One } else { ResultKind::Tuple };
            let kind = if outputs.is_empty() { ResultKind::None } else { kind };
            return (declared.into_outputs().into_iter().map(|output| (output, None)).collect(), kind);
        }
        match result.kind {
            ResultKind::Missing => {
                let help = "write `-> T`, or `-> None` for a function without a result; or declare it: outputs = { y = \"...\" }";
                self.error(
                    place,
                    format!("the result of `{name}` has no type"),
                    "no hint for the result",
                    help.into(),
                );
                (Vec::new(), ResultKind::None)
            }
            ResultKind::None => {
                let span = match &declared {
                    Declared::Names(names) => names.first().map(|(_, span)| *span),
                    Declared::Types(outputs, span) => (!outputs.is_empty()).then_some(*span),
                    Declared::Nothing => None,
                };
                if let Some(span) = span {
                    self.reader.error(
                        span,
                        format!("`{name}` returns None, and has no outputs"),
                        "remove this",
                    );
                }
                (Vec::new(), ResultKind::None)
            }
            ResultKind::Fields => (self.fields(declared, place), ResultKind::Fields),
            kind @ (ResultKind::One | ResultKind::Tuple) => (self.positional(declared, kind, place), kind),
        }
    }

    /// Outputs that are called as the fields of a class.
    fn fields(&mut self, declared: Declared, place: SourceSpan) -> Hinted {
        let function = self.function;
        let names: Vec<&str> = function.result.items.iter().map(|item| item.name.as_str()).collect();
        let mut own = match declared {
            Declared::Types(outputs, span) => {
                for output in outputs.iter().filter(|output| !names.contains(&&*output.name)) {
                    let label = closest(&output.name, names.iter().copied())
                        .map_or("no such field".to_owned(), |near| format!("did you mean `{near}`?"));
                    let message =
                        format!("the result of `{}` has no field `{}`", function.function, output.name);
                    self.reader.error(span, message, label);
                }
                outputs
            }
            Declared::Names(known) => {
                if let Some((name, span)) = known.iter().find(|(name, _)| !names.contains(&name.as_str())) {
                    let message = format!("the result of `{}` has no field `{name}`", function.function);
                    self.reader.error(*span, message, "its fields have names");
                }
                Vec::new()
            }
            Declared::Nothing => Vec::new(),
        };
        let items = function.result.items.iter();
        items
            .filter_map(|item| {
                if !is_name(&item.name, false) {
                    let message = format!("the field `{}` cannot be the name of an output", item.name);
                    let help = match snake_case(&item.name) {
                        Some(near) => format!("outputs have lower-case names: call the field `{near}`"),
                        None => "use lower-case letters, digits and `_`, beginning with a letter".into(),
                    };
                    self.error(place, message, "of this class", help);
                    return None;
                }
                let at = own.iter().position(|output| *output.name == *item.name);
                self.output(&item.name, at.map(|at| own.swap_remove(at)), item.r#type.as_deref(), None, place)
            })
            .collect()
    }

    /// The one output of a function, or those that the items of a tuple become.
    fn positional(&mut self, declared: Declared, kind: ResultKind, place: SourceSpan) -> Hinted {
        let function = self.function;
        let items = &function.result.items;
        let (names, mut own, span): (Vec<String>, Vec<Option<Output>>, _) = match declared {
            Declared::Nothing if kind == ResultKind::Tuple => {
                let message =
                    format!("the result of `{}` is a tuple, whose items have no names", function.function);
                let names: Vec<_> =
                    (0..items.len()).map(|i| format!("\"{}\"", (b'a' + (i % 26) as u8) as char)).collect();
                self.error(
                    place,
                    message,
                    "not named",
                    format!("name them in the task: outputs = [{}]", names.join(", ")),
                );
                return Vec::new();
            }
            Declared::Nothing => (vec!["result".to_owned()], vec![None], None),
            Declared::Names(names) => {
                let span = names.first().map(|(_, span)| *span);
                (
                    names.iter().map(|(name, _)| name.clone()).collect(),
                    names.iter().map(|_| None).collect(),
                    span,
                )
            }
            Declared::Types(outputs, span) => {
                let names = outputs.iter().map(|output| output.name.to_string()).collect();
                (names, outputs.into_iter().map(Some).collect(), Some(span))
            }
        };
        if names.len() != items.len() {
            let (named, returned) = (names.len(), items.len());
            let message = format!("`{}` returns {returned} values, and {named} are named", function.function);
            match span {
                Some(span) => self.reader.error(span, message, "not as many"),
                None => self.error(place, message, "not as many", "name each in `outputs`".into()),
            }
            return Vec::new();
        }
        let mut outputs = Vec::new();
        for (i, (name, item)) in names.iter().zip(items).enumerate() {
            let own = own.get_mut(i).and_then(Option::take);
            outputs.extend(self.output(name, own, item.r#type.as_deref(), item.problem.as_deref(), place));
        }
        outputs
    }

    /// One output: as it is declared, else as its hint says.
    fn output(
        &mut self,
        name: &str,
        declared: Option<Output>,
        hint: Option<&str>,
        problem: Option<&str>,
        place: SourceSpan,
    ) -> Option<(Output, Option<String>)> {
        if let Some(output) = declared {
            return Some((output, hint.map(str::to_owned)));
        }
        if let Some(problem) = problem {
            let message = format!(
                "the hint of the result of `{}` means nothing here: {problem}",
                self.function.function
            );
            let help = format!("use another hint, or declare it: outputs = {{ {name} = \"...\" }}");
            self.error(place, message, "declare it in outputs", help);
            return None;
        }
        let ty = Type::parse(hint?)
            .map_err(|problem| {
                self.error(place, format!("output `{name}`: {problem}"), "not usable", String::new());
            })
            .ok()?;
        Some((Output { name: name.into(), ty, capture: Capture::Returned }, hint.map(str::to_owned)))
    }
}

/// Whether a literal in Python can only be a value of this type, so that another is a mistake.
fn is_plain(ty: &Type) -> bool {
    matches!(ty.required(), Type::String | Type::Int | Type::Float | Type::Bool)
}

fn optional(ty: Type) -> Type {
    if ty.is_optional() { ty } else { Type::Optional(Box::new(ty)) }
}
