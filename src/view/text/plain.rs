//! Lines for a log file or a mail: no control codes, a time before each, every paragraph in a single write.

use std::io::Write;

use jiff::tz::TimeZone;

use crate::core::event::Event;
use crate::core::reporter::Reporter;
use crate::view::Verbosity;
use crate::view::text::narrator::Narrator;
use crate::view::text::style::Ink;

pub struct Plain<W> {
    out: W,
    zone: TimeZone,
    narrator: Narrator,
}

impl<W: Write> Plain<W> {
    /// Writes to `out`, which should not buffer; times are shown in `zone`.
    pub fn new(out: W, verbosity: Verbosity, zone: TimeZone) -> Self {
        Self { out, narrator: Narrator::new(verbosity, Ink(false), zone.clone()), zone }
    }
}

impl<W: Write + Send> Reporter for Plain<W> {
    fn event(&mut self, event: &Event, _line: &str) {
        let said = self.narrator.tell(event);
        if said.is_empty() {
            return;
        }
        let time = event.time().to_zoned(self.zone.clone()).strftime("%H:%M:%S").to_string();
        for paragraph in said {
            // A reader that went away must not fail the run.
            let _ = self.out.write_all(format!("{time} {paragraph}").as_bytes());
        }
    }

    fn passes_over_hits(&self) -> bool {
        self.narrator.passes_over_hits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::*;
    use crate::view::sample::*;

    fn told(verbosity: Verbosity, events: &[Event]) -> String {
        let mut out = Vec::new();
        play(&mut Plain::new(&mut out, verbosity, TimeZone::UTC), events);
        String::from_utf8(out).unwrap()
    }

    fn succeeded(executed: u64, cached: u64) -> Event {
        let counts = Counts { nodes: executed + cached, executed, cached, ..Counts::default() };
        run_finished(Status::Succeeded, counts, 1500 * cached)
    }

    #[test]
    fn a_failed_run() {
        let expected = "\
03:00:05 ✓ hash  0.4s
03:00:04 ! train: the pinned version 1.0.0 hides a change of the command
03:00:05 ✗ train  exit 3 after 2 attempts  12.0s
  │ epoch 1
  │ ValueError: no data
  log:  /home/ada/runs/k3v9x2qm/train.2.log
  more: runner logs k3v9x2qm train
03:00:05 ○ report  cancelled: train failed
03:00:05 ○ notify  skipped: its condition is false
03:00:16 next:
  runner retry k3v9x2qm        runs what failed or was never reached
  runner shell k3v9x2qm train  opens a shell with what it had
03:00:16 ✗ failed in 16.3s: 1 failed, 1 executed, 1 cached (saved 1.5s), 1 skipped, 1 cancelled  run k3v9x2qm
";
        assert_eq!(told(Verbosity::Normal, &failed_run()), expected);
    }

    #[test]
    fn hits_are_silent_and_the_summary_counts_them() {
        let mut events = vec![run_started(1001), Event::NodeFinished(executed("hash"))];
        events.extend((0..1000).map(|i| Event::NodeFinished(hit(&format!("n{i}")))));
        events.push(succeeded(1, 1000));
        assert_eq!(
            told(Verbosity::Normal, &events),
            "03:00:05 ✓ hash  0.4s\n\
             03:00:16 ✓ succeeded in 16.3s: 1 executed, 1,000 cached (saved 25m 00s)  run k3v9x2qm\n"
        );
    }

    #[test]
    fn quiet_tells_failures_only() {
        let quiet = told(Verbosity::Quiet, &failed_run());
        assert_eq!(
            quiet.lines().map(|line| line.split("  ").next().unwrap()).collect::<Vec<_>>(),
            [
                "03:00:05 ! train: the pinned version 1.0.0 hides a change of the command",
                "03:00:05 ✗ train",
                "",
                "",
                "",
                "",
                "03:00:16 ✗ failed in 16.3s: 1 failed, 1 executed, 1 cached (saved 1.5s), 1 skipped, 1 cancelled",
            ]
        );
        let well =
            [run_started(1), warning(None, "loud"), Event::NodeFinished(executed("a")), succeeded(1, 0)];
        assert_eq!(told(Verbosity::Quiet, &well), "");
    }

    #[test]
    fn verbose_tells_starts_sources_and_keys() {
        let verbose = told(Verbosity::Verbose, &failed_run());
        let lines: Vec<_> = verbose.lines().collect();
        assert_eq!(
            lines[..7],
            [
                "03:00:00 run k3v9x2qm: nightly-train (demo/development), 6 nodes, 4 at once",
                "03:00:05 ✓ fetch  cached from a1b2c3d4/fetch, yesterday 03:00  key e7d3799ecc09",
                "03:00:00 › hash  started, attempt 1",
                "03:00:05 ✓ hash  0.4s  populated  cpu 0.3s, 64.0 MiB  key d04b98f48e8f",
                "03:00:01 › train  started, attempt 1",
                "03:00:04 ! train: the pinned version 1.0.0 hides a change of the command",
                "03:00:03 ↻ train  attempt 1: exit 3, again in 4.0s",
            ]
        );
    }

    #[test]
    fn many_idle_nodes_and_failures_are_folded() {
        let mut events = vec![run_started(1040)];
        events.extend((0..40).map(|i| Event::NodeFinished(failed(&format!("f{i}")))));
        events.extend(
            (0..1000).map(|i| Event::NodeFinished(idle(&format!("n{i}"), Status::Cancelled, "f0 failed"))),
        );
        events.push(Event::NodeFinished(idle("last", Status::Skipped, "")));
        let counts = Counts { nodes: 1041, failed: 40, cancelled: 1000, skipped: 1, ..Counts::default() };
        events.push(run_finished(Status::Failed, counts, 0));
        let text = told(Verbosity::Normal, &events);
        assert_eq!(text.matches("cancelled: f0 failed").count(), 5);
        assert_eq!(text.matches("  more: runner logs").count(), 10);
        assert!(text.contains("next:\n  runner retry k3v9x2qm     runs what"), "{text}");
        let end: Vec<_> = text.lines().rev().filter(|line| !is_next(line)).take(5).collect();
        assert_eq!(
            end,
            [
                "03:00:16 ✗ failed in 16.3s: 40 failed, 1 skipped, 1,000 cancelled  run k3v9x2qm",
                "  and 20 more: runner show k3v9x2qm",
                "  ✗ f19  exit 3 after 2 attempts",
                "  ✗ f18  exit 3 after 2 attempts",
                "  ✗ f17  exit 3 after 2 attempts",
            ]
        );
        assert!(
            text.contains("○ 1 more skipped, 995 more cancelled\n03:00:16 failed:\n  ✗ f0   exit 3"),
            "{text}"
        );
    }

    #[test]
    fn a_failure_far_back_is_repeated() {
        let mut events = vec![run_started(20), Event::NodeFinished(failed("train"))];
        events.extend((0..9).map(|i| Event::NodeFinished(executed(&format!("n{i}")))));
        events.push(run_finished(Status::Failed, Counts::default(), 0));
        assert!(told(Verbosity::Normal, &events).contains("failed:\n  ✗ train  exit 3 after 2 attempts\n"));
        events.drain(3..6);
        assert!(!told(Verbosity::Normal, &events).contains("failed:"));
    }

    /// Whether a line suggests a command, or is the heading above.
    fn is_next(line: &str) -> bool {
        line.ends_with(" next:") || line.starts_with("  runner ")
    }

    fn end(node: NodeFinished) -> Event {
        Event::NodeFinished(node)
    }

    #[test]
    fn elements_are_told_by_their_node_and_failures_one_by_one() {
        let mut events = vec![run_started(2), expanded("each", 80, 81)];
        events.extend((0..80).map(|i| element(i, if i < 20 { executed("each") } else { failed("each") })));
        let counts = Counts { nodes: 80, executed: 20, failed: 60, ..Counts::default() };
        events.push(end(sum_failed("each", NodeKind::Elements, counts, "60 of 80 elements failed")));
        events.push(run_finished(Status::Failed, counts, 0));
        let text = told(Verbosity::Normal, &events);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[..6],
            [
                "03:00:05 ✗ each[20]  exit 3 after 2 attempts  12.0s",
                "  │ epoch 1",
                "  │ ValueError: no data",
                "  log:  /home/ada/runs/k3v9x2qm/train.2.log",
                "  more: runner logs k3v9x2qm each --index 20",
                "03:00:05 ✗ each[21]  exit 3 after 2 attempts  12.0s",
            ]
        );
        assert_eq!(
            lines[5 * 10 + 38..5 * 10 + 44],
            [
                "03:00:05 ✗ each[68]  exit 3 after 2 attempts  12.0s",
                "03:00:05 ✗ each[69]  exit 3 after 2 attempts  12.0s",
                "03:00:05 ✗ each  60 of 80 elements failed",
                "03:00:16 failed:",
                "  ✗ each[20]  exit 3 after 2 attempts",
                "  ✗ each[21]  exit 3 after 2 attempts",
            ]
        );
        let lines: Vec<_> = lines.into_iter().filter(|line| !is_next(line)).collect();
        let last = lines.len() - 2;
        assert_eq!(
            lines[last..],
            [
                "  and 40 more: runner show k3v9x2qm",
                "03:00:16 ✗ failed in 16.3s: 60 failed, 20 executed  run k3v9x2qm",
            ]
        );
        let quiet = told(Verbosity::Quiet, &events);
        let quiet: Vec<_> = quiet.lines().collect();
        assert_eq!(quiet, lines, "a quiet run tells failures as any other, and not what comes next");
    }

