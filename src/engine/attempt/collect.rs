//! Outputs: found where the task left them, checked against their types, taken into the store.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value as Json;

use crate::core::json;
use crate::core::types::Type;
use crate::core::value::{Artifact, Value};
use crate::engine::attempt::error::{CollectError, OutputProblem};
use crate::engine::attempt::function::FunctionResult;
use crate::exec::Masker;
use crate::storage::store::{NewOutput as Sealable, PendingBlob, SealError, Store};
use crate::workflow::{Capture, Output, Task};

/// Size in bytes below which reading and writing a file takes next to no time.
pub const MAX_LIGHT_BYTES: u64 = 1 << 20;
/// Maximum size in bytes of the text of one output; more belongs in a file.
const MAX_TEXT_BYTES: u64 = 16 << 20;

/// Where an attempt left things.
pub struct OutputPlaces {
    pub out: PathBuf,
    pub work: PathBuf,
    /// What was captured of standard output, if anything was.
    pub stdout: PathBuf,
    /// What a Python function returned.
    pub returned: PathBuf,
    /// The attempt's folder: outputs must not lead out of it.
    pub root: PathBuf,
}

/// Outputs that fit their types.
pub struct CollectedOutputs {
    pub values: Box<[Value]>,
    pub blobs: Vec<PendingBlob>,
}

/// Whether it may take a while to take in what a task left in `out`.
pub fn is_heavy(task: &Task, out: &Path) -> bool {
    task.outputs.iter().any(|output| match (output.ty.required(), &output.capture) {
        (Type::File, Capture::Out) => {
            fs::symlink_metadata(out.join(&*output.name)).is_ok_and(|file| file.len() >= MAX_LIGHT_BYTES)
        }
        (ty, _) => ty.holds_files(),
    })
}

/// What an output is found to be, before files are taken into the store.
enum Found {
    Value(Value),
    /// Index into the artifacts.
    Artifact(usize, bool),
    List(Vec<Found>),
    Map(BTreeMap<String, Found>),
}

/// A file or directory to be taken in.
struct Wanted {
    path: PathBuf,
    is_dir: bool,
    name: String,
    /// The output it belongs to, for messages.
    output: usize,
}

/// What each output would be if the attempt ended now, or what is wrong with it. Nothing is kept.
pub fn check_outputs(
    store: &Store,
    task: &Task,
    places: &OutputPlaces,
    masker: &Masker,
) -> Vec<Result<Value, OutputProblem>> {
    let check = |output: &Output| {
        let checked = outputs(store, std::slice::from_ref(output), places, masker, &mut Vec::new());
        let problem = match checked {
            Ok(collected) => return Ok(collected.values.first().cloned().unwrap_or(Value::Null)),
            Err(CollectError::Outputs(mut problems)) if problems.len() == 1 => problems.swap_remove(0).1,
            Err(error) => OutputProblem::Invalid(error.to_string()),
        };
        Err(problem.map(|text| masker.mask(text)))
    };
    task.outputs.iter().map(check).collect()
}

