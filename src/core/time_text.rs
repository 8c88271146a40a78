//! The written forms of days and durations. Knows nothing of values.

use jiff::SignedDuration;
use jiff::civil::Date;

use super::inert::quote;

/// The longest duration that is read, in seconds: 20,000 years. Its written form can be read back.
const MAX_SECONDS: u64 = 631_107_417_600;

/// Seconds, with a fraction only where there is one: `5400`, `0.25`.
pub fn seconds_text(duration: SignedDuration) -> String {
    let whole = duration.as_secs();
    match duration.subsec_nanos().unsigned_abs() {
        0 => whole.to_string(),
        nanos => {
            let sign = if duration.is_negative() { "-" } else { "" };
            let fraction = format!("{nanos:09}");
            format!("{sign}{}.{}", whole.unsigned_abs(), fraction.trim_end_matches('0'))
        }
    }
}

/// Reads a calendar day, as in `2026-01-31`; nothing may follow it.
pub fn parse_date(text: &str) -> Option<Date> {
    let is_plain = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    text.parse().ok().filter(|_| is_plain)
}

/// The two ways out where a day was given and an instant is needed.
pub fn day_hint(day: Date) -> String {
    format!("declare it as `date`, or add a time, as in {day}T00:00:00Z")
}

/// A duration as people write it: `1h 30m`; a negative one in seconds, `-90s`.
pub fn duration_text(duration: SignedDuration) -> String {
    match duration.is_negative() {
        true => format!("{}s", seconds_text(duration)),
        false => format!("{duration:#}"),
    }
}

/// Reads seconds as tasks see them: `90`, `-0.25`.
pub fn parse_seconds(text: &str) -> Option<SignedDuration> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let nanos: i32 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    let duration = SignedDuration::new(sign * whole.parse::<i64>().ok()?, sign as i32 * nanos);
    is_readable(duration).then_some(duration)
}

/// Reads a duration as people write it: `90s`, `1h30m`, `2d` (a day is 24 hours).
///
/// # Errors
/// The expected form, and the text that was found.
pub fn parse_duration(text: &str) -> Result<SignedDuration, String> {
    let wrong = |_| format!("expected a duration such as 90s or 1h30m, found {}", quote(text));
    let span: jiff::Span = text.parse().map_err(wrong)?;
    let duration = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(wrong)?;
    match is_readable(duration) {
        true => Ok(duration),
        false => Err(format!("expected a duration of at most 20000 years, found {}", quote(text))),
    }
}

fn is_readable(duration: SignedDuration) -> bool {
    duration.as_secs().unsigned_abs() < MAX_SECONDS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_keep_their_fraction_and_sign() {
        for (text, seconds) in [("1500ms", "1.5"), ("-250ms", "-0.25"), ("2d", "172800"), ("0s", "0")] {
            assert_eq!(seconds_text(parse_duration(text).unwrap()), seconds);
        }
    }

    #[test]
    fn only_durations_that_can_be_read_back_are_read() {
        for text in ["631107417599", "-631107417599.999999999", "0"] {
            let duration = parse_seconds(text).unwrap();
            assert_eq!(parse_duration(&duration_text(duration)), Ok(duration), "{text}");
        }
        assert_eq!(parse_seconds("-9203372036854775807"), None);
        assert!(parse_duration("175307616h 10518456960m").unwrap_err().contains("20000 years"));
    }
}
