//! Expressions made at random: whatever the text, the parser answers; whatever it accepts comes at the instants that a walk
//! over every minute finds. The walk shares no code with the parser and the search: it works on how an expression was made.
//!
//! `RUNNER_FUZZ=N` makes N texts and N / 1000 walks, and holds the time of each text.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::{CronError, Expression, Rhythm, crontab_times, on_calendar, words};

/// What stands in a field, as it was made: a list of parts.
#[derive(Clone, Debug)]
struct Made(Vec<Part>);

#[derive(Clone, Debug)]
enum Part {
    Star,
    Number(u8),
    Range(u8, u8),
    StarStep(u8),
    RangeStep(u8, u8, u8),
    Last,
    LastWorkday,
    NearestWorkday(u8),
    Nth(u8, u8),
    LastOf(u8),
}

impl Made {
    fn text(&self) -> String {
        let part = |part: &Part| match part {
            Part::Star => "*".to_owned(),
            Part::Number(n) => n.to_string(),
            Part::Range(a, b) => format!("{a}-{b}"),
            Part::StarStep(step) => format!("*/{step}"),
            Part::RangeStep(a, b, step) => format!("{a}-{b}/{step}"),
            Part::Last => "L".to_owned(),
            Part::LastWorkday => "LW".to_owned(),
            Part::NearestWorkday(day) => format!("{day}W"),
            Part::Nth(day, which) => format!("{day}#{which}"),
            Part::LastOf(day) => format!("{day}L"),
        };
        self.0.iter().map(part).collect::<Vec<_>>().join(",")
    }

    fn is_star(&self) -> bool {
        matches!(self.0[..], [Part::Star])
    }

    /// Whether a number of a field from `min` on is meant by one of the plain parts.
    fn has(&self, number: u8, min: u8) -> bool {
        self.0.iter().any(|part| match part {
            Part::Star => true,
            Part::Number(n) => *n == number,
            Part::Range(a, b) => (*a..=*b).contains(&number),
            Part::StarStep(step) => (number - min).is_multiple_of(*step),
            Part::RangeStep(a, b, step) => (*a..=*b).contains(&number) && (number - a).is_multiple_of(*step),
            _ => false,
        })
    }

    fn has_month_day(&self, date: Date) -> bool {
        let last = date.days_in_month();
        let workday = |day: i8| {
            let near = [0, -1, 1, -2, 2].map(|away| day + away);
            let is_workday = |day: &i8| {
                let found =
                    (1..=last).contains(day).then(|| Date::new(date.year(), date.month(), *day).unwrap());
                found.is_some_and(|found| (1..=5).contains(&found.weekday().to_monday_one_offset()))
            };
            near.into_iter().find(is_workday).unwrap()
        };
        self.has(date.day() as u8, 1)
            || self.0.iter().any(|part| match part {
                Part::Last => date.day() == last,
                Part::LastWorkday => date.day() == workday(last),
                Part::NearestWorkday(day) => *day as i8 <= last && date.day() == workday(*day as i8),
                _ => false,
            })
    }

    fn has_week_day(&self, date: Date) -> bool {
        let day = date.weekday().to_sunday_zero_offset() as u8;
        let is = |other: u8| other % 7 == day;
        // `*/n` counts Sunday as 0 only.
        let plain = |part: &Part| matches!(part, Part::Star | Part::StarStep(_));
        let (stars, others): (Vec<Part>, Vec<Part>) = self.0.iter().cloned().partition(plain);
        Made(stars).has(day, 0)
            || Made(others).has(day, 0)
            || (day == 0 && Made(self.0.iter().filter(|part| !plain(part)).cloned().collect()).has(7, 0))
            || self.0.iter().any(|part| match part {
                Part::Nth(other, which) => is(*other) && (date.day() + 6) / 7 == *which as i8,
                Part::LastOf(other) => is(*other) && date.day() + 7 > date.days_in_month(),
                _ => false,
            })
    }
}

/// An expression as it was made.
#[derive(Clone, Debug)]
struct Recipe {
    second: Option<u8>,
    minute: Made,
    hour: Made,
    day: Made,
    month: Made,
    weekday: Made,
}

impl Recipe {
    fn text(&self) -> String {
        let fields = [&self.minute, &self.hour, &self.day, &self.month, &self.weekday].map(Made::text);
        self.second.map(|second| format!("{second} ")).unwrap_or_default() + &fields.join(" ")
    }

    /// Whether a local time of whole minutes, the second aside, is meant.
    fn has(&self, local: DateTime) -> bool {
        let date = local.date();
        let day = match (self.day.is_star(), self.weekday.is_star()) {
            (true, true) => true,
            (false, true) => self.day.has_month_day(date),
            (true, false) => self.weekday.has_week_day(date),
            (false, false) => self.day.has_month_day(date) || self.weekday.has_week_day(date),
        };
        day && self.minute.has(local.minute() as u8, 0)
            && self.hour.has(local.hour() as u8, 0)
            && self.month.has(local.month() as u8, 1)
    }

