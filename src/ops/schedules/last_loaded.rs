//! A schedule as a daemon loaded it last, as text in the home: for those who ask while its file does not load.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::core::cron::{Expression, Rhythm, delay, words};
use crate::core::schedule::Schedule;
use crate::core::time_text::duration_text;
use crate::core::zone::named_zone;
use crate::view::model::schedule_row::{NextInstant, Settings};

/// What is kept of a schedule.
#[derive(Serialize, Deserialize)]
struct Kept {
    #[serde(flatten)]
    settings: Settings,
    every_s: Option<i64>,
    start: Option<Timestamp>,
    jitter_ms: i64,
}

/// A schedule as it last loaded.
pub(super) struct LastLoaded {
    pub settings: Settings,
    rhythm: Rhythm,
    jitter: SignedDuration,
}

/// The text of a schedule's times: when it changes, the schedule has missed nothing until then.
pub fn times_of(schedule: &Schedule) -> String {
    let (every, start) = interval(&schedule.rhythm);
    json!({"cron": schedule.cron, "timezone": schedule.timezone, "every": every, "start": start}).to_string()
}

/// The text of a schedule, from which `LastLoaded::read` makes what is shown of it.
pub fn text_of(schedule: &Schedule) -> String {
    let (every_s, start) = interval(&schedule.rhythm);
    let jitter_ms = i64::try_from(schedule.jitter.as_millis()).unwrap_or(i64::MAX);
    let kept = Kept { settings: settings(schedule), every_s, start, jitter_ms };
    serde_json::to_string(&kept).unwrap_or_default()
}

fn interval(rhythm: &Rhythm) -> (Option<i64>, Option<Timestamp>) {
    match rhythm {
        Rhythm::Cron { start, .. } => (None, *start),
        Rhythm::Every { seconds, start } => (Some(*seconds), *start),
    }
}

impl LastLoaded {
    pub(super) fn of(schedule: &Schedule) -> Self {
        Self { settings: settings(schedule), rhythm: schedule.rhythm.clone(), jitter: schedule.jitter }
    }

    /// Reads what [`text_of`] wrote; `None` of another version of the program.
    pub(super) fn read(text: &str) -> Option<Self> {
        let Kept { settings, every_s, start, jitter_ms } = serde_json::from_str(text).ok()?;
        let rhythm = match every_s {
            Some(seconds) if seconds > 0 => Rhythm::Every { seconds, start },
            Some(_) => return None,
            None => {
                let expressions = settings.cron.iter().map(|text| Expression::parse(text));
                let expressions = expressions.collect::<Result<Vec<_>, _>>().ok()?;
                Rhythm::Cron { expressions, zone: named_zone(settings.timezone.as_deref()?).ok()?, start }
            }
        };
        Some(Self { settings, rhythm, jitter: SignedDuration::from_millis(jitter_ms) })
    }

    /// The instant whose run begins next. One that has passed may still be waiting for its jitter.
    pub(super) fn next(&self, whole_name: &str, now: Timestamp) -> Option<NextInstant> {
        let from = now.checked_sub(self.jitter).unwrap_or(now);
        let mut instants = self.rhythm.after(from).map(|instant| {
            let delay = delay(whole_name, instant.at, self.jitter);
            NextInstant { at: instant.at, fires: instant.at.saturating_add(delay).unwrap_or(instant.at) }
        });
        instants.find(|next| next.fires > now)
    }
}

fn settings(schedule: &Schedule) -> Settings {
    Settings {
        cron: schedule.cron.clone(),
        every: match &schedule.rhythm {
            Rhythm::Every { seconds, .. } => Some(duration_text(SignedDuration::from_secs(*seconds))),
            Rhythm::Cron { .. } => None,
        },
        timezone: Some(schedule.timezone.clone()),
        words: Some(words(&schedule.rhythm)),
        overlap: Some(schedule.overlap),
        catch_up: Some(schedule.catch_up),
        catch_up_window_s: seconds(schedule.catch_up_window),
        jitter_s: seconds(schedule.jitter),
    }
}

/// Seconds, as a whole number where they are.
fn seconds(duration: SignedDuration) -> Json {
    match duration.subsec_nanos() {
        0 => duration.as_secs().into(),
        _ => duration.as_secs_f64().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::schedule::{CatchUp, Overlap};

    fn schedule(rhythm: Rhythm, cron: &[&str], timezone: &str) -> Schedule {
        Schedule {
            name: "nightly".into(),
            rhythm,
            cron: cron.iter().map(|text| (*text).to_owned()).collect(),
            timezone: timezone.into(),
            inputs: Default::default(),
            scheduled_at_input: None,
            overlap: Overlap::Queue,
            catch_up: CatchUp::All,
            catch_up_window: SignedDuration::from_hours(2),
            jitter: SignedDuration::from_millis(1500),
            max_runtime: None,
            keep_runs: 10,
            project: None,
            domain: None,
        }
    }

    #[test]
    fn what_was_kept_of_a_schedule_is_shown_as_the_schedule_itself() {
        let zone = named_zone("Europe/Berlin").unwrap();
        let now: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        let cron = Rhythm::Cron {
            expressions: vec![Expression::parse("30 2 * * *").unwrap()],
            zone,
            start: Some("2026-03-05T00:00:00Z".parse().unwrap()),
        };
        let every = Rhythm::Every { seconds: 90, start: Some("2026-01-01T00:00:07Z".parse().unwrap()) };
        for schedule in
            [schedule(cron, &["30 2 * * *"], "Europe/Berlin"), schedule(every.clone(), &[], "UTC")]
        {
            let (own, read) = (LastLoaded::of(&schedule), LastLoaded::read(&text_of(&schedule)).unwrap());
            assert_eq!(json!(own.settings), json!(read.settings));
            let next = |loaded: &LastLoaded| json!(loaded.next("etl/nightly", now));
            assert!(next(&own).is_object());
            assert_eq!(next(&own), next(&read));
        }
        assert!(LastLoaded::read("").is_none() && LastLoaded::read("{}").is_none());
        // Only times count as such: an edit of anything else keeps what is missed.
        let other = Schedule { overlap: Overlap::Skip, ..schedule(every.clone(), &[], "UTC") };
        assert_eq!(times_of(&other), times_of(&schedule(every, &[], "UTC")));
    }
}
