//! Generates one graph as a workflow, as a `build.ninja` and as a `Makefile`, with the same commands.
//!
//! A node adds one to what it reads, or mixes the two things that it reads; whether it reads a source
//! file or another node's output is a matter of the graph's shape. In a generated folder:
//!
//! | path | holds |
//! |---|---|
//! | `values.toml` | the workflow whose nodes hand on integers |
//! | `files.toml` | the workflow whose nodes hand on files |
//! | `build.ninja`, `Makefile` | the same for the peers, which put their outputs into `ninja/` and `make/` |
//! | `in/` | the source files, each of which holds its own number at first |

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

/// How many nodes stand side by side in a layered graph.
const LAYER: usize = 100;
/// The prime that keeps mixed values short.
const MODULUS: i64 = 1_000_000_007;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Nobody waits for anybody.
    Flat,
    /// Each node waits for the one before.
    Chain,
    /// Layers of [`LAYER`] nodes, each of which reads two of the layer before; the first layer and the last
    /// node read sources of their own.
    Layered,
}

impl Shape {
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Flat, Self::Chain, Self::Layered].into_iter().find(|shape| shape.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Flat => "flat",
            Self::Chain => "chain",
            Self::Layered => "layered",
        }
    }
}

/// What a node reads: the source of this number, or the output of the node of this number.
#[derive(Clone, Copy)]
enum Operand {
    Source(usize),
    Node(usize),
}

pub struct Graph {
    pub shape: Shape,
    /// One operand or two a node; operands come before their readers.
    nodes: Vec<Vec<Operand>>,
}