/// Takes in outputs of a task. Notes are messages for the user.
///
/// # Errors
/// Each output that does not fit, or the store's error.
pub fn outputs(
    store: &Store,
    outputs: &[Output],
    places: &OutputPlaces,
    masker: &Masker,
    notes: &mut Vec<String>,
) -> Result<CollectedOutputs, CollectError> {
    let mut wanted = Vec::new();
    let mut found = Vec::with_capacity(outputs.len());
    let mut problems = Vec::new();
    let mut returned = None;
    for (index, output) in outputs.iter().enumerate() {
        let (returned, wanted) = (&mut returned, &mut wanted);
        let mut finder = Finder { places, masker, output, index, returned, wanted, notes };
        match finder.find() {
            Ok(one) => found.push(one),
            Err(problem) => problems.push((output.name.to_string(), problem)),
        }
    }
    if !problems.is_empty() {
        return Err(CollectError::Outputs(problems));
    }
    if wanted.is_empty() {
        let values = found.into_iter().map(|f| f.into_value(&[])).collect();
        return Ok(CollectedOutputs { values, blobs: Vec::new() });
    }
    let sealable: Vec<_> =
        wanted.iter().map(|w| Sealable { path: &w.path, is_dir: w.is_dir, name: &w.name }).collect();
    let sealed = store.seal(&sealable, &places.root).map_err(|error| match error {
        SealError::Output { index, error } => {
            let problem = |output: usize, error: String| {
                (outputs[output].name.to_string(), OutputProblem::Invalid(error))
            };
            let mut problems = vec![problem(wanted[index].output, error.to_string())];
            // What is wrong with others as well; each output is named once.
            let mut named = wanted[index].output;
            for (w, sealable) in wanted.iter().zip(&sealable).skip(index + 1) {
                if w.output != named
                    && let Err(SealError::Output { error, .. }) =
                        store.seal(std::slice::from_ref(sealable), &places.root)
                {
                    named = w.output;
                    problems.push(problem(named, error.to_string()));
                }
            }
            CollectError::Outputs(problems)
        }
        SealError::Store(error) => CollectError::Store(error.to_string()),
    })?;
    let artifacts: Vec<Arc<Artifact>> = sealed.artifacts.into_iter().map(Arc::new).collect();
    let values = found.into_iter().map(|f| f.into_value(&artifacts)).collect();
    Ok(CollectedOutputs { values, blobs: sealed.blobs })
}

impl Found {
    fn into_value(self, artifacts: &[Arc<Artifact>]) -> Value {
        match self {
            Self::Value(value) => value,
            Self::Artifact(index, false) => Value::File(artifacts[index].clone()),
            Self::Artifact(index, true) => Value::Dir(artifacts[index].clone()),
            Self::List(items) => items.into_iter().map(|item| item.into_value(artifacts)).collect(),
            Self::Map(entries) => {
                let entries = entries.into_iter().map(|(key, item)| (key, item.into_value(artifacts)));
                Value::Map(Arc::new(entries.collect()))
            }
        }
    }
}

struct Finder<'a> {
    places: &'a OutputPlaces,
    masker: &'a Masker,
    output: &'a Output,
    index: usize,
    /// What a Python function returned, once an output of it was looked for.
    returned: &'a mut Option<Result<FunctionResult, String>>,
    wanted: &'a mut Vec<Wanted>,
    notes: &'a mut Vec<String>,
}

