//! Bindings: what an input is bound to, checked against its type as far as that is known beforehand.
//!
//! A binding is evaluated when the node is ready, over values that the caller holds ([`Values`]).

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value as Json;

use super::diagnostic::SourceSpan;
use super::paths::find_files;
use super::template::{Lookup, Template, Variable};
use crate::core::json;
use crate::core::time_text::parse_seconds;
use crate::core::types::Type;
use crate::core::value::{Artifact, Value};

/// Where a value comes from: an input of the workflow, or an output of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    Input(u32),
    Output {
        node: u32,
        output: u32,
    },
    /// Of the run, for the node that runs when it failed.
    Failure(Failure),
}

/// The parts of a run's failure that templates can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The name of the node that failed first.
    Node,
    Message,
}

/// The source of an input's value.
#[derive(Clone, Debug)]
pub enum Binding {
    /// A value that is known already.
    Literal(Value),
    /// A user's own file or directory, absolute; the type says which.
    Path(Arc<Path>),
    /// A whole value of another node or of the workflow's inputs.
    Reference(Reference),
    /// An expression or text with expressions.
    Template(Arc<BoundTemplate>),
    List(Arc<[Binding]>),
    Map(Arc<BTreeMap<String, Binding>>),
}

/// A template whose variables are resolved.
#[derive(Debug)]
pub struct BoundTemplate {
    pub(super) template: Template,
    /// One for each of the template's variables.
    pub(super) references: Box<[Reference]>,
    /// Where each of the template's globs stands.
    pub(super) globs: Box<[SourceSpan]>,
    /// Where text that names a file is relative to.
    pub(super) dir: PathBuf,
}

/// Files that a binding looks for.
pub struct BoundGlob<'b> {
    /// The folder that the pattern is relative to.
    pub dir: &'b Path,
    pub pattern: &'b str,
    pub place: SourceSpan,
}

impl BoundTemplate {
    /// Whether it takes the first of some values that is not null, and does nothing else.
    pub fn is_coalesce(&self) -> bool {
        self.template.is_coalesce(ROOT)
    }

    /// As it was written.
    pub fn source(&self) -> &str {
        self.template.source()
    }

    /// Whether it is one expression and nothing else.
    pub fn is_single_expression(&self) -> bool {
        self.template.is_single_expression()
    }
}

/// How many segments of a variable's path name the value; what follows leads into it.
pub const ROOT: usize = 2;

/// The names that a template in a node's binding can use.
pub trait NameScope {
    /// The target of `variable` and its type (`None` if that has an error of its own).
    ///
    /// # Errors
    /// Message and help.
    fn resolve(&self, variable: &Variable) -> Result<(Reference, Option<Type>), (String, String)>;
}

/// The values that bindings are evaluated over.
pub trait Values {
    /// The value behind a reference; it exists when the node is ready.
    ///
    /// # Errors
    /// The node has no value yet.
    fn get(&self, reference: Reference) -> Result<Value, ValueError>;
    /// The content of a user's own file or directory.
    ///
    /// # Errors
    /// The file or directory cannot be read.
    fn fingerprint(&self, path: &Path, is_dir: bool) -> Result<Arc<Artifact>, ValueError>;
    /// The user's own files that match a pattern, as a list.
    ///
    /// # Errors
    /// The pattern is wrong, or the folder cannot be read.
    fn glob(&self, dir: &Path, pattern: &str) -> Result<Value, ValueError>;
}

/// Why a binding has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueError {
    /// What it refers to has no value yet.
    Unknown(String),
    /// A file or folder of the user cannot be read.
    File(String),
    /// The value does not fit, or an expression cannot be computed.
    Unfit(String),
}

impl From<String> for ValueError {
    fn from(problem: String) -> Self {
        Self::Unfit(problem)
    }
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Unknown(problem) | Self::File(problem) | Self::Unfit(problem) => f.write_str(problem),
        }
    }
}

impl std::error::Error for ValueError {}

