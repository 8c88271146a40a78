//! Templates: text with `{{ expressions }}` in it, in the expression language of minijinja.
//!
//! Parses, says which variables are used, and evaluates over values that the caller looks up. Knows
//! nothing of nodes and tasks: what a name means is the caller's business.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, LazyLock, Mutex};

use minijinja::value::ValueKind;
use minijinja::{Environment, Expression, Value as JinjaValue};
use serde_json::Value as Json;

use super::filters::{self, explain_in};
use super::jinja::{Context, bounded, explain, from_jinja, jinja_text, to_jinja, without_file_text};
use crate::core::lock::lock;
use crate::core::types::Type;
use crate::core::value::Value;

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(filters::environment);

/// A parsed template.
#[derive(Debug)]
pub struct Template {
    source: Box<str>,
    parts: Vec<Part>,
    variables: Vec<Variable>,
    globs: Vec<Glob>,
}

/// Files that a template looks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Glob {
    pub pattern: String,
    /// Where it stands in the text, in bytes.
    pub range: Range<usize>,
}

#[derive(Debug)]
enum Part {
    Text(String),
    /// A variable and nothing else: by far the most frequent, and evaluated without minijinja.
    Variable(usize),
    Expression(Box<Compiled>),
}

/// An expression that compiles. What minijinja makes of it takes thousands of bytes, so it is made anew where the cache
/// of those in use has lost it.
struct Compiled {
    source: Box<str>,
}

impl fmt::Debug for Compiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{{{}}}}}", self.source)
    }
}

/// A variable that a template uses.
#[derive(Debug, Clone, PartialEq)]
pub struct Variable {
    /// The dotted path, as in `["hash", "digest"]`.
    pub path: Vec<String>,
    /// Where it stands in the text, in bytes.
    pub range: Range<usize>,
}

/// An error in a template's text.
#[derive(Debug, PartialEq)]
pub struct TemplateError {
    pub message: String,
    /// Where in the text, in bytes.
    pub range: Range<usize>,
}

/// Maximum length of an expression, in bytes: parsing nests one level deeper for each operator.
const MAX_EXPRESSION_BYTES: usize = 4000;

/// Maximum number of expressions in one text.
const MAX_EXPRESSIONS: usize = 10_000;
/// Maximum number of compiled expressions that are kept.
const MAX_COMPILED: usize = 64;

type CompiledExpression = Arc<Expression<'static, 'static>>;

/// The expression behind a source text.
fn compiled(source: &str) -> Result<CompiledExpression, minijinja::Error> {
    static RECENT: Mutex<BTreeMap<Box<str>, CompiledExpression>> = Mutex::new(BTreeMap::new());
    let recent = || lock(&RECENT);
    if let Some(known) = recent().get(source) {
        return Ok(known.clone());
    }
    let expression = Arc::new(ENVIRONMENT.compile_expression_owned(source.to_owned())?);
    let mut recent = recent();
    if recent.len() >= MAX_COMPILED {
        recent.clear();
    }
    recent.insert(source.into(), expression.clone());
    Ok(expression)
}

/// Whether `text` holds a template at all.
pub fn is_template(text: &str) -> bool {
    text.contains("{{")
}