    /// Every instant of the minutes in [from, until), by looking at each. Changes of the clocks are at whole minutes.
    fn walk(&self, zone: &TimeZone, from: Timestamp, until: Timestamp) -> Vec<Timestamp> {
        let every_hour = (0..24).all(|hour| self.hour.has(hour, 0));
        let second = SignedDuration::from_secs(i64::from(self.second.unwrap_or(0)));
        let minute = SignedDuration::from_mins(1);
        let mut found = Vec::new();
        // The latest local time that the clocks have shown. Two days before are enough for any change.
        let mut at = from - SignedDuration::from_hours(48);
        let mut shown = zone.to_datetime(at) - minute;
        while at < until {
            let local = zone.to_datetime(at);
            if every_hour {
                if self.has(local) {
                    found.push(at + second);
                }
            } else if local > shown {
                let mut skipped = shown + minute;
                while skipped < local {
                    if self.has(skipped) {
                        found.push(at);
                    }
                    skipped += minute;
                }
                if self.has(local) {
                    found.push(at + second);
                }
                shown = local;
            }
            at += minute;
        }
        found.dedup();
        found.retain(|at| (from..until).contains(at));
        found
    }
}

fn part(min: u8, max: u8) -> impl Strategy<Value = Part> + Clone {
    let pair = (min..=max, min..=max).prop_map(|(a, b)| (a.min(b), a.max(b)));
    prop_oneof![
        2 => Just(Part::Star),
        3 => (min..=max).prop_map(Part::Number),
        2 => pair.clone().prop_map(|(a, b)| Part::Range(a, b)),
        2 => (1..=max).prop_map(Part::StarStep),
        1 => (pair, 1..=max).prop_map(|((a, b), step)| Part::RangeStep(a, b, step)),
    ]
}

fn field(part: impl Strategy<Value = Part>) -> impl Strategy<Value = Made> {
    prop::collection::vec(part, 1..4).prop_map(Made)
}

fn recipe() -> impl Strategy<Value = Recipe> {
    let star = || Just(Made(vec![Part::Star]));
    let day = prop_oneof![
        4 => part(1, 31),
        1 => Just(Part::Last),
        1 => Just(Part::LastWorkday),
        1 => (1..=31u8).prop_map(Part::NearestWorkday),
    ];
    let weekday = prop_oneof![
        4 => part(0, 7),
        1 => (0..=7u8, 1..=5u8).prop_map(|(day, which)| Part::Nth(day, which)),
        1 => (0..=7u8).prop_map(Part::LastOf),
    ];
    (
        prop::option::of(0..60u8),
        field(part(0, 59)),
        prop_oneof![1 => star(), 3 => field(part(0, 23))],
        prop_oneof![2 => star(), 1 => field(day)],
        prop_oneof![3 => star(), 1 => field(part(1, 12))],
        prop_oneof![2 => star(), 1 => field(weekday)],
    )
        .prop_map(|(second, minute, hour, day, month, weekday)| Recipe {
            second,
            minute,
            hour,
            day,
            month,
            weekday,
        })
}

/// Zones, each with a moment at which its clocks change, or a day goes missing.
const CHANGES: [(&str, &str); 14] = [
    ("UTC", "2024-02-29T00:00:00Z"),
    ("Europe/Berlin", "2026-03-29T01:00:00Z"),
    ("Europe/Berlin", "2026-10-25T01:00:00Z"),
    ("America/New_York", "2025-11-02T06:00:00Z"),
    ("America/New_York", "2025-03-09T07:00:00Z"),
    ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
    ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
    ("Pacific/Apia", "2011-12-30T10:00:00Z"),
    ("Africa/Casablanca", "2026-02-15T02:00:00Z"),
    ("Antarctica/Troll", "2026-03-29T01:00:00Z"),
    ("Antarctica/Troll", "2026-10-25T01:00:00Z"),
    ("America/Sao_Paulo", "2018-11-04T03:00:00Z"),
    ("Pacific/Chatham", "2026-04-04T14:00:00Z"),
    ("America/St_Johns", "2010-11-07T02:31:00Z"),
];

/// Days that a walk goes on after its change of the clocks.
const DAYS: i64 = 3;

