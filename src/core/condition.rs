//! The condition of a node that was skipped, with the values that it saw.

use serde::{Deserialize, Serialize};
use serde_json::{Map as JsonMap, Value as Json};

use super::why::difference::excerpts;

/// Maximum length of a value in a sentence, in characters.
const MAX_VALUE_CHARS: usize = 60;

/// A condition that did not hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    /// As it was written: `{{ inputs.mode == 'full' }}`.
    pub expression: String,
    /// By name (`inputs.mode`, `count.rows`), long ones cut.
    pub values: JsonMap<String, Json>,
}

impl Condition {
    pub fn new(expression: String, values: impl IntoIterator<Item = (String, Json)>) -> Self {
        let values =
            values.into_iter().map(|(name, value)| (name, excerpts(&value, &Json::Null).0)).collect();
        Self { expression, values }
    }

    /// Why its node is skipped: `its condition is false: {{ inputs.mode == 'full' }}, where inputs.mode = "quick"`.
    pub fn reason(&self) -> String {
        let value = |value: &Json| {
            let text =
                match value.get("name").and_then(Json::as_str).filter(|_| value.get("digest").is_some()) {
                    Some(name) => name.to_owned(),
                    None => value.to_string(),
                };
            match text.char_indices().nth(MAX_VALUE_CHARS) {
                Some((end, _)) => format!("{}...", &text[..end]),
                None => text,
            }
        };
        let values: Vec<String> =
            self.values.iter().map(|(name, found)| format!("{name} = {}", value(found))).collect();
        let seen = if values.is_empty() { String::new() } else { format!(", where {}", values.join(", ")) };
        format!("its condition is false: {}{seen}", self.expression)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_condition_shows_what_it_saw() {
        let values = [("inputs.mode", json!("quick")), ("count.rows", json!(3))];
        let named = values.map(|(name, value)| (name.to_owned(), value));
        let condition = Condition::new("{{ inputs.mode == 'full' and count.rows > 2 }}".into(), named);
        assert_eq!(
            condition.reason(),
            "its condition is false: {{ inputs.mode == 'full' and count.rows > 2 }}, \
             where count.rows = 3, inputs.mode = \"quick\""
        );
        let long =
            Condition::new("{{ inputs.t }}".into(), [("inputs.t".to_owned(), json!("x".repeat(5000)))]);
        assert!(long.reason().len() < 150 && long.values["inputs.t"].to_string().len() < 300);
        assert_eq!(Condition::new("false".into(), []).reason(), "its condition is false: false");
    }
}