impl Template {
    /// Parses `text`. A text without `{{` is a template that yields itself.
    ///
    /// # Errors
    /// The message and the place in `text`.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut template =
            Self { source: text.into(), parts: Vec::new(), variables: Vec::new(), globs: Vec::new() };
        let mut at = 0;
        while let Some(open) = text[at..].find("{{").map(|i| at + i) {
            if open > at {
                template.parts.push(Part::Text(text[at..open].into()));
            }
            if template.parts.len() >= 2 * MAX_EXPRESSIONS {
                let message = format!("the text holds more than {MAX_EXPRESSIONS} expressions");
                return Err(TemplateError { message, range: open..open + 2 });
            }
            let close = closing(text, open + 2).ok_or_else(|| TemplateError {
                message: "`{{` is never closed by `}}`".into(),
                range: open..text.len(),
            })?;
            template.add_expression(text, open + 2..close)?;
            at = close + 2;
        }
        if at < text.len() || template.parts.is_empty() {
            template.parts.push(Part::Text(text[at..].into()));
        }
        Ok(template)
    }

    fn add_expression(&mut self, text: &str, range: Range<usize>) -> Result<(), TemplateError> {
        let source = &text[range.clone()];
        let trimmed = source.trim();
        if trimmed.is_empty() {
            let message = "an empty expression; `{{ inputs.NAME }}` or `{{ NODE.OUTPUT }}` was expected";
            return Err(TemplateError { message: message.into(), range: range.start - 2..range.end + 2 });
        }
        if let Some(path) = plain_path(trimmed) {
            let start = range.start + (source.len() - source.trim_start().len());
            self.parts.push(Part::Variable(self.variables.len()));
            self.variables.push(Variable { path, range: start..start + trimmed.len() });
            return Ok(());
        }
        if source.len() > MAX_EXPRESSION_BYTES {
            let message = format!(
                "the expression has {} bytes, and at most {MAX_EXPRESSION_BYTES} are read; \
                 lists of many values are written in TOML, as in [\"{{{{ a.part }}}}\", \"{{{{ b.part }}}}\"]",
                source.len()
            );
            return Err(TemplateError { message, range });
        }
        compiled(source).map_err(|error| {
            let at = error.range().filter(|r| r.start < r.end && source.get(r.clone()).is_some());
            TemplateError {
                message: explain_in(source, &error),
                range: at.map_or(range.clone(), |r| range.start + r.start..range.start + r.end),
            }
        })?;
        if let Some((message, at)) = filters::unknown(source) {
            return Err(TemplateError { message, range: range.start + at.start..range.start + at.end });
        }
        let found = filters::globs(source);
        let globs = found.map_err(|(message, at)| TemplateError {
            message,
            range: range.start + at.start..range.start + at.end,
        })?;
        self.globs.extend(globs.into_iter().map(|(pattern, at)| {
            let range = range.start + at.start..range.start + at.end;
            Glob { pattern, range }
        }));
        for (path, at) in filters::variables(source) {
            let range = range.start + at.start..range.start + at.end;
            let variable = Variable { path, range };
            if !self.variables.iter().any(|known| known.path == variable.path) {
                self.variables.push(variable);
            }
        }
        self.parts.push(Part::Expression(Box::new(Compiled { source: source.into() })));
        Ok(())
    }

    /// The text that it was parsed from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// How many expressions it holds that are more than the name of a value.
    pub fn expressions(&self) -> usize {
        self.parts.iter().filter(|part| matches!(part, Part::Expression(_))).count()
    }

    /// The variables it uses.
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// The files that it looks for.
    pub fn globs(&self) -> &[Glob] {
        &self.globs
    }

    /// Whether it is the files of one pattern, and nothing else.
    pub fn is_glob(&self) -> bool {
        let [Part::Expression(compiled)] = &self.parts[..] else { return false };
        let inner = compiled.source.trim().strip_prefix("glob(").and_then(|rest| rest.strip_suffix(')'));
        self.globs.len() == 1 && inner.is_some_and(|inner| !inner.contains(['(', ')']))
    }

    /// The one variable that the template is made of, if it is nothing else: its value keeps its type.
    pub fn as_variable(&self) -> Option<&Variable> {
        match &self.parts[..] {
            [Part::Variable(i)] => self.variables.get(*i),
            _ => None,
        }
    }

    /// Whether it takes the first of some whole variables that is not null, and does nothing else.
    pub fn is_coalesce(&self, segments: usize) -> bool {
        let [Part::Expression(compiled)] = &self.parts[..] else { return false };
        let inner = compiled.source.trim().strip_prefix("coalesce(").and_then(|rest| rest.strip_suffix(')'));
        inner.is_some_and(|inner| {
            inner.split(',').all(|path| plain_path(path.trim()).is_some_and(|path| path.len() == segments))
        })
    }

    /// Whether it is one expression and nothing else, so that its value is not made text.
    pub fn is_single_expression(&self) -> bool {
        matches!(&self.parts[..], [Part::Variable(_) | Part::Expression(_)])
    }

    /// Evaluates a single expression to a value of type `ty`.
    ///
    /// `lookup` gives the value of a variable by its path. Errors name the expression.
    ///
    /// # Errors
    /// A sentence that names the expression.
    pub fn evaluate(&self, ty: &Type, lookup: &dyn Lookup) -> Result<Value, String> {
        match &self.parts[..] {
            [Part::Variable(i)] => {
                let value = lookup.value(&self.variables[*i].path)?;
                match value {
                    FoundValue::Whole(value) => value.coerce(ty),
                    FoundValue::Inside(value) => inside_as(ty, value),
                }
            }
            [Part::Expression(compiled)] => {
                let result = self.run(compiled, lookup)?;
                from_jinja(ty, &result).map_err(|e| format!("`{{{{ {} }}}}`: {e}", compiled.source.trim()))
            }
            _ => Value::from_text(ty, &self.render(lookup)?),
        }
    }

    /// Evaluates to text: each expression as a task would see it, null as nothing.
    ///
    /// # Errors
    /// A sentence that names the expression.
    pub fn render(&self, lookup: &dyn Lookup) -> Result<String, String> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Variable(i) => match lookup.value(&self.variables[*i].path)? {
                    FoundValue::Whole(value) => text.push_str(&lookup.text(&value)?),
                    FoundValue::Inside(value) => text.push_str(&inside_text(&value, lookup)?),
                },
                Part::Expression(compiled) => {
                    text.push_str(&jinja_text(&self.run(compiled, lookup)?, &|value| lookup.text(value))?);
                }
            }
        }
        Ok(text)
    }

    /// The single expression's elements, if it is one over a list: each as text.
    ///
    /// # Errors
    /// A sentence that names the expression.
    pub fn render_list(&self, lookup: &dyn Lookup) -> Result<Option<Vec<String>>, String> {
        let value = match &self.parts[..] {
            [Part::Variable(i)] => match lookup.value(&self.variables[*i].path)? {
                FoundValue::Whole(Value::List(items)) => {
                    return items.iter().map(|item| lookup.text(item)).collect::<Result<_, _>>().map(Some);
                }
                FoundValue::Whole(Value::Null) => return Ok(Some(Vec::new())),
                FoundValue::Whole(_) => return Ok(None),
                FoundValue::Inside(Value::Json(json)) => {
                    return match &*json {
                        Json::Array(items) => items
                            .iter()
                            .map(|item| inside_text(&Value::Json(Arc::new(item.clone())), lookup))
                            .collect::<Result<_, _>>()
                            .map(Some),
                        Json::Null => Ok(Some(Vec::new())),
                        _ => Ok(None),
                    };
                }
                FoundValue::Inside(value) => to_jinja(&value),
            },
            [Part::Expression(compiled)] => self.run(compiled, lookup)?,
            _ => return Ok(None),
        };
        match value.kind() {
            ValueKind::None => Ok(Some(Vec::new())),
            ValueKind::Seq | ValueKind::Iterable => {
                let items = value.try_iter().map_err(|e| explain(&e))?;
                items
                    .map(|item| jinja_text(&item, &|value| lookup.text(value)))
                    .collect::<Result<_, _>>()
                    .map(Some)
            }
            _ => Ok(None),
        }
    }

    fn run(&self, compiled: &Compiled, lookup: &dyn Lookup) -> Result<JinjaValue, String> {
        // Only what is used is converted: a context of all values would cost as much as the workflow is large.
        let mut context = Context::default();
        for variable in &self.variables {
            // A path that leads into a value, as in `meta.size`, is given by the value it starts from.
            match lookup.value(&variable.path)? {
                FoundValue::Whole(value) => context.insert(&variable.path, to_jinja(&value)),
                FoundValue::Inside(_) => {
                    let (path, value) = lookup.root(&variable.path)?;
                    context.insert(path, to_jinja(&value));
                }
            }
        }
        if !self.globs.is_empty() {
            let found = self.globs.iter().map(|glob| {
                let files = lookup.glob(&glob.pattern);
                files
                    .map(|files| (glob.pattern.clone(), to_jinja(&files)))
                    .map_err(|e| format!("`glob`: {e}"))
            });
            let found = found.collect::<Result<BTreeMap<_, _>, String>>()?;
            context.insert(&[filters::FOUND_FILES.to_owned()], found.into());
        }
        without_file_text(|| {
            let expression =
                self::compiled(&compiled.source).map_err(|e| explain_in(&compiled.source, &e))?;
            let value = expression.eval(context.into_jinja());
            let value = value.map_err(|e| explain_in(&compiled.source, &e))?;
            bounded(&value)?;
            Ok(value)
        })
        .map_err(|message| format!("`{{{{ {} }}}}`: {message}", compiled.source.trim()))
    }
}

