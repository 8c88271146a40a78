//! Why a node would run, or where its result comes from.

use std::path::Path;

use super::Error;
use super::open::Opened;
use super::plan::explain;
use super::prepare::PreparedRun;
use crate::core::node_path::NodeRef;
use crate::engine::plan::planned::PlannedUnit;
use crate::workflow::graph::outline::OutlineNode;
use crate::workflow::graph::select::matching;

pub use crate::storage::memo::Version;

/// Nodes and elements that a person names.
pub(super) struct AskedNodes {
    /// Names and globs without the numbers of elements.
    pub globs: Vec<String>,
    /// The labels asked for, if all arguments have numbers of elements.
    labels: Vec<String>,
}

impl AskedNodes {
    pub fn read(nodes: &[String]) -> Self {
        let mut asked = Self { globs: Vec::new(), labels: Vec::new() };
        for node in nodes {
            // Brackets that hold no number are part of a glob.
            let family = NodeRef::parse(node).family();
            if family != **node {
                asked.labels.push(node.clone());
            }
            asked.globs.push(family.into_owned());
        }
        // A name without a number stands for all of its elements.
        if asked.labels.len() < nodes.len() {
            asked.labels.clear();
        }
        asked
    }

    pub fn means(&self, label: &str) -> bool {
        let path = NodeRef::parse(label);
        self.labels.is_empty() || self.labels.iter().any(|wanted| wanted == label || path.is_inside(wanted))
    }
}

/// Explains the nodes with these names, globs or labels (`prep[3]/fit[0]`); `tell` receives each node and element.
///
/// # Errors
/// A name that fits nothing, a node that never has a key, and whatever keeps a plan from being made.
pub fn why(
    prepared: &PreparedRun,
    home: Option<&Path>,
    nodes: &[String],
    tell: &mut dyn FnMut(&PlannedUnit),
) -> Result<(), Error> {
    let asked = AskedNodes::read(nodes);
    let wants = matching(&prepared.opened.outline, "node", &asked.globs).map_err(Error::not_found)?;
    let mut any = false;
    explain(prepared, home, wants, &mut |told| {
        if asked.means(told.label) {
            any = true;
            tell(told);
        }
    })?;
    match any {
        true => Ok(()),
        false => Err(Error::not_found(nothing_told(&prepared.opened, &asked, nodes))),
    }
}

/// Why there is no explanation.
fn nothing_told(opened: &Opened, asked: &AskedNodes, nodes: &[String]) -> String {
    let named = nodes.join("`, `");
    match asked.labels.is_empty() {
        false => {
            let plain =
                |place: &OutlineNode| place.node().scatter.is_none() && asked.globs.contains(&place.name());
            match opened.outline.places().any(|place| plain(&place) && place.parent.is_none()) {
                true => format!("`{named}`: the node has no elements; leave out the number"),
                false => {
                    format!(
                        "`{named}`: there is no such element; the name of the node alone tells how many there are"
                    )
                }
            }
        }
        true => {
            let hook =
                opened.outline.places().any(|place| place.is_hook() && asked.globs.contains(&place.name()));
            match hook {
                true => {
                    format!("`{named}` runs last, when the run has ended, and never comes from the cache")
                }
                false => format!("`{named}` would not run: nothing is known of its key"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_means_all_that_is_in_it() {
        let asked = AskedNodes::read(&["prep[3]".into()]);
        assert!(asked.means("prep[3]") && asked.means("prep[3]/clean"));
        assert!(!asked.means("prep[30]") && !asked.means("prep[4]/clean") && !asked.means("prep"));
        assert!(AskedNodes::read(&["prep[3]".into(), "train".into()]).means("prep[4]"));
    }
}
