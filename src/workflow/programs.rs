//! The workflow documents that are made from a program written with flytekit.
//!
//! They are kept like files, under names that no file has, so that a run can be shown and retried when its program is gone.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::diagnostic::{Diagnostic, SourceSpan, Span};
use super::import::Reading;
use super::program_ref::{MADE, PLAN, ProgramFacts, ProgramRef};
use crate::python::answer::PythonMistake;
use crate::python::interpreter::PythonChoice;
use crate::python::program::{ProgramAnswer, read_program};

impl Reading {
    /// Learns what workflows a program holds; the path of the document of the one that is meant.
    pub fn read_program(&mut self, program: &ProgramRef) -> Option<PathBuf> {
        let asked = program.file();
        let index = |file: &Path| {
            file.with_file_name(format!("{}:{}@asked{MADE}", program.base, program.name.unwrap_or_default()))
        };
        let (file, _) = match self.texts.read(&asked) {
            Ok(read) => read,
            Err(problem) => {
                self.diagnostics.push(Diagnostic::new(problem));
                return None;
            }
        };
        if self.texts.is_recorded() {
            if let Ok((_, main)) = self.texts.read(&index(&file)) {
                return Some(PathBuf::from(&*main));
            }
            // By the name that runs and messages have for it.
            let named = |end: &str| {
                let name = program.name.unwrap_or_default();
                file.with_file_name(format!("{}:{name}{end}{MADE}", program.base))
            };
            return [PLAN, ""].into_iter().map(named).find(|path| self.texts.read(path).is_ok());
        }
        let dir = file.parent().unwrap_or(Path::new("/")).to_owned();
        let choice =
            PythonChoice { flag: self.python_env.as_deref(), named: None, dir: &dir, script: Some(&file) };
        let answer = choice.find().and_then(|python| read_program(&python, &file, program.name));
        let answer = match answer {
            Ok(answer) => answer,
            Err(problem) => {
                self.diagnostics.push(Diagnostic::new(problem));
                return None;
            }
        };
        for path in &answer.files {
            // Later changes are noticed, and messages can show it.
            let _ = self.texts.read(path);
        }
        for mistake in &answer.mistakes {
            self.report_mistake(mistake, &file, &asked);
        }
        let main = dir.join(answer.main.as_ref()?);
        self.add_documents(answer, &dir);
        self.texts.add(index(&file), main.display().to_string());
        Some(main)
    }

    fn add_documents(&mut self, answer: ProgramAnswer, dir: &Path) {
        let known = |path: &PathBuf| Some((path.clone(), answer.reads.get(path)?.clone()?));
        let facts = ProgramFacts {
            interpreter: answer.executable.clone(),
            root: answer.root.clone(),
            python: answer.python.clone(),
            files: answer.files.iter().filter_map(known).collect(),
            notes: RefCell::default(),
        };
        for (name, mut document) in answer.documents {
            let mut facts = json!(facts);
            if Some(&name) == answer.main.as_ref() {
                facts["notes"] = json!(answer.notes);
            }
            document["program"] = facts;
            self.texts.add(dir.join(name), document.to_string());
        }
    }

    fn report_mistake(&mut self, mistake: &PythonMistake, program: &Path, asked: &Path) {
        let label = Some(mistake.label.as_str()).filter(|label| label.starts_with("did you mean"));
        let message = label.map_or(mistake.message.clone(), |label| format!("{}: {label}", mistake.message));
        let mut diagnostic = Diagnostic::new(message);
        if let Some((file, [line, column, last, end])) = mistake.file.as_ref().zip(mistake.place)
            && let Ok((path, text)) = self.texts.read(file)
        {
            let shown = if path == program { asked.to_owned() } else { path };
            let mut starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1));
            let start = starts.nth((line as usize).saturating_sub(1)).unwrap_or(0);
            let width = text[start..].lines().next().map_or(0, str::len);
            let within =
                |column: u32| u32::try_from(start + (column as usize).min(width)).unwrap_or(u32::MAX);
            // The line as a whole, without what stands before its first word.
            let indent = text[start..].lines().next().map_or(0, |line| line.len() - line.trim_start().len());
            let stop = if last == line && end > 1 { within(end) } else { within(u32::MAX) };
            let span = Span { start: within(column.max(indent as u32)), end: stop };
            let file = self.sources.add(&shown, text);
            diagnostic =
                Diagnostic::at(SourceSpan { file, span }, mistake.message.as_str(), mistake.label.as_str());
        }
        if !mistake.help.is_empty() {
            diagnostic = diagnostic.help(mistake.help.as_str());
        }
        self.diagnostics.push(diagnostic);
    }
}
