//! What a run that is retried had brought to an end.

use serde_json::{Map as JsonMap, Value as Json};

use super::inputs;
use crate::core::run_id::RunId;
use crate::engine::RunOptions;
use crate::engine::lookup::prior_run::PriorRun;
use crate::workflow::graph::outline::Outline;

/// What a run that is retried left.
pub struct Prior {
    pub run: RunId,
    /// Its inputs, as it recorded them.
    pub inputs: JsonMap<String, Json>,
    /// The results that are taken over.
    pub earlier: PriorRun,
}

impl Prior {
    /// Excludes what is to be done again in any case: nodes that are to be overwritten, and hooks, which look at how
    /// this run ends.
    pub fn exclude(&mut self, outline: &Outline, options: &RunOptions, overwrites: bool) {
        for (number, place) in outline.places().enumerate() {
            if place.is_hook() {
                self.earlier.forget(&place.name());
                outline.inside(number).for_each(|inside| self.earlier.forget(&outline.name(inside)));
            } else if overwrites && options.overwrite[number] {
                self.earlier.forget(&place.name());
            }
        }
    }

    /// Names each file of the inputs that lies where it did and has another content now.
    pub fn changed_files(&self, name: &str, now: &Json, tell: &mut dyn FnMut(&str)) {
        inputs::changed_files(self.inputs.get(name).unwrap_or(&Json::Null), now, tell);
    }
}
