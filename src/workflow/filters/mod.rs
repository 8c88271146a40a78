//! The filters and functions of expressions, and how much one expression may make of them.
//!
//! minijinja brings many of them; ours join paths, dates and lists, and stand in for those of minijinja's
//! that take anything at all and make text of it. Knows nothing of templates' texts and of what names mean.
//!
//! | file | owns |
//! |---|---|
//! | `catalog.rs` | the one list of what there is, with its documentation |
//! | `arguments.rs` | what filters take, and the errors of those that get something else |
//! | `explain.rs` | the error of an expression, with the part of it that failed |
//! | `names.rs` | what an expression names, and whether it is in the list |
//! | `lists.rs`, `text.rs`, `paths.rs`, `dates.rs`, `json.rs` | the filters themselves |

mod arguments;
pub mod catalog;
mod dates;
mod explain;
mod json;
mod lists;
mod names;
mod paths;
mod text;

use minijinja::{Environment, UndefinedBehavior};

pub use self::explain::explain_in;
pub use self::names::{globs, is_keyword, unknown, variables};

/// The function that lists files.
const GLOB: &str = "glob";
/// The variable that holds what was found, by pattern: an expression itself reads no folder.
pub const FOUND_FILES: &str = "__found_files";

/// Maximum cost of one expression: about 64 MiB of text, or a million list elements.
const FUEL: u64 = 1_000_000;

/// The environment that parses and evaluates expressions.
pub fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_debug(true);
    environment.set_fuel(Some(FUEL));
    lists::add(&mut environment);
    text::add(&mut environment);
    paths::add(&mut environment);
    dates::add(&mut environment);
    json::add(&mut environment);
    environment
}

#[cfg(test)]
mod tests;
