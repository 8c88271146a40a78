//! Filters over datetimes, which reach expressions as RFC 3339 text, and over durations, which reach them in
//! seconds. Their result is a datetime again.

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jiff::{RoundMode, SignedDuration, Span, Timestamp, Unit, Zoned, ZonedRound};
use minijinja::value::Kwargs;
use minijinja::{Environment, Error, Value};

use super::arguments::{failed, wrong};
use crate::core::value::quote;
use crate::workflow::jinja::describe;

pub fn add(environment: &mut Environment) {
    environment.add_filter("date", date);
    environment.add_filter("plus", plus);
    environment.add_filter("minus", minus);
    environment.add_filter("truncate_to", truncate_to);
    environment.add_filter("timestamp", timestamp);
}

fn instant(filter: &str, value: &Value) -> Result<Timestamp, Error> {
    let read = value.as_str().and_then(|text| text.parse().ok());
    read.ok_or_else(|| wrong(filter, "a datetime such as 2026-01-31T08:00:00Z", value))
}

/// The instant on the clocks of the option `timezone`.
fn zoned(filter: &str, value: &Value, options: &Kwargs) -> Result<Zoned, Error> {
    let zone = match options.get::<Option<&str>>("timezone")? {
        None => TimeZone::UTC,
        Some(name) => TimeZone::get(name)
            .map_err(|_| failed(format!("`{filter}`: no time zone {}; as in Europe/Berlin", quote(name))))?,
    };
    options.assert_all_used()?;
    Ok(instant(filter, value)?.to_zoned(zone))
}

fn date(value: &Value, format: &str, options: Kwargs) -> Result<String, Error> {
    let zoned = zoned("date", value, &options)?;
    jiff::fmt::strtime::format(format, &zoned)
        .map_err(|error| failed(format!("`date` cannot use the format {}: {error}", quote(format))))
}

fn plus(value: &Value, amount: &Value, options: Kwargs) -> Result<String, Error> {
    moved("plus", value, amount, &options, false)
}

fn minus(value: &Value, amount: &Value, options: Kwargs) -> Result<String, Error> {
    moved("minus", value, amount, &options, true)
}

fn moved(filter: &str, value: &Value, amount: &Value, options: &Kwargs, back: bool) -> Result<String, Error> {
    let zoned = zoned(filter, value, options)?;
    let moved = match (amount.as_str().map(str::parse::<Span>), amount.is_number()) {
        (Some(Ok(span)), _) if back => zoned.checked_sub(span),
        (Some(Ok(span)), _) => zoned.checked_add(span),
        (None, true) => {
            let seconds = f64::try_from(amount.clone())?;
            let duration = SignedDuration::try_from_secs_f64(if back { -seconds } else { seconds });
            duration.and_then(|duration| zoned.checked_add(duration))
        }
        _ => return Err(wrong(filter, "a duration such as '1d' or '1h30m', or seconds", amount)),
    };
    let moved = moved.map_err(|_| {
        failed(format!("`{filter}` by {} leads out of the years -9999 to 9999", describe(amount)))
    })?;
    Ok(moved.timestamp().to_string())
}

fn truncate_to(value: &Value, unit: &str, options: Kwargs) -> Result<String, Error> {
    const UNITS: [&str; 7] = ["year", "month", "week", "day", "hour", "minute", "second"];
    let zoned = zoned("truncate_to", value, &options)?;
    let round = |unit| zoned.round(ZonedRound::new().smallest(unit).mode(RoundMode::Floor));
    let start = match unit {
        "year" => zoned.first_of_year().and_then(|day| day.start_of_day()),
        "month" => zoned.first_of_month().and_then(|day| day.start_of_day()),
        "week" => {
            let days = i64::from(zoned.weekday().since(Weekday::Monday));
            Span::new()
                .try_days(days)
                .and_then(|span| zoned.checked_sub(span))
                .and_then(|day| day.start_of_day())
        }
        "day" => zoned.start_of_day(),
        "hour" => round(Unit::Hour),
        "minute" => round(Unit::Minute),
        "second" => round(Unit::Second),
        _ => {
            let (found, units) = (quote(unit), UNITS.join(", "));
            return Err(failed(format!("`truncate_to` takes one of {units}, found {found}")));
        }
    };
    let start = start.map_err(|error| failed(format!("`truncate_to`: {error}")))?;
    Ok(start.timestamp().to_string())
}

fn timestamp(value: &Value) -> Result<i64, Error> {
    Ok(instant("timestamp", value)?.as_nanosecond().div_euclid(1_000_000_000) as i64)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{expect, expect_errors};

    #[test]
    fn dates() {
        expect(&[
            ("day | date('%Y-%m-%d')", "'2026-03-29'"),
            ("'2026-01-31T23:30:00Z' | date('%d %H:%M', timezone='Europe/Berlin')", "'01 00:30'"),
            ("'2026-01-31T23:30:00+01:00' | date('%H')", "'22'"),
            ("day | plus('1d')", "'2026-03-30T00:30:15.5Z'"),
            ("day | plus('1d', timezone='Europe/Berlin')", "'2026-03-29T23:30:15.5Z'"),
            ("day | minus('36h')", "'2026-03-27T12:30:15.5Z'"),
            ("day | minus('1mo')", "'2026-02-28T00:30:15.5Z'"),
            ("day | plus(90)", "'2026-03-29T00:31:45.5Z'"),
            ("day | minus(0.5)", "'2026-03-29T00:30:15Z'"),
            ("day | truncate_to('second')", "'2026-03-29T00:30:15Z'"),
            ("day | truncate_to('minute')", "'2026-03-29T00:30:00Z'"),
            ("day | truncate_to('hour')", "'2026-03-29T00:00:00Z'"),
            ("day | truncate_to('day')", "'2026-03-29T00:00:00Z'"),
            ("day | truncate_to('day', timezone='Europe/Berlin')", "'2026-03-28T23:00:00Z'"),
            ("day | truncate_to('week')", "'2026-03-23T00:00:00Z'"),
            ("day | truncate_to('month')", "'2026-03-01T00:00:00Z'"),
            ("day | truncate_to('year', timezone='Asia/Tokyo')", "'2025-12-31T15:00:00Z'"),
            ("'1970-01-01T00:01:00Z' | timestamp", "60"),
            ("'1969-12-31T23:59:58.5Z' | timestamp", "-2"),
            ("[day] | map('date', '%j')", "['088']"),
        ]);
    }

    #[test]
    fn what_they_do_not_take_is_named() {
        expect_errors(&[
            (
                "'today' | date('%Y')",
                "`date` takes a datetime such as 2026-01-31T08:00:00Z, found the text \"today\"",
            ),
            ("none | date('%Y')", "found none"),
            ("day | date", "missing argument; it is written `date(format, timezone='UTC')`"),
            ("day | date('%!')", "`date` cannot use the format \"%!\""),
            ("day | date('%Y', timezone='Berlin')", "no time zone \"Berlin\""),
            ("day | date('%Y', tz='UTC')", "tz"),
            (
                "day | plus('soon')",
                "`plus` takes a duration such as '1d' or '1h30m', or seconds, found the text",
            ),
            ("day | plus(none)", "found none"),
            ("day | plus(1e300)", "out of the years"),
            ("day | minus('19000y')", "out of the years"),
            ("day | truncate_to('fortnight')", "one of year, month, week, day, hour, minute, second"),
            ("3 | timestamp", "`timestamp` takes a datetime"),
        ]);
    }
}