    #[test]
    fn allowed_failures_leave_a_run_that_succeeded() {
        let mut events = vec![run_started(1), expanded("each", 10, 10)];
        events.extend((0..8).map(|i| element(i, executed("each"))));
        let failed = NodeFinished {
            error: Some(TaskError::new(TaskErrorKind::Timeout, "took over 3s")),
            ..failed("each")
        };
        events.extend((8..10).map(|i| element(i, failed.clone())));
        let counts = Counts { nodes: 10, executed: 8, failed: 2, ..Counts::default() };
        events.push(end(sum("each", NodeKind::Elements, counts)));
        events.push(run_finished(Status::Succeeded, counts, 0));
        assert_eq!(
            told(Verbosity::Normal, &events),
            "03:00:05 ✗ each[8]  took over 3s after 2 attempts  12.0s\n\
             03:00:05 ✗ each[9]  took over 3s after 2 attempts  12.0s\n\
             03:00:05 ✓ each  12.3s  10 elements: 8 executed, 2 failed (allowed)\n\
             03:00:16 ✓ succeeded in 16.3s: 8 executed, 2 failed (allowed)  run k3v9x2qm\n"
        );
        events.insert(12, end(crate::view::sample::failed("train")));
        events.insert(13, end(crate::view::sample::failed("plot")));
        events.pop();
        events.push(run_finished(Status::Failed, counts, 0));
        let text = told(Verbosity::Normal, &events);
        assert!(
            text.contains("failed:\n  ✗ train  exit 3 after 2 attempts\n  ✗ plot   exit 3 after 2 attempts\n03:00:16 next:\n  runner retry k3v9x2qm        runs what failed or was never reached\n  runner shell k3v9x2qm train  opens"),
            "{text}"
        );
    }

