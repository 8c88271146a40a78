//! How many nodes there are inside elements: they are not expanded themselves, so that no event says it.

use std::collections::HashMap;

use super::Folded;
use crate::core::node_path::NodePath;

/// Counts the nodes of each family in `folded` that has no elements of its own.
pub(super) fn count_inside<'n>(
    folded: &mut [Folded],
    before: impl Iterator<Item = &'n NodePath>,
    after: impl Iterator<Item = &'n NodePath>,
) {
    let none = |folded: &Folded| folded.before == 0 && folded.after == 0;
    let count = |names: &HashMap<String, usize>, units: &mut dyn Iterator<Item = &'n NodePath>| {
        let mut counts = vec![0; names.len()];
        for unit in units {
            if let Some(number) = names.get(&*unit.borrowed().family()) {
                counts[*number] += 1;
            }
        }
        counts
    };
    let mut inside: Vec<&mut Folded> = folded.iter_mut().filter(|folded| none(folded)).collect();
    let names: HashMap<String, usize> =
        inside.iter().enumerate().map(|(number, folded)| (folded.node.clone(), number)).collect();
    let (before, after) = (count(&names, &mut { before }), count(&names, &mut { after }));
    for ((folded, before), after) in inside.iter_mut().zip(before).zip(after) {
        (folded.before, folded.after) = (before, after);
    }
}
