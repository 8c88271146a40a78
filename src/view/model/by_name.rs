//! Values by name in the order in which the names first came up: the nodes of a run as its events name them.
//!
//! Knows neither nodes nor events.

use std::collections::HashMap;

#[derive(Debug)]
pub(in crate::view) struct ByName<T> {
    values: Vec<T>,
    positions: HashMap<String, usize>,
}

impl<T> Default for ByName<T> {
    fn default() -> Self {
        Self { values: Vec::new(), positions: HashMap::new() }
    }
}

impl<T> ByName<T> {
    /// The value of `name`; `make` is called for a new name.
    pub fn entry(&mut self, name: &str, make: impl FnOnce() -> T) -> &mut T {
        let position = match self.positions.get(name) {
            Some(position) => *position,
            None => {
                self.positions.insert(name.to_owned(), self.values.len());
                self.values.push(make());
                self.values.len() - 1
            }
        };
        &mut self.values[position]
    }

    pub fn get_mut(&mut self, name: &str) -> Option<&mut T> {
        self.positions.get(name).map(|position| &mut self.values[*position])
    }

    pub fn into_values(self) -> Vec<T> {
        self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_the_order_of_their_first_mention() {
        let mut counts = ByName::default();
        for name in ["b", "a", "b", "c", "a"] {
            *counts.entry(name, || 0) += 1;
        }
        assert_eq!(counts.get_mut("a"), Some(&mut 2));
        assert_eq!(counts.get_mut("d"), None);
        assert_eq!(counts.into_values(), [2, 2, 1]);
    }
}
