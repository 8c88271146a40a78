//! The path of a node in a run: `prep[3]/clean`, with the number of an element behind it or none.
//!
//! The one place that reads and writes the brackets and slashes of node names. Knows no workflow: whether a node of that
//! name exists is for others to say.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};

use crate::core::digest::Digest;
use crate::core::shell_word::shell_word;

/// Maximum length of a file name made from a path, in bytes.
const MAX_FILE_NAME_BYTES: usize = 160;

/// A node or an element of one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodePath {
    /// The node's name, with the names of the sub-workflow nodes around it and the numbers of their elements.
    pub node: String,
    /// The number of the element, counted from 0.
    pub index: Option<u64>,
}

/// A borrowed [`NodePath`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeRef<'a> {
    pub node: &'a str,
    pub index: Option<u64>,
}

impl NodePath {
    pub fn borrowed(&self) -> NodeRef<'_> {
        NodeRef { node: &self.node, index: self.index }
    }
}

impl<'a> NodeRef<'a> {
    pub fn new(node: &'a str, index: Option<u64>) -> Self {
        Self { node, index }
    }

    /// Reads `each[3]` as the element 3 of `each`. Any other text is the name of a node.
    pub fn parse(text: &'a str) -> Self {
        let element = text.rfind('[').and_then(|at| match number(&text[at + 1..]) {
            Some((index, "")) => Some(Self::new(&text[..at], Some(index))),
            _ => None,
        });
        element.unwrap_or(Self::new(text, None))
    }

    pub fn to_owned(self) -> NodePath {
        NodePath { node: self.node.into(), index: self.index }
    }

    /// The path as text; allocates for an element only.
    pub fn label(self) -> Cow<'a, str> {
        match self.index {
            Some(_) => self.to_string().into(),
            None => self.node.into(),
        }
    }

    /// Whether it is an element, or inside one.
    pub fn is_in_element(self) -> bool {
        self.index.is_some() || self.node.contains('[')
    }

    /// The outermost node with elements that it belongs to: `prep` for `prep[3]/clean[1]` and for `prep[3]`.
    pub fn outermost(self) -> Option<&'a str> {
        match self.node.split_once('[') {
            Some((outermost, _)) => Some(outermost),
            None => self.index.map(|_| self.node),
        }
    }

    /// Every node with elements that it belongs to, the outermost first: `prep` and `prep[3]/clean` for
    /// `prep[3]/clean[1]`.
    pub fn element_nodes(self) -> impl Iterator<Item = &'a str> {
        let around = self.node.match_indices('[').map(move |(at, _)| &self.node[..at]);
        around.chain(self.index.map(|_| self.node))
    }

    /// The path that it is directly inside: `prep[3]` for `prep[3]/clean`, `each` for `each[3]`.
    pub fn parent(self) -> Option<&'a str> {
        match self.index {
            Some(_) => Some(self.node),
            None => self.node.rsplit_once('/').map(|(parent, _)| parent),
        }
    }

    /// The node of the workflow that it is a use of, without the numbers of elements: `prep/clean` for `prep[3]/clean[1]`.
    pub fn family(self) -> Cow<'a, str> {
        if !self.node.contains('[') {
            return self.node.into();
        }
        let mut family = String::with_capacity(self.node.len());
        let mut rest = self.node;
        while let Some((before, after)) = rest.split_once('[') {
            family.push_str(before);
            rest = match number(after) {
                Some((_, behind)) => behind,
                None => {
                    family.push('[');
                    after
                }
            };
        }
        family.push_str(rest);
        family.into()
    }

    /// Whether it is inside what `outer` names: an element of it, a node of that sub-workflow, or deeper. Numbers of
    /// elements may be left out of `outer`: `prep/clean` holds `prep[0]/clean`, `prep[1]/clean`...
    pub fn is_inside(self, outer: &str) -> bool {
        let below = |rest: &str| rest.starts_with(['/', '[']) || rest.is_empty() && self.index.is_some();
        if self.node.strip_prefix(outer).is_some_and(below) {
            return true;
        }
        let family = self.family();
        family.len() != self.node.len()
            && family.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// A key to sort by: the numbers of elements first, as numbers.
    pub fn order(self) -> (Vec<u64>, String) {
        let numbers = self.node.split('[').skip(1).filter_map(|rest| Some(number(rest)?.0));
        (numbers.chain(self.index).collect(), self.node.into())
    }

    /// A name for its files: `prep.clean-3` for `prep/clean[3]`, at most `MAX_FILE_NAME_BYTES` long.
    pub fn file_name(self) -> String {
        let label = self.label();
        let name = label.replace(']', "").replace('/', ".").replace('[', "-");
        if name.len() <= MAX_FILE_NAME_BYTES {
            return name;
        }
        // Deep in sub-workflows the end tells most, and the digest keeps such names apart.
        let digest = Digest::of(&*label).hex();
        format!("{}..{}", &digest[..16], &name[name.len() - (MAX_FILE_NAME_BYTES - 18)..])
    }

    /// The node's name as a word of a shell command: quoted if it has brackets, which are a pattern to a shell.
    pub fn shell_word(self) -> Cow<'a, str> {
        shell_word(self.node)
    }
}