impl Finder<'_> {
    fn find(&mut self) -> Result<Found, OutputProblem> {
        let name = &*self.output.name;
        let ty = &self.output.ty;
        let (path, shown) = match &self.output.capture {
            Capture::Returned => return self.returned(),
            Capture::Stdout => (self.places.stdout.clone(), "standard output".to_owned()),
            Capture::Out => (self.places.out.join(name), format!("\"$OUT/{name}\"")),
            Capture::Path(path) => (self.places.work.join(path), format!("\"{path}\"")),
        };
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            if ty.is_optional() {
                return Ok(Found::Value(Value::Null));
            }
            return Err(OutputProblem::Missing(self.missing(&shown)));
        };
        match ty.required() {
            file @ (Type::File | Type::Dir) => {
                let base = match &self.output.capture {
                    Capture::Path(path) => {
                        Path::new(path).file_name().and_then(|n| n.to_str()).unwrap_or(name)
                    }
                    Capture::Out | Capture::Stdout | Capture::Returned => name,
                };
                let base = base.to_owned();
                match file {
                    Type::File if metadata.is_dir() => {
                        return Err(format!("expected a file, but {shown} is a directory").into());
                    }
                    Type::Dir if metadata.is_file() => {
                        return Err(format!("expected a directory, but {shown} is a file").into());
                    }
                    _ => {}
                }
                Ok(self.want(path, *file == Type::Dir, base)?)
            }
            required if required.holds_files() => {
                if metadata.is_dir() {
                    return Ok(self.folder_of_files(required, &path)?);
                }
                let text = self.read(&path, &shown)?;
                let json = json::parse(&text).map_err(|error| {
                    format!("expected {required}: a folder, or JSON with paths; {shown} is neither: {error}")
                })?;
                Ok(self.listed_files(required, &json)?)
            }
            required => {
                let text = self.read(&path, &shown)?;
                let mut text = self.without_secrets(&text).unwrap_or(text);
                if *required == Type::String && text.ends_with('\n') {
                    text.pop();
                }
                Value::from_text(required, &text)
                    .map(Found::Value)
                    .map_err(|problem| format!("{problem} in {shown}").into())
            }
        }
    }

    /// An output of a Python function.
    fn returned(&mut self) -> Result<Found, OutputProblem> {
        let Output { name, ty, .. } = self.output;
        let result = self.returned.get_or_insert_with(|| FunctionResult::read(&self.places.returned));
        let result = result.as_mut().map_err(|problem| OutputProblem::Missing(problem.clone()))?;
        let Some(mut json) = result.outputs.remove(&**name) else {
            return match ty.is_optional() {
                true => Ok(Found::Value(Value::Null)),
                false => Err(OutputProblem::Missing("the function returned no such output".into())),
            };
        };
        if ty.holds_files() {
            return Ok(self.listed_files(ty, &json)?);
        }
        if let Some(masked) = self.without_secrets(&json.to_string()) {
            json = json::parse(&masked)?;
        }
        Ok(Value::from_json(ty, &json).map(Found::Value)?)
    }

    /// The text of an output without the values of secrets, which is noted; `None` if there is none in it.
    fn without_secrets(&mut self, text: &str) -> Option<String> {
        let masked = self.masker.mask(text);
        if masked == text {
            return None;
        }
        let name = &self.output.name;
        self.notes.push(format!("output `{name}` held the value of a secret, which was replaced by `***`"));
        Some(masked)
    }

    fn missing(&self, shown: &str) -> String {
        let mut there: Vec<String> = fs::read_dir(&self.places.out)
            .map(|entries| entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect())
            .unwrap_or_default();
        there.sort();
        if let Some(hint) = self.in_work() {
            return format!("the command ended well, but left no {shown}; {hint}");
        }
        let hint = match (&self.output.capture, there.is_empty()) {
            (Capture::Out, false) => format!("; in $OUT there is {}", there.join(", ")),
            (Capture::Out, true) => "; nothing was written to $OUT".into(),
            (Capture::Path(_) | Capture::Stdout | Capture::Returned, _) => String::new(),
        };
        format!("the command ended well, but left no {shown}{hint}")
    }

    /// What was written to the working directory in place of `$OUT`, and how to mend it.
    fn in_work(&self) -> Option<String> {
        let name = &*self.output.name;
        let is_it = |entry: &fs::DirEntry| {
            let path = entry.path();
            path.file_stem().is_some_and(|stem| stem == name)
        };
        if self.output.capture != Capture::Out {
            return None;
        }
        let mut all: Vec<_> = fs::read_dir(&self.places.work).ok()?.flatten().filter(is_it).collect();
        all.sort_by_key(fs::DirEntry::file_name);
        let found = all.first()?.file_name().into_string().ok()?;
        let path = match self.output.ty.required() {
            Type::File | Type::Dir => format!(", or take it from there with `path = \"{found}\"`"),
            _ => String::new(),
        };
        Some(format!("the working directory holds \"{found}\": write it to \"$OUT/{name}\"{path}"))
    }

    fn read(&self, path: &Path, shown: &str) -> Result<String, String> {
        let metadata = fs::symlink_metadata(path).map_err(|e| e.to_string())?;
        let kind = metadata.file_type();
        if kind.is_dir() {
            return Err(format!("expected {} as text, but {shown} is a directory", self.output.ty));
        }
        if !kind.is_file() {
            return Err(format!("expected {} as text, but {shown} is no regular file", self.output.ty));
        }
        if metadata.len() > MAX_TEXT_BYTES {
            return Err(format!(
                "{shown} has {} MiB, and at most {} MiB are read as a value: declare it as a file",
                metadata.len() >> 20,
                MAX_TEXT_BYTES >> 20
            ));
        }
        let mut bytes = Vec::with_capacity(metadata.len() as usize);
        let file = fs::File::open(path).map_err(|e| e.to_string())?;
        file.take(MAX_TEXT_BYTES).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
        String::from_utf8(bytes).map_err(|_| format!("{shown} is not UTF-8 text: declare it as a file"))
    }

    fn want(&mut self, path: PathBuf, is_dir: bool, name: String) -> Result<Found, String> {
        self.check_names(&path, is_dir, &name)?;
        self.wanted.push(Wanted { path, is_dir, name, output: self.index });
        Ok(Found::Artifact(self.wanted.len() - 1, is_dir))
    }

    /// Names and targets of links are recorded and shown, so no secret may be in one.
    fn check_names(&self, path: &Path, is_dir: bool, name: &str) -> Result<(), String> {
        if self.masker.is_empty() {
            return Ok(());
        }
        let refused = |what: &str, text: &str| {
            Err(format!(
                "{what} {:?} holds the value of a secret, and names are recorded: give it another one",
                self.masker.mask(text)
            ))
        };
        if self.masker.is_in(name) {
            return refused("the name", name);
        }
        let entries = is_dir.then(|| walkdir::WalkDir::new(path).min_depth(1));
        for entry in entries.into_iter().flatten().flatten() {
            let relative = entry.path().strip_prefix(path).unwrap_or(entry.path()).to_string_lossy();
            if self.masker.is_in(&relative) {
                return refused("the name", &relative);
            }
            if let Ok(target) = fs::read_link(entry.path())
                && self.masker.is_in(&target.to_string_lossy())
            {
                return refused("the link to", &target.to_string_lossy());
            }
        }
        Ok(())
    }

    /// A folder `$OUT/<name>` as a list (its entries sorted by name) or a map (by their names).
    fn folder_of_files(&mut self, ty: &Type, path: &Path) -> Result<Found, String> {
        let (element, is_list) = match ty {
            Type::List(element) => (&**element, true),
            Type::Map(element) => (&**element, false),
            _ => return Err(format!("expected {ty}, found a directory")),
        };
        let is_dir = match element.required() {
            Type::File => false,
            Type::Dir => true,
            other => return Err(format!("a folder cannot be a {ty}: its entries would have to be {other}")),
        };
        let mut names = Vec::new();
        for entry in fs::read_dir(path).map_err(|e| e.to_string())? {
            let name = entry.map_err(|e| e.to_string())?.file_name();
            names.push(name.into_string().map_err(|name| format!("the name {name:?} is not UTF-8"))?);
        }
        names.sort();
        let found =
            names.into_iter().map(|name| Ok((name.clone(), self.want(path.join(&name), is_dir, name)?)));
        Ok(match is_list {
            true => Found::List(found.map(|found| Ok(found?.1)).collect::<Result<_, String>>()?),
            false => Found::Map(found.collect::<Result<_, String>>()?),
        })
    }

    /// JSON with paths relative to `$OUT`.
    fn listed_files(&mut self, ty: &Type, json: &Json) -> Result<Found, String> {
        match (ty, json) {
            (Type::Optional(_), Json::Null) => Ok(Found::Value(Value::Null)),
            (Type::Optional(inner), json) => self.listed_files(inner, json),
            (Type::File | Type::Dir, Json::String(text)) => {
                let path = self.places.out.join(text);
                let name = path
                    .file_name()
                    .and_then(|n| n.to_str())
                    .ok_or_else(|| format!("{text:?} names no file"))?;
                let name = name.to_owned();
                self.want(path, *ty == Type::Dir, name)
            }
            (Type::List(element), Json::Array(items)) => items
                .iter()
                .map(|item| self.listed_files(element, item))
                .collect::<Result<_, _>>()
                .map(Found::List),
            (Type::Map(element), Json::Object(entries)) => entries
                .iter()
                .map(|(key, item)| match self.masker.is_in(key) {
                    false => Ok((key.clone(), self.listed_files(element, item)?)),
                    true => Err("a key holds the value of a secret, and keys are recorded".into()),
                })
                .collect::<Result<_, String>>()
                .map(Found::Map),
            _ => {
                let found = self.masker.mask(&json.to_string());
                Err(format!("expected {ty}, found {}", crate::core::inert::quote(&found)))
            }
        }
    }
}
