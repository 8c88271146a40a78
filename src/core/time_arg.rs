//! Points in time as people write them: `2d`, `2026-11-01`, `2026-11-01 08:00`, `2026-11-01T08:00:00Z`.

use jiff::civil::{Date, DateTime};
use jiff::{SignedDuration, Span, Timestamp, Zoned};

/// Which end of a day a date alone means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    Start,
    End,
}

/// The instant that `text` means, seen from `now` and in its time zone: a length of time lies before it.
///
/// # Errors
/// A sentence that says what was expected.
pub fn parse(text: &str, edge: Edge, now: &Zoned) -> Result<Timestamp, String> {
    let text = text.trim();
    let zone = now.time_zone();
    let civil = |time: DateTime| time.to_zoned(zone.clone()).ok().map(|time| time.timestamp());
    let instant = if let Ok(instant) = text.parse::<Timestamp>() {
        Some(instant)
    } else if let Ok(date) = text.parse::<Date>().and_then(|date| match edge {
        // A longer text begins with a date as well.
        _ if text.len() > "2026-11-01".len() => Err(jiff::Error::from_args(format_args!("a time follows"))),
        Edge::Start => Ok(date),
        Edge::End => date.tomorrow(),
    }) {
        civil(date.into())
    } else if let Ok(time) = text.parse::<DateTime>() {
        civil(time)
    } else if let Ok(ago) = text.parse::<Span>() {
        now.checked_sub(ago.abs()).ok().map(|time| time.timestamp())
    } else {
        None
    };
    instant.ok_or_else(|| {
        format!(
            "`{text}` is no time: expected a time span such as 2d or 1h30m, a date such as 2026-11-01, or both date and \
             time, 2026-11-01T08:00"
        )
    })
}

/// The same where a day that ends a stretch of time belongs to it: its end is the last moment before the next one.
///
/// # Errors
/// As [`parse`].
pub fn last_moment(text: &str, edge: Edge, now: &Zoned) -> Result<Timestamp, String> {
    let instant = parse(text, edge, now)?;
    let is_day = edge == Edge::End && text.trim().parse::<Date>().is_ok() && text.trim().len() == 10;
    match is_day {
        true => Ok(instant.checked_sub(SignedDuration::from_nanos(1)).unwrap_or(instant)),
        false => Ok(instant),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_dates_and_instants_are_understood() {
        let now: Zoned = "2026-11-26T12:00:00+01:00[Europe/Berlin]".parse().unwrap();
        for (text, edge, expected) in [
            ("2d", Edge::Start, "2026-11-24T11:00:00Z"),
            ("1h30m", Edge::Start, "2026-11-26T09:30:00Z"),
            ("2 weeks ago", Edge::Start, "2026-11-12T11:00:00Z"),
            ("2026-11-01", Edge::Start, "2026-10-31T23:00:00Z"),
            ("2026-11-01", Edge::End, "2026-11-01T23:00:00Z"),
            ("2026-11-01 08:00", Edge::End, "2026-11-01T07:00:00Z"),
            ("2026-11-01T08:00:30", Edge::Start, "2026-11-01T07:00:30Z"),
            ("2026-11-01T08:00:00Z", Edge::Start, "2026-11-01T08:00:00Z"),
            ("2026-11-01T08:00:00+05:00", Edge::End, "2026-11-01T03:00:00Z"),
        ] {
            assert_eq!(parse(text, edge, &now).map(|t| t.to_string()), Ok(expected.into()), "{text}");
        }
        for text in ["", "soon", "2026-13-01", "7"] {
            assert!(parse(text, Edge::Start, &now).unwrap_err().contains("expected a time span"), "{text}");
        }
    }
}