    /// `one` is a workflow, `prep` one for each of two elements; both fail below.
    fn workflows() -> Vec<Event> {
        let failed = |node: &str| {
            end(NodeFinished {
                error: Some(TaskError::new(TaskErrorKind::Timeout, "slow")),
                attempts: 1,
                ..failed(node)
            })
        };
        let two = Counts { nodes: 2, executed: 1, failed: 1, ..Counts::default() };
        let why = "1 node of the workflow failed";
        vec![
            run_started(4),
            node_started("one/a", 1, 0),
            end(executed("one/a")),
            failed("one/b"),
            end(sum_failed("one", NodeKind::Workflow, two, why)),
            expanded("prep", 2, 6),
            end(executed("prep[0]/clean")),
            end(executed("prep[0]/sort")),
            element(
                0,
                sum("prep", NodeKind::Workflow, Counts { nodes: 2, executed: 2, ..Counts::default() }),
            ),
            end(executed("prep[1]/clean")),
            failed("prep[1]/sort"),
            element(1, sum_failed("prep", NodeKind::Workflow, two, why)),
            end(sum_failed(
                "prep",
                NodeKind::Elements,
                Counts { nodes: 4, executed: 3, failed: 1, ..Counts::default() },
                "1 of 2 elements failed",
            )),
            run_finished(Status::Failed, Counts { nodes: 6, executed: 4, failed: 2, ..Counts::default() }, 0),
        ]
    }