/// The meaning of the variables of a template.
pub trait Lookup {
    /// The longest leading part of `path` that names a value, and that value.
    ///
    /// # Errors
    /// No leading part names a value, or the value does not exist yet.
    fn root<'p>(&self, path: &'p [String]) -> Result<(&'p [String], Value), String>;

    /// The text of a value inside a template; null is nothing.
    ///
    /// # Errors
    /// The value has no form as text.
    fn text(&self, value: &Value) -> Result<String, String>;

    /// The files that match a pattern, as a list.
    ///
    /// # Errors
    /// The pattern is wrong, or files cannot be looked for here.
    fn glob(&self, _: &str) -> Result<Value, String> {
        Err("no files can be looked for here".into())
    }

    /// The value of a whole path.
    ///
    /// # Errors
    /// Nothing has this path.
    fn value(&self, path: &[String]) -> Result<FoundValue, String> {
        let (root, value) = self.root(path)?;
        let rest = &path[root.len()..];
        if rest.is_empty() {
            return Ok(FoundValue::Whole(value));
        }
        let mut inside = value;
        for name in rest {
            let entry = match &inside {
                Value::Map(entries) => entries.get(name).cloned(),
                Value::Json(json) => json.get(name).map(|entry| Value::Json(Arc::new(entry.clone()))),
                _ => None,
            };
            inside = entry.ok_or_else(|| format!("`{}` has no `{name}`", root.join(".")))?;
        }
        Ok(FoundValue::Inside(inside))
    }
}