impl Binding {
    /// The value, of type `ty`.
    ///
    /// # Errors
    /// The value does not exist, cannot be read or does not fit.
    pub fn evaluate(&self, ty: &Type, values: &dyn Values) -> Result<Value, ValueError> {
        match self {
            Self::Literal(value) => Ok(value.clone()),
            Self::Path(path) => file_value(ty, path, values),
            Self::Reference(reference) => Ok(values.get(*reference)?.coerce(ty)?),
            Self::Template(bound) => {
                let scope = Bound { bound, values };
                if bound.template.is_single_expression() {
                    return Ok(bound.template.evaluate(ty, &scope)?);
                }
                let text = bound.template.render(&scope)?;
                match ty.required() {
                    Type::File | Type::Dir if text.is_empty() => {
                        Err(format!("expected the path of a {}, found empty text", ty.required()).into())
                    }
                    Type::File | Type::Dir => file_value(ty, &bound.dir.join(text), values),
                    Type::Json => Ok(Value::Json(Arc::new(Json::String(text)))),
                    ty => Ok(Value::from_text(ty, &text)?),
                }
            }
            Self::List(items) => {
                let element = element_of(ty);
                let list: Value =
                    items.iter().map(|item| item.evaluate(element, values)).collect::<Result<_, _>>()?;
                Ok(list.coerce(ty)?)
            }
            Self::Map(entries) => {
                let element = element_of(ty);
                let entries = entries
                    .iter()
                    .map(|(key, item)| Ok((key.clone(), item.evaluate(element, values)?)))
                    .collect::<Result<BTreeMap<_, _>, ValueError>>()?;
                Ok(Value::Map(Arc::new(entries)).coerce(ty)?)
            }
        }
    }

    /// Calls `visit` for each reference.
    pub fn for_each_reference(&self, visit: &mut dyn FnMut(Reference)) {
        match self {
            Self::Literal(_) | Self::Path(_) => {}
            Self::Reference(reference) => visit(*reference),
            Self::Template(bound) => bound.references.iter().for_each(|r| visit(*r)),
            Self::List(items) => items.iter().for_each(|item| item.for_each_reference(visit)),
            Self::Map(entries) => entries.values().for_each(|item| item.for_each_reference(visit)),
        }
    }

    /// Calls `visit` for each pattern of files.
    pub fn for_each_glob(&self, visit: &mut dyn FnMut(BoundGlob)) {
        match self {
            Self::Template(bound) => {
                for (glob, place) in bound.template.globs().iter().zip(&bound.globs) {
                    visit(BoundGlob { dir: &bound.dir, pattern: &glob.pattern, place: *place });
                }
            }
            Self::List(items) => items.iter().for_each(|item| item.for_each_glob(visit)),
            Self::Map(entries) => entries.values().for_each(|item| item.for_each_glob(visit)),
            Self::Literal(_) | Self::Path(_) | Self::Reference(_) => {}
        }
    }

    /// Calls `visit` for each of the user's files that is known beforehand, and for those that match a pattern now; the
    /// flag is true for a directory.
    pub fn for_each_path(&self, ty: &Type, visit: &mut dyn FnMut(&Path, bool)) {
        match self {
            Self::Path(path) => visit(path, *ty.required() == Type::Dir),
            Self::List(items) => items.iter().for_each(|item| item.for_each_path(element_of(ty), visit)),
            Self::Map(entries) => entries.values().for_each(|item| item.for_each_path(element_of(ty), visit)),
            // What is wrong with a pattern, the evaluation says.
            Self::Template(_) => self.for_each_glob(&mut |glob| {
                let found = find_files(glob.dir, glob.pattern).unwrap_or_default();
                found.iter().for_each(|path| visit(path, false));
            }),
            Self::Literal(_) | Self::Reference(_) => {}
        }
    }

