//! The names that templates of a workflow can use: its inputs, its nodes' outputs, and the failure of the run.

use std::cell::{Cell, OnceCell};
use std::collections::HashMap;

use super::binding::{Failure, NameScope, Reference};
use super::syntax::Table;
use super::template::Variable;
use super::{Body, Scatter};
use crate::core::closest::closest;
use crate::core::types::Type;

/// When a node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunsWhen {
    /// As soon as what it waits for has ended.
    Graph,
    /// Last of all, when the run failed.
    OnFailure,
    /// Last of all, when the run succeeded.
    OnSuccess,
    /// Last of all, either way.
    AtTheEnd,
}

impl RunsWhen {
    pub fn is_hook(self) -> bool {
        self != Self::Graph
    }

    /// Whether it may run although other nodes have failed.
    pub fn after_failure(self) -> bool {
        matches!(self, Self::OnFailure | Self::AtTheEnd)
    }
}

/// The part of a node that others can see.
pub struct Face {
    pub index: u32,
    /// `None` where it is unknown, which is reported where the node stands.
    pub body: Option<Body>,
    pub scatter: Option<Scatter>,
    pub moment: RunsWhen,
    /// By name of an output its index; made when one is first looked for, since a node may have very many.
    outputs: OnceCell<HashMap<String, u32>>,
}

impl Face {
    pub fn new(index: u32, body: Option<Body>, scatter: Option<Scatter>, moment: RunsWhen) -> Self {
        Self { index, body, scatter, moment, outputs: OnceCell::new() }
    }

    /// The index of an output by its name.
    fn output(&self, body: &Body, name: &str) -> Option<u32> {
        let all = || body.outputs().into_iter().zip(0..).map(|((name, _), i)| (name.to_owned(), i)).collect();
        self.outputs.get_or_init(all).get(name).copied()
    }
}

/// All names that templates of the workflow can refer to.
pub struct NodeNames<'a> {
    pub inputs: HashMap<&'a str, (u32, &'a Type)>,
    /// The table of these inputs: some have errors.
    pub declared: Option<&'a Table<'a>>,
    pub nodes: HashMap<&'a str, Face>,
    /// Whether `on_failure` names nothing that exists, which is reported there.
    pub lenient: bool,
    /// When what is being read will run.
    pub moment: Cell<RunsWhen>,
}

type Resolved = Result<(Reference, Option<Type>), (String, String)>;

impl NameScope for NodeNames<'_> {
    fn resolve(&self, variable: &Variable) -> Resolved {
        match variable.path[0].as_str() {
            "inputs" => self.input(&variable.path),
            "failure" => self.failure(&variable.path),
            _ => self.output(&variable.path),
        }
    }
}

impl NodeNames<'_> {
    fn input(&self, path: &[String]) -> Resolved {
        let Some(name) = path.get(1) else {
            return Err(("`inputs` names no input".into(), "write {{ inputs.NAME }}".into()));
        };
        if !self.inputs.contains_key(&**name) && self.declared.is_some_and(|d| d.get(name).is_some()) {
            return Ok((Reference::Input(0), None)); // Reported where it is declared.
        }
        let (index, ty) = self.inputs.get(&**name).ok_or_else(|| {
            let known = self.inputs.keys().copied();
            (format!("the workflow has no input `{name}`"), did_you_mean(name, known, "inputs"))
        })?;
        within(path, ty).map(|ty| (Reference::Input(*index), Some(ty)))
    }

    fn failure(&self, path: &[String]) -> Resolved {
        if self.lenient {
            return Ok((Reference::Failure(Failure::Message), None));
        }
        if !self.moment.get().after_failure() {
            let message = "`failure` is known only to the node that `on_failure` names".to_owned();
            return Err((message, "name this node in [workflow]: on_failure = \"NODE\"".into()));
        }
        let failure = match path.get(1).map(String::as_str) {
            Some("node") => Failure::Node,
            Some("message") => Failure::Message,
            _ => {
                let help = "write {{ failure.node }} or {{ failure.message }}".into();
                return Err((format!("`{}` is not known", path.join(".")), help));
            }
        };
        // A node that runs either way finds null when nothing failed.
        let ty = match self.moment.get() {
            RunsWhen::AtTheEnd => Type::Optional(Box::new(Type::String)),
            _ => Type::String,
        };
        within(path, &ty).map(|ty| (Reference::Failure(failure), Some(ty)))
    }

    fn output(&self, path: &[String]) -> Resolved {
        let root = path[0].as_str();
        let Some(face) = self.nodes.get(root) else {
            let message = format!("there is no node `{root}`");
            if self.inputs.contains_key(root) {
                return Err((message, format!("the workflow's input is written {{{{ inputs.{root} }}}}")));
            }
            if root == "input" && path.len() > 1 {
                return Err((message, format!("did you mean `inputs.{}`?", path[1])));
            }
            return Err((message, did_you_mean(root, self.nodes.keys().copied(), "nodes")));
        };
        if let Err(problem) = self.in_time(root, face) {
            return Err((problem, String::new()));
        }
        let Some(body) = &face.body else {
            // Any output will do until its body is mended.
            return Ok((Reference::Output { node: face.index, output: 0 }, None));
        };
        let Some(name) = path.get(1) else {
            let example = body.outputs().first().map_or("OUTPUT", |(name, _)| *name);
            let help = format!("name one of its outputs, as in {{{{ {root}.{example} }}}}");
            return Err((format!("`{root}` is a node, not a value"), help));
        };
        let Some((output, ty)) =
            face.output(body, name).and_then(|i| Some((i, body.output_type(i as usize)?)))
        else {
            let message = format!("node `{root}` has no output `{name}`");
            let known = body.outputs();
            return Err((message, did_you_mean(name, known.iter().map(|(name, _)| *name), "outputs")));
        };
        let reference = Reference::Output { node: face.index, output };
        match &face.scatter {
            Some(scatter) => within(path, &scatter.gathered(ty)),
            None => within(path, ty),
        }
        .map(|ty| (reference, Some(ty)))
    }

    /// Whether what is being read can wait for a node; the error says why not.
    ///
    /// # Errors
    /// The reason why it cannot wait.
    pub fn in_time(&self, name: &str, face: &Face) -> Result<(), String> {
        if self.moment.get().after_failure() {
            let message = "this node runs when others have failed: it can use the workflow's inputs and `failure`, \
                           not the outputs of nodes";
            return Err(message.into());
        }
        if face.moment.is_hook() {
            return Err(format!("`{name}` runs last of all: nothing can wait for it"));
        }
        Ok(())
    }
}

/// The type of a variable, and whether a path that goes on into its value can do so.
fn within(path: &[String], ty: &Type) -> Result<Type, (String, String)> {
    match (path.get(2), ty.required()) {
        (None, _) | (Some(_), Type::Json | Type::Map(_)) => Ok(ty.clone()),
        (Some(inner), _) => Err((
            format!("`{}.{}` is {ty} and has nothing called `{inner}` inside", path[0], path[1]),
            String::new(),
        )),
    }
}

/// How to mend a name that is not known.
pub fn did_you_mean<'a>(name: &str, known: impl Iterator<Item = &'a str>, plural: &str) -> String {
    let mut known: Vec<_> = known.collect();
    match closest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => format!("there are no {plural}"),
        None if known.len() <= 12 => {
            known.sort_unstable();
            format!("the {plural} there are: {}", known.join(", "))
        }
        None => String::new(),
    }
}