/// The value of a variable: a whole one, with its type, or something inside of one.
pub enum FoundValue {
    Whole(Value),
    Inside(Value),
}

/// What stands inside of a value, as a value of type `ty`. JSON does not go through minijinja, whose numbers have fewer
/// digits; that no file is made of it is for minijinja's side to say.
fn inside_as(ty: &Type, value: Value) -> Result<Value, String> {
    match &value {
        Value::Json(json) if !ty.holds_files() => {
            Value::from_json(ty, json).or_else(|_| from_jinja(ty, &to_jinja(&value)))
        }
        _ => from_jinja(ty, &to_jinja(&value)),
    }
}

/// What stands inside of a value, as text: null is nothing, text is not quoted.
fn inside_text(value: &Value, lookup: &dyn Lookup) -> Result<String, String> {
    match value {
        Value::Json(json) => Ok(match &**json {
            Json::Null => String::new(),
            Json::String(text) => text.clone(),
            other => other.to_string(),
        }),
        value => jinja_text(&to_jinja(value), &|value| lookup.text(value)),
    }
}

/// The index of the `}}` that closes an expression which begins at `from`, text in quotes passed over.
fn closing(text: &str, from: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut quote, mut depth, mut i) = (None, 0u32, from);
    while i < bytes.len() {
        match (quote, bytes[i]) {
            (Some(_), b'\\') => i += 1,
            (Some(open), c) if c == open => quote = None,
            (None, c @ (b'\'' | b'"')) => quote = Some(c),
            (None, b'{') => depth += 1,
            (None, b'}') if depth > 0 => depth -= 1,
            (None, b'}') if bytes.get(i + 1) == Some(&b'}') => return Some(i),
            _ => {}
        }
        i += 1;
    }
    None
}

/// The segments of `a.b.c`, if `text` is a dotted path of identifiers and nothing else.
fn plain_path(text: &str) -> Option<Vec<String>> {
    let is_name = |name: &str| {
        let mut chars = name.chars();
        chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
            && !filters::is_keyword(name)
    };
    text.split('.').map(|name| is_name(name).then(|| name.to_owned())).collect()
}

#[cfg(test)]
mod tests;
