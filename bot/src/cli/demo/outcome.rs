//! How it ended: the table of the phases, the verdict, and everything that is not as it must be.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::exit::{Exit, Failure};
use super::super::path_stats::{Row, Served, Window, millis};
use super::verdict::Verdict;
use super::watch::Seen;
use crate::bot::Ended;
use eitherway::sql;

/// What the bot reports at its end.
#[derive(Deserialize)]
pub(super) struct Report {
    summary: Summary,
    pub(super) operations: Vec<Row>,
    outbox: Outbox,
}

/// How a bot ended, and what must not be then.
#[derive(Deserialize)]
struct Summary {
    ended: Ended,
    bad_lines: u64,
    messages_undelivered: u64,
    marks_lost: u64,
    handler_errors: u64,
    handler_panics: u64,
    abandoned: u64,
}

#[derive(Deserialize)]
struct Outbox {
    left: Left,
}

#[derive(Deserialize)]
struct Left {
    waiting: u64,
    refused: u64,
    expired: u64,
}

impl Report {
    pub(super) fn read(file: &Path) -> Result<Self, Failure> {
        std::fs::read(file)
            .map_err(|e| e.to_string())
            .and_then(|json| serde_json::from_slice(&json).map_err(|e| e.to_string()))
            .map_err(|e| Failure::new(Exit::Failed, format!("the bot's report: {e}; see bot.log")))
    }

    fn kept(&self) -> u64 {
        self.operations.iter().map(|row| row.outbox).sum()
    }

    fn failed(&self) -> u64 {
        self.operations.iter().map(|row| row.failed).sum()
    }
}

/// Everything that is known at the end.
pub(super) struct Outcome<'a> {
    pub(super) took: Duration,
    /// How many the scenario has.
    pub(super) phases: usize,
    pub(super) seen: &'a [Seen],
    pub(super) report: Report,
    pub(super) verdict: Verdict,
    pub(super) verified: sql::Verdict,
    /// The bot's exit code; none if a signal ended it.
    pub(super) bot_ended: Option<i32>,
    /// Whether the service ended as it should.
    pub(super) service_ended: bool,
}

impl Outcome<'_> {
    /// What is not as it must be, a sentence each.
    pub(super) fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.seen.len() < self.phases {
            wrong.push(format!(
                "the bot ended in phase {} of {}: bot.log tells why",
                self.seen.len(),
                self.phases
            ));
        }
        for seen in self.seen {
            let name = seen.phase.name;
            if !seen.shown {
                wrong.push(format!("{name}: too few operations went the way that this phase is about"));
            }
            let failed = seen.phase.unexpected(&seen.ended);
            if failed > 0 {
                wrong.push(format!("{name}: {failed} operations failed that had a path"));
            }
        }
        let left = &self.report.outbox.left;
        if left.waiting + left.refused + left.expired > 0 {
            let Left { waiting, refused, expired } = left;
            wrong.push(format!(
                "outbox: {} kept, {waiting} wait, {refused} refused, {expired} expired",
                self.report.kept()
            ));
        }
        let &Summary {
            ended,
            bad_lines,
            messages_undelivered,
            marks_lost,
            handler_errors,
            handler_panics,
            abandoned,
        } = &self.report.summary;
        for (count, what) in [
            (bad_lines, "lines of the recording were skipped"),
            (messages_undelivered, "messages could not be said"),
            (marks_lost, "marks of messages were lost"),
            (handler_errors + handler_panics, "handlers failed"),
            (abandoned, "events were abandoned at the end"),
        ] {
            if count > 0 {
                wrong.push(format!("bot: {count} {what}"));
            }
        }
        // By its exit code a bot says that something has failed: this one only, and only then.
        let codes = [Some(Exit::Ok), (self.report.failed() > 0).then_some(Exit::Failed)];
        let as_it_should = codes.into_iter().flatten().any(|exit| self.bot_ended == Some(exit as i32));
        if !as_it_should || ended != Ended::EndOfInput {
            wrong.push("bot: it did not end as it should; see bot.log".to_owned());
        }
        if !self.service_ended {
            wrong.push("service: it has lost something, and says so in serve.log".to_owned());
        }
        if !self.verified.is_clean() {
            wrong.push("verify: see `rosey verify`".to_owned());
        }
        if !self.verdict.is_good() {
            wrong.push("database: it differs from the recording".to_owned());
        }
        wrong
    }

    /// For people. The verdict comes last.
    pub(super) fn text(&self) -> String {
        let values: u64 = self.verified.compared.values().sum();
        let mismatches: u64 = self.verified.wrong.values().sum();
        let verified = if mismatches == 0 { "all right".to_owned() } else { format!("{mismatches} WRONG") };
        let mut text = format!("\n{}\n\n{}\n", self.phases(), self.verdict);
        text.push_str(&format!("\nverify: {values} values worked out again from the events: {verified}\n"));
        if self.report.kept() > 0 {
            let waiting = self.report.outbox.left.waiting;
            text.push_str(&format!(
                "outbox: {} events were kept there, {waiting} still wait\n",
                self.report.kept()
            ));
        }
        if self.report.failed() > 0 {
            text.push_str(&format!(
                "failed: {} calls while no path was left; their callers were told\n",
                self.report.failed()
            ));
        }
        for sentence in self.wrong() {
            text.push_str(&format!("NOT AS IT MUST BE · {sentence}\n"));
        }
        text.push_str(&format!(
            "verdict: lost {} · doubled {} ({} operations in {:.0} s)",
            self.verdict.lost,
            self.verdict.doubled,
            self.seen.iter().map(|seen| seen.ended.all().sent()).sum::<u64>(),
            self.took.as_secs_f64()
        ));
        text
    }

    fn phases(&self) -> String {
        let mut text = format!(
            "{:<18}{:>12}{:>10}{:>8}{:>12}{:>8}{:>10}",
            "phase", "operations", "via NATS", "via DB", "via outbox", "failed", "slowest"
        );
        let all = self.seen.iter().fold(Window::default(), |all, seen| all.and(seen.ended));
        let rows = self.seen.iter().map(|seen| (seen.phase.name, seen.ended)).chain([("all", all)]);
        for (name, ended) in rows {
            let all = ended.all();
            let Served { nats, db, outbox, failed, slowest_us } = all;
            let (sent, slowest) = (all.sent(), millis(slowest_us));
            text.push_str(&format!(
                "\n{name:<18}{sent:>12}{nats:>10}{db:>8}{outbox:>12}{failed:>8}{slowest:>10}"
            ));
        }
        text
    }

    /// For machines.
    pub(super) fn json(&self) -> Value {
        let phases: Vec<Value> = self
            .seen
            .iter()
            .map(|seen| {
                json!({"phase": seen.phase.name, "seconds": seen.took.as_secs_f64(), "shown": seen.shown,
                       "operations": seen.ended.all().sent(), "events": seen.ended.events,
                       "requests": seen.ended.requests})
            })
            .collect();
        json!({"phases": phases, "operations": self.report.operations, "database": self.verdict,
               "verify": self.verified, "lost": self.verdict.lost, "doubled": self.verdict.doubled,
               "waiting": self.report.outbox.left.waiting, "failed": self.report.failed(), "wrong": self.wrong(),
               "seconds": self.took.as_secs_f64()})
    }
}

