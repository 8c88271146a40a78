//! How much may be kept: sizes and ages as flags, and the cap that every run keeps to.

use std::time::Duration;

use bytesize::ByteSize;

use super::Error;
use crate::core::time_text::parse_duration;

/// The variable that sets the cap.
pub const VARIABLE: &str = "RUNNER_CACHE_MAX_SIZE";
/// The default cap, in bytes.
pub const DEFAULT: u64 = 20 << 30;

/// A size or none, as `--max-size` and the variable say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap(pub Option<u64>);

/// The cap of this machine; `None` is no cap.
///
/// # Errors
/// The variable holds neither a size nor `off`.
pub fn from_environment() -> Result<Option<u64>, Error> {
    let Some(text) = std::env::var_os(VARIABLE).filter(|text| !text.is_empty()) else {
        return Ok(Some(DEFAULT));
    };
    let text = text.to_string_lossy();
    let Cap(cap) = parse_cap(&text).map_err(|problem| Error::invalid(format!("{VARIABLE}: {problem}")))?;
    // As in other tools: a user who writes it does not mean that nothing may be kept.
    Ok(cap.filter(|cap| *cap > 0))
}

/// # Errors
/// The text is neither a size nor `off`.
pub fn parse_cap(text: &str) -> Result<Cap, String> {
    match text {
        "off" => Ok(Cap(None)),
        text => parse_size(text).map(|size| Cap(Some(size))).map_err(|problem| format!("{problem}, or off")),
    }
}

/// A size in bytes. It needs a unit, but for 0: a bare number is more often meant in GiB than in bytes.
///
/// # Errors
/// A sentence that says what was expected.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        && text.parse() != Ok(0.0)
        && !text.is_empty()
    {
        return Err(format!("a size needs a unit, found {text:?}: did you mean {text}GiB?"));
    }
    let size: Result<ByteSize, _> = text.parse();
    size.map(|size| size.as_u64())
        .map_err(|_| format!("expected a size such as 10GiB or 500MB, found {text:?}"))
}

/// # Errors
/// The text is not a duration, or is negative.
pub fn parse_age(text: &str) -> Result<Duration, String> {
    let age =
        parse_duration(text).map_err(|_| format!("expected an age such as 30d or 12h, found {text:?}"))?;
    Duration::try_from(age).map_err(|_| format!("an age cannot be negative: {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_ages_and_caps_as_people_write_them() {
        assert_eq!(parse_size("10GiB"), Ok(10 << 30));
        assert_eq!((parse_size("500MB"), parse_size("0")), (Ok(500_000_000), Ok(0)));
        assert!(parse_size("lots").unwrap_err().contains("10GiB"));
        assert!(parse_size("5").unwrap_err().contains("5GiB"));
        assert!(parse_cap("1.5").unwrap_err().contains("needs a unit"));
        assert_eq!(parse_age("30d"), Ok(Duration::from_secs(30 * 86_400)));
        assert!(parse_age("-1d").is_err() && parse_age("old").is_err());
        assert_eq!((parse_cap("off"), parse_cap("1KiB")), (Ok(Cap(None)), Ok(Cap(Some(1024)))));
        assert!(parse_cap("none").unwrap_err().contains("off"));
    }
}
