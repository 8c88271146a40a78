//! How many attempts share a job of a batch system.

use serde_json::Value as Json;

/// How many attempts share a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChunkSize {
    /// As many as take the time that a chunk aims at.
    #[default]
    Auto,
    /// This many; 1 makes each attempt a job of its own.
    Of(usize),
}

/// Maximum attempts of a job.
const MAX_CHUNK: u64 = 10_000;

impl ChunkSize {
    /// # Errors
    /// The value is no chunk size: a clause about what was expected.
    pub fn from_json(value: &Json) -> Result<Self, String> {
        match (value.as_str(), value.as_u64()) {
            (Some("auto"), _) => Ok(Self::Auto),
            (_, Some(size @ 1..=MAX_CHUNK)) => Ok(Self::Of(size as usize)),
            _ => Err(format!("must be \"auto\" or a whole number from 1 to {MAX_CHUNK}, found {value}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_size_is_a_number_or_left_open() {
        assert_eq!(ChunkSize::from_json(&json!("auto")), Ok(ChunkSize::Auto));
        assert_eq!(ChunkSize::from_json(&json!(50)), Ok(ChunkSize::Of(50)));
        for wrong in [json!(0), json!("many"), json!(1.5), json!(-1), json!(10_001)] {
            assert!(ChunkSize::from_json(&wrong).unwrap_err().contains("found"), "{wrong}");
        }
    }
}