#[cfg(test)]
mod tests {
    use super::super::scenario::{self, UNDER_WAY};
    use super::*;

    /// Everything is well, but for this many calls that failed at the end; a bot that ended with this code, and so.
    fn wrong(failed: u64, bot_ended: Option<i32>, ended: &str) -> Vec<String> {
        let row = json!({"operation": "outbound_get", "sent": failed, "nats": 0, "db": 0, "outbox": 0, "failed": failed,
                         "p50_us": 0, "p99_us": 0, "max_us": 0});
        let report = json!({
            "summary": {"ended": ended, "bad_lines": 0, "messages_undelivered": 0, "marks_lost": 0,
                        "handler_errors": 0, "handler_panics": 0, "abandoned": 0},
            "operations": [row],
            "outbox": {"left": {"waiting": 0, "refused": 0, "expired": 0}},
        });
        let last = scenario::of(true, false).pop().expect("a last phase");
        let mut seen = Seen::new(last, 0);
        seen.ended.events.nats = 5_000;
        seen.ended.requests.failed = failed;
        seen.shown = last.is_seen(&seen.ended, 10_000);
        let outcome = Outcome {
            took: Duration::ZERO,
            phases: 1,
            seen: &[seen],
            report: serde_json::from_value(report).expect("a report"),
            verdict: Verdict::default(),
            verified: sql::Verdict::default(),
            bot_ended,
            service_ended: true,
        };
        outcome.wrong()
    }

    #[test]
    fn calls_that_never_recover_are_no_success() {
        let wrong = wrong(500, Some(1), "end_of_input");
        assert!(wrong.iter().any(|sentence| sentence.contains("too few operations")), "{wrong:?}");
        let unexpected = format!("{} operations failed that had a path", 500 - UNDER_WAY);
        assert!(wrong.iter().any(|sentence| sentence.contains(&unexpected)), "{wrong:?}");
    }

    #[test]
    fn a_bot_that_did_not_end_as_it_should_is_no_success_whatever_has_failed() {
        let is_success = |failed, code, ended| {
            wrong(failed, code, ended).iter().any(|sentence| sentence.starts_with("bot: it did not end"))
        };
        assert!(!is_success(0, Some(0), "end_of_input") && !is_success(9, Some(1), "end_of_input"));
        assert!(is_success(0, Some(1), "end_of_input"), "for no reason that is known");
        assert!(
            is_success(9, Some(101), "end_of_input") && is_success(9, None, "end_of_input"),
            "a panic, a signal"
        );
        assert!(is_success(9, Some(1), "input_lost"));
    }
}