/// Compares an expression with the walk in three days around a change of the clocks.
fn compare(recipe: &Recipe, change: usize) -> Result<usize, String> {
    let text = recipe.text();
    let Ok(expression) = Expression::parse(&text) else { return Ok(0) };
    let (name, moment) = CHANGES[change % CHANGES.len()];
    let zone = TimeZone::get(name).unwrap();
    let from = moment.parse::<Timestamp>().unwrap() - SignedDuration::from_hours(24);
    let until = from + SignedDuration::from_hours(24 * DAYS);
    let expected = recipe.walk(&zone, from, until);
    let rhythm = Rhythm::Cron { expressions: vec![expression], zone, start: None };
    let before = from - SignedDuration::from_nanos(1);
    let found: Vec<_> = rhythm.after(before).map(|instant| instant.at).take_while(|at| *at < until).collect();
    if found == expected {
        return Ok(found.len());
    }
    let differs = found.iter().zip(&expected).find(|(found, expected)| found != expected);
    Err(format!(
        "{text} in {name} from {from}: {} found, {} expected, {differs:?}",
        found.len(),
        expected.len()
    ))
}

/// What is done with any text. A fault has its place in it; what is accepted can be said, and has a next instant.
fn try_text(text: &str) {
    match Expression::parse(text) {
        Err(CronError { span, message, .. }) => {
            assert!(text.get(span.clone()).is_some(), "{text:?}: {span:?} is no part of it");
            assert!(text.is_empty() || !span.is_empty(), "{text:?}: {span:?} is empty");
            assert!(!message.is_empty());
        }
        Ok(expression) => {
            let rhythm = Rhythm::Cron { expressions: vec![expression], zone: TimeZone::UTC, start: None };
            assert!(rhythm.next("2026-01-01T00:00:00Z".parse().unwrap()).is_some(), "{text:?} never comes");
            assert!(!words(&rhythm).is_empty());
            let _ = crontab_times(&rhythm);
            let _ = on_calendar(&rhythm, "UTC");
        }
    }
}

/// Text that is nearly an expression.
const NEARLY: &str = "[-0-9*/,?LlWw#@ \t\u{e9}a-zA-Z]{0,40}";

proptest! {
    #[test]
    fn any_text_is_answered(text in prop_oneof![NEARLY, ".{0,60}", "([-0-9*/,LW#?]{1,6} ){4,6}[0-7*L#]{1,3}"]) {
        try_text(&text);
    }
}

#[test]
fn expressions_come_when_a_walk_over_every_minute_says() {
    let walks = rounds().div_ceil(1000);
    let mut runner = TestRunner::deterministic();
    let (mut compared, mut instants) = (0, 0);
    for round in 0..walks {
        let recipe = recipe().new_tree(&mut runner).unwrap().current();
        let found = compare(&recipe, round).unwrap();
        compared += usize::from(found > 0);
        instants += found;
    }
    assert!(compared * 3 > walks, "{compared} of {walks} expressions came at all, {instants} times");
}

/// The longest that the parser may take over a text.
const MAX_PARSE_TIME: std::time::Duration = std::time::Duration::from_millis(1);

/// How many texts the long loop makes.
fn rounds() -> usize {
    std::env::var("RUNNER_FUZZ").ok().and_then(|text| text.parse().ok()).unwrap_or(50_000)
}

#[test]
fn no_text_of_a_long_deterministic_loop_is_too_much() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        // Xorshift: the same numbers on every machine.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let pieces = [
        "*",
        "0",
        "7",
        "31",
        "59",
        "60",
        "1-5",
        "5-1",
        "*/15",
        "3-9/2",
        ",",
        "-",
        "/",
        "#",
        "5#2",
        "L",
        "LW",
        "W",
        "15W",
        "5L",
        "?",
        "mon",
        "JAN",
        "sun-fri",
        "@daily",
        "@",
        " ",
        " ",
        " ",
        " ",
        "\t",
        "é",
        "\u{0}",
        "00",
        "1,2",
        "99999999999",
        "+1",
        "2,4",
        "29",
        "feb",
    ];
    let mut slowest = (std::time::Duration::ZERO, String::new());
    for _ in 0..rounds() {
        let mut text = String::new();
        // Some are as long as they may be.
        let most = if random(50) == 0 { 900 } else { 24 };
        for _ in 0..random(most) {
            text += pieces[random(pieces.len())];
        }
        // The best of many: a busy machine may stop one of them at any point.
        let time = || {
            let begun = std::time::Instant::now();
            let _ = Expression::parse(&text);
            begun.elapsed()
        };
        let mut taken = time();
        let mut tries = 0;
        while taken > slowest.0 && taken > MAX_PARSE_TIME / 10 && tries < 200 {
            taken = taken.min(time());
            tries += 1;
        }
        if taken > slowest.0 {
            slowest = (taken, text.clone());
        }
        try_text(&text);
    }
    if std::env::var_os("RUNNER_FUZZ").is_some() {
        assert!(slowest.0 < MAX_PARSE_TIME, "{:?} took {:?}", slowest.1, slowest.0);
    }
}