    /// Reads JSON given on the command line: as [`Value::from_json`], with the paths of files relative to `dir`.
    ///
    /// # Errors
    /// The expected form, and the text that was found.
    pub fn from_json(ty: &Type, json: &Json, dir: &Path) -> Result<Self, String> {
        if !ty.holds_files() {
            return Value::from_json(ty, json).map(Self::Literal);
        }
        match (ty, json) {
            (Type::Optional(_), Json::Null) => Ok(Self::Literal(Value::Null)),
            (Type::Optional(inner), json) => Self::from_json(inner, json, dir),
            (Type::File | Type::Dir, Json::String(path)) => given_path(ty, path, dir),
            (Type::List(element), Json::Array(items)) => items
                .iter()
                .map(|item| Self::from_json(element, item, dir))
                .collect::<Result<_, _>>()
                .map(Self::List),
            (Type::Map(element), Json::Object(entries)) => entries
                .iter()
                .map(|(key, item)| Ok((key.clone(), Self::from_json(element, item, dir)?)))
                .collect::<Result<BTreeMap<_, _>, String>>()
                .map(|entries| Self::Map(Arc::new(entries))),
            _ => Err(format!("expected {ty}, found {}", json::described(json))),
        }
    }

    /// Reads the text behind `-i NAME=`: as [`Value::from_text`], with the paths of files relative to `dir`.
    ///
    /// # Errors
    /// The expected form, and the text that was found.
    pub fn from_text(ty: &Type, text: &str, dir: &Path) -> Result<Self, String> {
        match ty.required() {
            Type::File | Type::Dir => given_path(ty, text, dir),
            required if required.holds_files() => {
                let json = json::parse(text).map_err(|e| json::not_json(required, text, &e))?;
                Self::from_json(required, &json, dir)
            }
            // A person says the unit; tasks export seconds.
            Type::Duration if parse_seconds(text.trim()).is_some() => {
                Err(format!("a duration has a unit: did you mean {}s?", text.trim()))
            }
            required => Value::from_text(required, text).map(Self::Literal),
        }
    }
}

/// A path that the caller gave; an empty one would be the folder itself.
fn given_path(ty: &Type, path: &str, dir: &Path) -> Result<Binding, String> {
    match path {
        "" => Err(format!("expected the path of a {}, found empty text", ty.required())),
        path => Ok(Binding::Path(dir.join(path).into())),
    }
}

fn file_value(ty: &Type, path: &Path, values: &dyn Values) -> Result<Value, ValueError> {
    match ty.required() {
        Type::Dir => values.fingerprint(path, true).map(Value::Dir),
        _ => values.fingerprint(path, false).map(Value::File),
    }
}

fn element_of(ty: &Type) -> &Type {
    match ty.required() {
        Type::List(element) | Type::Map(element) => element,
        _ => &Type::Json,
    }
}

/// A bound template's variables, looked up.
struct Bound<'a> {
    bound: &'a BoundTemplate,
    values: &'a dyn Values,
}

impl Lookup for Bound<'_> {
    fn root<'p>(&self, path: &'p [String]) -> Result<(&'p [String], Value), String> {
        let root = path.get(..ROOT).unwrap_or(path);
        let variables = self.bound.template.variables();
        let index = variables.iter().position(|v| v.path.get(..ROOT) == Some(root));
        let reference = index.and_then(|i| self.bound.references.get(i));
        let reference = reference.ok_or_else(|| format!("`{}` is not known", path.join(".")))?;
        Ok((root, self.values.get(*reference).map_err(|error| error.to_string())?))
    }

    fn glob(&self, pattern: &str) -> Result<Value, String> {
        self.values.glob(&self.bound.dir, pattern).map_err(|error| error.to_string())
    }

    fn text(&self, value: &Value) -> Result<String, String> {
        match value {
            Value::File(_) | Value::Dir(_) => {
                Err("a file has no path before it is staged: bind it to a `file` or `dir` input".into())
            }
            value => Ok(value.to_task_text(&|artifact| artifact.name.to_string()).unwrap_or_default()),
        }
    }
}