impl Graph {
    pub fn new(shape: Shape, size: usize) -> Self {
        let nodes = (0..size)
            .map(|node| match shape {
                Shape::Flat => vec![Operand::Source(node)],
                Shape::Chain if node > 0 => vec![Operand::Node(node - 1)],
                Shape::Layered if node >= LAYER => {
                    let above = (node / LAYER - 1) * LAYER;
                    // Any fixed scatter serves: it makes a change of one root reach nearly everything.
                    let other = Operand::Node(above + (node * 37 + node / LAYER * 11) % LAYER);
                    let first =
                        if node + 1 == size { Operand::Source(node) } else { Operand::Node(node - LAYER) };
                    vec![first, other]
                }
                Shape::Chain | Shape::Layered => vec![Operand::Source(node)],
            })
            .collect();
        Self { shape, nodes }
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The number of the last node, and of the last source.
    pub fn last(&self) -> usize {
        self.nodes.len() - 1
    }

    /// What each node hands on, when the source `changed.0` holds `changed.1` and each other its number.
    pub fn values(&self, changed: (usize, i64)) -> Vec<i64> {
        let mut values: Vec<i64> = Vec::with_capacity(self.nodes.len());
        for operands in &self.nodes {
            let read = |operand: &Operand| match *operand {
                Operand::Source(source) if source == changed.0 => changed.1,
                Operand::Source(source) => source as i64,
                Operand::Node(node) => values[node],
            };
            values.push(match &operands[..] {
                [a, b] => (read(a) * 31 + read(b) * 17 + 1) % MODULUS,
                operands => read(&operands[0]) + 1,
            });
        }
        values
    }

    /// How many nodes must run again when the first source changes.
    pub fn reached_by_first(&self) -> usize {
        let mut reached = vec![false; self.nodes.len()];
        for (node, operands) in self.nodes.iter().enumerate() {
            reached[node] = operands.iter().any(|operand| match *operand {
                Operand::Source(source) => source == 0,
                Operand::Node(node) => reached[node],
            });
        }
        reached.into_iter().filter(|reached| *reached).count()
    }

    /// Writes everything into `dir`.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        for folder in ["in", "ninja", "make"] {
            fs::create_dir_all(dir.join(folder))?;
        }
        for operand in self.nodes.iter().flatten() {
            if let Operand::Source(source) = operand {
                fs::write(dir.join(format!("in/{source}")), format!("{source}\n"))?;
            }
        }
        fs::write(dir.join("values.toml"), self.workflow(Passing::Values))?;
        fs::write(dir.join("files.toml"), self.workflow(Passing::Files))?;
        fs::write(dir.join("build.ninja"), self.ninja())?;
        fs::write(dir.join("Makefile"), self.makefile())
    }

    fn workflow(&self, passing: Passing) -> String {
        let (last, ty) = (self.last(), passing.ty());
        let mut text = format!("[workflow]\nname = \"bench-{}-{}\"\n", self.shape.name(), passing.name());
        if passing == Passing::Values {
            // The two sources that a benchmark edits; as literals they would be edits of this file.
            let _ = write!(
                text,
                "\n[inputs]\nfirst = {{ type = \"int\", default = 0 }}\n\
                 last = {{ type = \"int\", default = {last} }}\n"
            );
        }
        let _ = write!(
            text,
            "\n[defaults]\ncache = true\n\n\
             [tasks.step]\nshell = [\"/bin/sh\", \"-eu\"]\ninputs = {{ a = \"{ty}\" }}\n\
             outputs = {{ y = \"{ty}\" }}\nrun = '{}'\n\n\
             [tasks.join]\nshell = [\"/bin/sh\", \"-eu\"]\ninputs = {{ a = \"{ty}\", b = \"{ty}\" }}\n\
             outputs = {{ y = \"{ty}\" }}\nrun = '{}'\n",
            passing.step(),
            passing.join(),
        );
        for (node, operands) in self.nodes.iter().enumerate() {
            let bound = |operand: &Operand| match (*operand, passing) {
                (Operand::Node(node), _) => format!("\"{{{{ n{node}.y }}}}\""),
                (Operand::Source(source), Passing::Files) => format!("\"in/{source}\""),
                (Operand::Source(0), Passing::Values) => "\"{{ inputs.first }}\"".into(),
                (Operand::Source(source), Passing::Values) if source == last => {
                    "\"{{ inputs.last }}\"".into()
                }
                (Operand::Source(source), Passing::Values) => source.to_string(),
            };
            let _ = match &operands[..] {
                [a, b] => write!(
                    text,
                    "\n[nodes.n{node}]\ntask = \"join\"\ninputs = {{ a = {}, b = {} }}\n",
                    bound(a),
                    bound(b)
                ),
                operands => write!(
                    text,
                    "\n[nodes.n{node}]\ntask = \"step\"\ninputs = {{ a = {} }}\n",
                    bound(&operands[0])
                ),
            };
        }
        let _ = write!(text, "\n[outputs]\ny = \"{{{{ n{last}.y }}}}\"\n");
        text
    }

    fn ninja(&self) -> String {
        let mut text = format!(
            "builddir = ninja\n\
             rule step\n  command = set -eu; read a <$in; echo $$((a+1)) >$out\n\
             rule join\n  command = set -eu; read a <$a; read b <$b; echo $$(((a*31+b*17+1)%{MODULUS})) >$out\n"
        );
        for (node, operands) in self.nodes.iter().enumerate() {
            let path = |operand: &Operand| match operand {
                Operand::Source(source) => format!("in/{source}"),
                Operand::Node(node) => format!("ninja/n{node}"),
            };
            let _ = match &operands[..] {
                [a, b] => {
                    let (a, b) = (path(a), path(b));
                    write!(text, "build ninja/n{node}: join {a} {b}\n  a = {a}\n  b = {b}\n")
                }
                operands => writeln!(text, "build ninja/n{node}: step {}", path(&operands[0])),
            };
        }
        text
    }

    fn makefile(&self) -> String {
        let mut text = format!(
            "SHELL = /bin/sh\n.SHELLFLAGS = -euc\n\
             step = read a <$<; echo $$((a+1)) >$@\n\
             join = read a <$(word 1,$+); read b <$(word 2,$+); echo $$(((a*31+b*17+1)%{MODULUS})) >$@\n\
             .PHONY: all\nall:"
        );
        for node in 0..self.nodes.len() {
            let _ = write!(text, " make/n{node}");
        }
        text.push('\n');
        for (node, operands) in self.nodes.iter().enumerate() {
            let _ = write!(text, "make/n{node}:");
            for operand in operands {
                let _ = match operand {
                    Operand::Source(source) => write!(text, " in/{source}"),
                    Operand::Node(node) => write!(text, " make/n{node}"),
                };
            }
            let _ = write!(text, "\n\t$({})\n", if operands.len() == 2 { "join" } else { "step" });
        }
        text
    }
}

/// What the nodes of a workflow hand to each other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Passing {
    Values,
    Files,
}

impl Passing {
    fn name(self) -> &'static str {
        match self {
            Self::Values => "values",
            Self::Files => "files",
        }
    }

    fn ty(self) -> &'static str {
        match self {
            Self::Values => "int",
            Self::Files => "file",
        }
    }

    fn step(self) -> &'static str {
        match self {
            Self::Values => r#"echo $((a+1)) >"$OUT/y""#,
            Self::Files => r#"read x <"$a"; echo $((x+1)) >"$OUT/y""#,
        }
    }

    fn join(self) -> String {
        match self {
            Self::Values => format!(r#"echo $(((a*31+b*17+1)%{MODULUS})) >"$OUT/y""#),
            Self::Files => {
                format!(r#"read x <"$a"; read z <"$b"; echo $(((x*31+z*17+1)%{MODULUS})) >"$OUT/y""#)
            }
        }
    }
}