impl Display for NodeRef<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.index {
            Some(index) => write!(f, "{}[{index}]", self.node),
            None => f.pad(self.node),
        }
    }
}

impl Display for NodePath {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.borrowed().fmt(f)
    }
}

/// The number at the start of `3]/clean`, and what follows it.
fn number(text: &str) -> Option<(u64, &str)> {
    let (digits, rest) = text.split_once(']')?;
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| Some((digits.parse().ok()?, rest)))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_back() {
        for (text, node, index) in [
            ("hash", "hash", None),
            ("each[3]", "each", Some(3)),
            ("prep[3]/clean", "prep[3]/clean", None),
            ("prep[3]/clean[1]", "prep[3]/clean", Some(1)),
            ("fit[ab]", "fit[ab]", None),
            ("fit[]", "fit[]", None),
            ("fit[99999999999999999999]", "fit[99999999999999999999]", None),
            ("[", "[", None),
            ("", "", None),
        ] {
            let path = NodeRef::parse(text);
            assert_eq!((path.node, path.index, &*path.label()), (node, index, text));
            assert_eq!(path.to_owned().to_string(), text);
        }
    }

    #[test]
    fn a_path_knows_what_is_around_it() {
        for (text, outermost, parent, nodes) in [
            ("hash", None, None, &[][..]),
            ("prep/clean", None, Some("prep"), &[]),
            ("each[3]", Some("each"), Some("each"), &["each"]),
            ("a/prep[3]/clean", Some("a/prep"), Some("a/prep[3]"), &["a/prep"]),
            ("prep[3]/clean[1]", Some("prep"), Some("prep[3]/clean"), &["prep", "prep[3]/clean"]),
        ] {
            let path = NodeRef::parse(text);
            assert_eq!((path.outermost(), path.parent()), (outermost, parent), "{text}");
            assert_eq!(path.element_nodes().collect::<Vec<_>>(), nodes, "{text}");
            assert_eq!(path.is_in_element(), outermost.is_some(), "{text}");
        }
    }

    #[test]
    fn a_family_has_no_numbers() {
        for (text, family) in [
            ("a", "a"),
            ("a[3]", "a"),
            ("p[3]/a", "p/a"),
            ("p[3]/q[12]/a", "p/q/a"),
            ("fit[ab]", "fit[ab]"),
            ("fit[", "fit["),
            ("prep[3]/*", "prep/*"),
        ] {
            assert_eq!(NodeRef::parse(text).family(), family);
            assert_eq!(NodeRef::new(text, None).family(), family);
        }
    }

    #[test]
    fn what_is_inside_may_be_named_without_numbers() {
        for (text, outer, inside) in [
            ("each[3]", "each", true),
            ("each", "each", false),
            ("eaches[3]", "each", false),
            ("prep[3]/clean", "prep", true),
            ("prep[3]/clean", "prep[3]", true),
            ("prep[3]/clean", "prep[30]", false),
            ("prep[3]/clean", "prep/clean", true),
            ("prep[3]/clean[1]", "prep/clean", true),
            ("prep[3]/cleaner", "prep/clean", false),
        ] {
            assert_eq!(NodeRef::parse(text).is_inside(outer), inside, "{text} {outer}");
        }
    }

    #[test]
    fn numbers_sort_as_numbers() {
        let mut paths = ["each[10]", "each[9]", "prep[2]/b", "prep[2]/a"].map(NodeRef::parse);
        paths.sort_by_key(|path| path.order());
        assert_eq!(paths.map(|path| path.to_string()), ["prep[2]/a", "prep[2]/b", "each[9]", "each[10]"]);
    }

    #[test]
    fn file_names_are_plain_short_and_unlike_each_other() {
        assert_eq!(NodeRef::parse("prep/clean[3]").file_name(), "prep.clean-3");
        assert_eq!(NodeRef::parse("prep[3]/clean").file_name(), "prep-3.clean");
        let (one, other) = (format!("a/{}", "x/".repeat(300)), format!("b/{}", "x/".repeat(300)));
        let (one, other) = (NodeRef::parse(&one).file_name(), NodeRef::parse(&other).file_name());
        assert!(one.len() == MAX_FILE_NAME_BYTES && one != other, "{one}");
    }
}
