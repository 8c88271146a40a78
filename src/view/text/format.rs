//! Durations, ages, sizes and counts as people write them.

use std::borrow::Cow;

use bytesize::ByteSize;
use jiff::{Timestamp, Zoned};

/// A duration in milliseconds: `7ms`, `0.4s`, `12.3s`, `4m 10s`, `2h 05m`, `3d 04h`. Rounded down.
pub fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match seconds {
        0 if ms < 100 => format!("{ms}ms"),
        0..60 => format!("{seconds}.{}s", ms % 1000 / 100),
        60..3600 => format!("{minutes}m {:02}s", seconds % 60),
        3600..86_400 => format!("{hours}h {:02}m", minutes % 60),
        _ => format!("{}d {:02}h", hours / 24, hours % 24),
    }
}

/// How long ago `then` was, seen from `now` and in its time zone: `just now`, `42 s ago`, `3 min ago`,
/// `today 02:00`, `yesterday 02:00`, `Mon 02:00`, `3 May 02:00`, `2025-05-03`.
pub fn age(then: Timestamp, now: &Zoned) -> String {
    let seconds = now.timestamp().as_second() - then.as_second();
    let local = then.to_zoned(now.time_zone().clone());
    let days = now.date().since(local.date()).map_or(0, |span| span.get_days());
    match seconds {
        -60..5 => return "just now".into(),
        5..60 => return format!("{seconds} s ago"),
        60..3600 => return format!("{} min ago", seconds / 60),
        _ => {}
    }
    let format = match days {
        0 => "today %H:%M",
        1 => "yesterday %H:%M",
        2..7 => "%a %H:%M",
        _ if local.year() == now.year() => "%-d %b %H:%M",
        _ => "%Y-%m-%d",
    };
    local.strftime(format).to_string()
}

/// When `then` will be, seen from `now` and in its time zone: `now`, `in 42 s`, `in 3 min`, `today 02:00`, `tomorrow 02:00`,
/// `Mon 02:00`, `3 May 02:00`, `2027-05-03`.
pub fn ahead(then: Timestamp, now: &Zoned) -> String {
    let seconds = then.as_second() - now.timestamp().as_second();
    let local = then.to_zoned(now.time_zone().clone());
    let days = local.date().since(now.date()).map_or(0, |span| span.get_days());
    match seconds {
        ..1 => return "now".into(),
        1..60 => return format!("in {seconds} s"),
        60..3600 => return format!("in {} min", seconds / 60),
        _ => {}
    }
    let format = match days {
        0 => "today %H:%M",
        1 => "tomorrow %H:%M",
        2..7 => "%a %H:%M",
        _ if local.year() == now.year() => "%-d %b %H:%M",
        _ => "%Y-%m-%d",
    };
    local.strftime(format).to_string()
}

/// `512 B`, `1.2 KiB`, ...
pub fn size(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}

/// A number with its thousands set apart: `9,990`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 result`, `12,000 results`: the number as [`count`] writes it, and its noun, which takes an `s`.
pub fn named(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(n), if n == 1 { "" } else { "s" })
}

/// At least the number of columns that a terminal needs for `text` without control characters: exact for
/// what is common, too large for rare characters, never too small.
pub fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

fn char_width(c: char) -> usize {
    match c {
        '\0'..'\u{1100}' | '\u{2010}'..='\u{203a}' | '\u{2190}'..='\u{21ff}' | '\u{2500}'..='\u{259f}' => 1,
        // Braille, and the marks of this module's own lines.
        '\u{2800}'..='\u{28ff}' | '✓' | '✗' | '○' | '●' | '◌' | '⋯' | '≡' => 1,
        _ => 2,
    }
}

/// The longest beginning of `text` that fits in `columns`, with `…` where something was cut off.
pub fn cut(text: &str, columns: usize) -> Cow<'_, str> {
    if text.len() <= columns && text.is_ascii() || width(text) <= columns {
        return text.into();
    }
    let mut left = columns.saturating_sub(1);
    let mut short: String = text
        .chars()
        .take_while(|c| {
            let fits = char_width(*c) <= left;
            left = left.saturating_sub(char_width(*c));
            fits
        })
        .collect();
    if columns > 0 {
        short.push('…');
    }
    short.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_grow_coarser() {
        for (ms, text) in [
            (0, "0ms"),
            (99, "99ms"),
            (400, "0.4s"),
            (12_399, "12.3s"),
            (59_999, "59.9s"),
            (250_000, "4m 10s"),
            (3_599_999, "59m 59s"),
            (7_500_000, "2h 05m"),
            (273_600_000, "3d 04h"),
        ] {
            assert_eq!(duration(ms), text);
        }
    }

    #[test]
    fn ages_are_said_in_the_zone_of_now() {
        let now: Zoned = "2026-03-05T09:30:00+01:00[Europe/Berlin]".parse().unwrap();
        for (then, text) in [
            ("2026-03-05T08:30:30Z", "just now"),
            ("2026-03-05T08:29:58Z", "just now"),
            ("2026-03-05T08:29:18Z", "42 s ago"),
            ("2026-03-05T08:26:59Z", "3 min ago"),
            ("2026-03-05T01:00:00Z", "today 02:00"),
            ("2026-03-04T23:30:00Z", "today 00:30"),
            ("2026-03-04T01:00:00Z", "yesterday 02:00"),
            ("2026-03-02T01:00:00Z", "Mon 02:00"),
            ("2026-01-03T01:00:00Z", "3 Jan 02:00"),
            ("2025-05-03T01:00:00Z", "2025-05-03"),
        ] {
            assert_eq!(age(then.parse().unwrap(), &now), text, "{then}");
        }
    }

    #[test]
    fn times_ahead_are_said_in_the_zone_of_now() {
        let now: Zoned = "2026-11-26T12:00:00+01:00[Europe/Berlin]".parse().unwrap();
        for (then, text) in [
            ("2026-11-26T10:59:00Z", "now"),
            ("2026-11-26T11:00:42Z", "in 42 s"),
            ("2026-11-26T11:12:00Z", "in 12 min"),
            ("2026-11-26T22:30:00Z", "today 23:30"),
            ("2026-11-26T23:30:00Z", "tomorrow 00:30"),
            ("2026-11-30T01:00:00Z", "Mon 02:00"),
            ("2026-12-24T01:00:00Z", "24 Dec 02:00"),
            ("2027-05-03T01:00:00Z", "2027-05-03"),
        ] {
            assert_eq!(ahead(then.parse().unwrap(), &now), text, "{then}");
        }
    }

    #[test]
    fn counts_and_sizes() {
        assert_eq!([0, 999, 1000, 9990, 1_234_567].map(count), ["0", "999", "1,000", "9,990", "1,234,567"]);
        assert_eq!([0, 512, 1229, 3 << 20].map(size), ["0 B", "512 B", "1.2 KiB", "3.0 MiB"]);
    }

    #[test]
    fn cutting_respects_wide_characters() {
        assert_eq!(cut("hello", 5), "hello");
        assert_eq!(cut("hello", 4), "hel…");
        assert_eq!(cut("日本語", 6), "日本語");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("hello", 0), "");
        assert_eq!(cut("é✓é", 3), "é✓é");
    }

    proptest! {
        #[test]
        fn a_cut_text_fits(text in "\\PC{0,40}", columns in 0usize..30) {
            prop_assert!(width(&cut(&text, columns)) <= columns);
        }
    }
}