    #[test]
    fn a_failure_in_a_workflow_is_told_once() {
        assert_eq!(
            told(Verbosity::Normal, &workflows()),
            "03:00:05 ✓ one/a  0.4s\n\
             03:00:05 ✗ one/b  slow  12.0s\n\
             03:00:05 ✗ prep[1]/sort  slow  12.0s\n\
             03:00:05 ✗ prep  1 of 2 elements failed\n\
             03:00:16 failed:\n  ✗ one/b         slow\n  ✗ prep[1]/sort  slow\n\
             03:00:16 next:\n  runner retry k3v9x2qm        runs what failed or was never reached\n\
             \x20 runner shell k3v9x2qm one/b  opens a shell with what it had\n\
             03:00:16 ✗ failed in 16.3s: 2 failed, 4 executed  run k3v9x2qm\n"
        );
    }

    #[test]
    fn verbose_tells_of_everything_inside() {
        let mut events = workflows();
        events.insert(1, waiting("one/a", None, "for gpu: all 2 are taken"));
        let text = told(Verbosity::Verbose, &events);
        let lines: Vec<_> = text.lines().map(|line| line.split("  key ").next().unwrap()).collect();
        assert_eq!(
            lines[1..15],
            [
                "03:00:01 ⋯ one/a  waiting for gpu: all 2 are taken",
                "03:00:00 › one/a  started, attempt 1",
                "03:00:05 ✓ one/a  0.4s  populated  cpu 0.3s, 64.0 MiB",
                "03:00:05 ✗ one/b  slow  12.0s  cpu 23.4s, 3.0 GiB",
                "03:00:05 ✗ one  1 node of the workflow failed",
                "03:00:00 › prep  2 elements",
                "03:00:05 ✓ prep[0]/clean  0.4s  populated  cpu 0.3s, 64.0 MiB",
                "03:00:05 ✓ prep[0]/sort  0.4s  populated  cpu 0.3s, 64.0 MiB",
                "03:00:05 ✓ prep[0]  12.3s  2 nodes: 2 executed",
                "03:00:05 ✓ prep[1]/clean  0.4s  populated  cpu 0.3s, 64.0 MiB",
                "03:00:05 ✗ prep[1]/sort  slow  12.0s  cpu 23.4s, 3.0 GiB",
                "03:00:05 ✗ prep[1]  1 node of the workflow failed",
                "03:00:05 ✗ prep  1 of 2 elements failed",
                "03:00:16 failed:",
            ]
        );
    }

    #[test]
    fn a_workflow_that_fails_for_a_reason_of_its_own_says_so() {
        let two = Counts { nodes: 2, executed: 2, ..Counts::default() };
        let events = [
            run_started(2),
            end(executed("one/a")),
            end(sum_failed("one", NodeKind::Workflow, two, "its output `report` is null\nin one.toml")),
            end(sum("other", NodeKind::Workflow, two)),
            end(NodeFinished {
                status: Status::Cancelled,
                reason: Some("the run stopped first".into()),
                ..sum("each", NodeKind::Elements, two)
            }),
        ];
        assert_eq!(
            told(Verbosity::Normal, &events),
            "03:00:05 ✓ one/a  0.4s\n03:00:05 ✗ one  its output `report` is null\n  in one.toml\n\
             03:00:05 ○ each  cancelled: the run stopped first  2 elements: 2 executed\n"
        );
    }

    #[test]
    fn every_paragraph_is_one_write_without_control_codes_and_a_closed_pipe_is_no_matter() {
        struct Log(Vec<String>);
        impl Write for &mut Log {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.push(String::from_utf8(bytes.to_vec()).unwrap());
                if self.0.len() == 2 { Err(std::io::ErrorKind::BrokenPipe.into()) } else { Ok(bytes.len()) }
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let mut log = Log(Vec::new());
        play(&mut Plain::new(&mut log, Verbosity::Normal, TimeZone::UTC), &failed_run());
        assert_eq!(log.0.len(), 7);
        assert!(log.0.iter().all(|text| text.starts_with("03:00:") && text.ends_with('\n')));
        assert!(!log.0.concat().contains(|c: char| c.is_control() && c != '\n'));
    }
}
