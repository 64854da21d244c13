//! What would be said for every message as long as something is wrong: said once, and then counted.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use eitherway_layers::logging::{RateLimitedLog, Summary};

use super::connection::{Carries, ServerLog};
use super::denied::Denials;
use super::foreign_sightings::ForeignSightings;
use super::unreadable::Unreadable;
use crate::error::Cause;
use crate::hints::hints;
use crate::nats::connection_log::ConnectionLog;

/// Whatever may be wrong for many messages.
#[derive(Debug)]
pub(super) struct LogThrottle {
    /// By operation; the last one is for what is none.
    refused: Vec<(&'static str, RateLimitedLog)>,
    database: RateLimitedLog,
    /// Whether the database has failed since it last wrote something.
    database_down: AtomicBool,
    dead_letter_failed: RateLimitedLog,
    unanswered: RateLimitedLog,
    overrun: RateLimitedLog,
    overruns: AtomicU64,
    server: RateLimitedLog,
    not_inbox: RateLimitedLog,
    not_inboxes: AtomicU64,
    unknown: RateLimitedLog,
    unknowns: AtomicU64,
    pub(super) said: ServerLog,
    pub(super) connection_log: ConnectionLog,
    pub(super) denials: Denials,
    pub(super) unreadable: Unreadable,
    pub(super) sighted: ForeignSightings,
}

impl LogThrottle {
    pub(super) fn new(operations: &[&'static str]) -> Self {
        let names = operations.iter().copied().chain(["unknown"]);
        Self {
            refused: names.map(|name| (name, RateLimitedLog::new())).collect(),
            database: RateLimitedLog::new(),
            database_down: AtomicBool::new(false),
            dead_letter_failed: RateLimitedLog::new(),
            unanswered: RateLimitedLog::new(),
            overrun: RateLimitedLog::new(),
            overruns: AtomicU64::new(0),
            server: RateLimitedLog::new(),
            not_inbox: RateLimitedLog::new(),
            not_inboxes: AtomicU64::new(0),
            unknown: RateLimitedLog::new(),
            unknowns: AtomicU64::new(0),
            said: ServerLog::default(),
            connection_log: ConnectionLog::default(),
            denials: Denials::default(),
            unreadable: Unreadable::default(),
            sighted: ForeignSightings::default(),
        }
    }

    /// A message was refused for what it says. `index` is out of range for one that is no operation.
    pub(super) fn refused(&self, index: usize, subject: &str, cause: &Cause) {
        let Some((operation, trouble)) = self.refused.get(index).or(self.refused.last()) else { return };
        if let Some(more) = trouble.record() {
            tracing::warn!(operation, subject, "refused: {cause}{more}");
        }
    }

    /// The database has failed, and not because of the operation.
    pub(super) fn database_fails(&self, operation: &str, cause: &Cause) {
        self.database_down.store(true, Ordering::Relaxed);
        if let Some(more) = self.database.record() {
            tracing::warn!(
                operation,
                "the database fails: {cause}{more}. Clients that wait for an answer get an error and fall back; everything \
                 else is kept and retried until it succeeds"
            );
        }
    }

    /// The database has written something.
    #[inline]
    pub(super) fn database_serves(&self) {
        if self.database_down.load(Ordering::Relaxed) {
            self.database_down.store(false, Ordering::Relaxed);
        }
        if let Some(past) = self.database.recovered() {
            serves_again(past);
        }
    }

    /// Whether it has failed since it last wrote something.
    pub(super) fn database_is_down(&self) -> bool {
        self.database_down.load(Ordering::Relaxed)
    }

    /// What was refused could not be kept.
    pub(super) fn dead_letter_failed(&self, operation: &str, cause: &Cause) {
        if let Some(more) = self.dead_letter_failed.record() {
            tracing::warn!(operation, "a dead letter could not be kept, and is tried again: {cause}{more}");
        }
    }

    /// An answer has not left.
    pub(super) fn unanswered(&self, error: &dyn std::fmt::Display) {
        if let Some(more) = self.unanswered.record() {
            tracing::warn!(
                "an answer could not be sent; a client that waits for it falls back: {error}{more}"
            );
        }
    }

    /// More has come than was taken.
    pub(super) fn overrun(&self) {
        self.overruns.fetch_add(1, Ordering::Relaxed);
        if let Some(more) = self.overrun.record() {
            tracing::error!(
                "requests come faster than they are taken; some were lost on the way, and clients that wait for an \
                 answer fall back{more}"
            );
        }
    }

    /// An answer was wanted where none goes, or a message that is no word of the stream wanted to be acknowledged.
    pub(super) fn not_inbox(&self, subject: &str, why: &dyn std::fmt::Display) {
        self.not_inboxes.fetch_add(1, Ordering::Relaxed);
        if let Some(more) = self.not_inbox.record() {
            tracing::warn!(subject, "refused without an answer: {why}{more}");
        }
    }

    /// How often that was so.
    pub(super) fn not_inboxes(&self) -> u64 {
        self.not_inboxes.load(Ordering::Relaxed)
    }

    /// Something came on a subject of ours that is no operation.
    pub(super) fn unknown(&self, subject: &str) {
        self.unknowns.fetch_add(1, Ordering::Relaxed);
        if let Some(more) = self.unknown.record() {
            tracing::warn!(subject, "unknown operation; ignored{more}");
        }
    }

    /// How often that was so.
    pub(super) fn unknowns(&self) -> u64 {
        self.unknowns.load(Ordering::Relaxed)
    }

    /// How often that was so.
    pub(super) fn overruns(&self) -> u64 {
        self.overruns.load(Ordering::Relaxed)
    }

    /// The server complains.
    pub(super) fn server_says(&self, over: Carries, error: &dyn std::fmt::Display) {
        if !self.denials.note(over, &error.to_string()) {
            // It is a notice, with what follows from it and what helps.
            return tracing::debug!("the NATS server says: {error}");
        }
        if let Some(more) = self.server.record() {
            tracing::error!("the NATS server says: {error}{more}");
        }
    }

    /// Says what no line stands for yet, of everything that is over; of everything, at the end.
    pub(super) fn report(&self, end: impl Fn(&RateLimitedLog) -> Option<Summary>) {
        if let Some(lost) = self.connection_log.report(&end) {
            tracing::warn!("{lost}");
        }
        let unsaid = |trouble| end(trouble).filter(|past| past.unsaid > 0);
        for (operation, trouble) in &self.refused {
            let Some(Summary { unsaid, lasted, .. }) = unsaid(trouble) else { continue };
            tracing::warn!(
                operation,
                "{unsaid} more {} refused, in {:.1} s; those that were to change something are kept: {}",
                if unsaid == 1 { "message was" } else { "messages were" },
                lasted.as_secs_f64(),
                hints().dead_letters
            );
        }
        for (trouble, what) in [
            (&self.dead_letter_failed, "times a dead letter could not be kept"),
            (&self.unanswered, "answers could not be sent"),
            (&self.overrun, "times requests came faster than they were taken"),
            (&self.server, "complaints of the NATS server"),
            (&self.not_inbox, "messages wanted an answer where no inbox is"),
            (&self.unknown, "messages came for operations that do not exist"),
        ] {
            if let Some(Summary { unsaid, lasted, .. }) = unsaid(trouble) {
                tracing::warn!("{unsaid} more {what}, in {:.1} s", lasted.as_secs_f64());
            }
        }
    }

    /// The last word.
    pub(super) fn flush(&self) {
        self.report(RateLimitedLog::flush);
        let Some(past) = self.database.flush() else { return };
        if !self.database_down.load(Ordering::Relaxed) {
            serves_again(past);
        } else if past.unsaid > 0 {
            let Summary { all, lasted, .. } = past;
            tracing::warn!(
                "the database failed {all} times in {:.1} s, and was still failing at the end",
                lasted.as_secs_f64()
            );
        }
    }
}

fn serves_again(Summary { all, lasted, .. }: Summary) {
    tracing::info!("the database serves again; before, {all} tries failed in {:.1} s", lasted.as_secs_f64());
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time;

    use super::*;
    use crate::captured_logs::CapturedLogs;
    use crate::error::Code;

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_garbage_is_a_line_and_a_count_and_hides_no_other_operation() {
        let (heard, _guard) = CapturedLogs::catch();
        let troubles = LogThrottle::new(&["item_added", "note_taken"]);
        let cause = Cause::new(Code::INVALID, "not JSON");
        for _ in 0..5_000 {
            troubles.refused(0, "shop.db.item.added", &cause);
        }
        troubles.refused(1, "shop.db.note.taken", &cause);
        troubles.refused(9, "shop.db.what", &cause);
        let said = heard.take();
        assert_eq!(said.len(), 3, "{said:?}");
        assert!(
            said[0].contains("refused: not JSON (invalid)") && said[0].contains("item_added"),
            "{said:?}"
        );
        troubles.report(RateLimitedLog::recovered);
        assert_eq!(heard.take(), Vec::<String>::new(), "it may go on");
        time::advance(RateLimitedLog::CALM).await;
        troubles.report(RateLimitedLog::recovered);
        let said = heard.take();
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(
            said[0].contains("4999 more messages were refused")
                && said[0].contains("item_added")
                && said[0].contains("dead_letters")
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_database_that_fails_is_said_once_and_its_return_tells_how_often_it_failed() {
        let (heard, _guard) = CapturedLogs::catch();
        let troubles = LogThrottle::new(&["item_added"]);
        let busy = Cause::new(Code::BUSY, "the database is locked");
        for _ in 0..400 {
            troubles.database_fails("item_added", &busy);
            time::advance(Duration::from_millis(10)).await;
        }
        troubles.database_serves();
        time::advance(RateLimitedLog::CALM).await;
        troubles.database_serves();
        troubles.database_serves();
        let said = heard.take();
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(
            said[0].starts_with("WARN the database fails: the database is locked (busy). Clients that wait"),
            "{said:?}"
        );
        assert_eq!(said[1], "INFO the database serves again; before, 400 tries failed in 4.0 s");
    }

    #[tokio::test(start_paused = true)]
    async fn a_database_that_fails_and_serves_in_turns_is_two_lines_in_ten_seconds_at_most() {
        let (heard, _guard) = CapturedLogs::catch();
        let troubles = LogThrottle::new(&["item_added"]);
        let full = Cause::new(Code::STORAGE, "the disk is full");
        for _ in 0..1_000 {
            troubles.database_fails("item_added", &full);
            time::advance(Duration::from_millis(3_500)).await;
            troubles.database_serves();
        }
        let said = heard.take();
        assert!((100..=700).contains(&said.len()), "in 3500 s: {}", said.len());
        let failed = |line: &String| line.split_once("before, ")?.1.split(' ').next()?.parse::<u64>().ok();
        assert!(said.iter().filter_map(failed).sum::<u64>() >= 990, "none goes uncounted: {said:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_said_comes_out_at_the_end() {
        let (heard, _guard) = CapturedLogs::catch();
        let troubles = LogThrottle::new(&["item_added"]);
        for _ in 0..3 {
            troubles.overrun();
            troubles.database_fails("item_added", &Cause::new(Code::BUSY, "locked"));
        }
        heard.take();
        troubles.flush();
        assert_eq!(troubles.overruns(), 3, "said or not");
        let said = heard.take();
        assert!(said[0].starts_with("WARN 2 more times requests came faster"), "{said:?}");
        assert!(said[1].starts_with("WARN the database failed 3 times"), "{said:?}");
        assert!(said[1].ends_with("still failing at the end"), "{said:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_database_that_wrote_at_last_did_not_fail_to_the_end() {
        let (heard, _guard) = CapturedLogs::catch();
        let troubles = LogThrottle::new(&["item_added"]);
        for _ in 0..3 {
            troubles.database_fails("item_added", &Cause::new(Code::BUSY, "locked"));
        }
        troubles.database_serves();
        heard.take();
        troubles.flush();
        assert_eq!(heard.take(), ["INFO the database serves again; before, 3 tries failed in 0.0 s"]);
    }
}
