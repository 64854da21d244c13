//! What went out of the stream without an acknowledgement of ours: purged, dropped by a limit, deleted with the stream.
//!
//! The stream does not tell. But each message that the consumer has not handed out yet is counted by it as pending, and leaves that
//! number by being handed out, which is counted too. What left it otherwise is gone. Messages that were handed out are not missed:
//! the instance that has them applies them.
//!
//! A server does not count exactly what is pending while the consumer changes: what was acknowledged here is not gone, whatever is
//! counted, and for some time after a change by hand nothing is said to be.

use std::time::Duration;

use tokio::time::Instant;

use super::api::{ConsumerInfo, StreamInfo};

/// For how long after a change by hand what is pending may be counted wrongly.
const UNSURE: Duration = Duration::from_secs(15);

/// The numbers of the last look.
#[derive(Debug, Default)]
pub(super) struct Gone {
    last: Option<Look>,
    /// Until when nothing is compared.
    unsure: Option<Instant>,
    /// How much was acknowledged here, and how much of that may not have left the stream yet.
    acknowledged: u64,
    credit: u64,
}

/// How, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Went {
    /// Out of the stream, which is still there.
    Removed(u64),
    /// With the stream.
    Deleted(u64),
}

#[derive(Clone, Debug)]
struct Look {
    created: (String, String),
    /// Where the stream ended before, and after the consumer was looked at.
    ends: (u64, u64),
    messages: u64,
    pending: u64,
    handed_out: u64,
}

impl Gone {
    /// Compares with the last look: how many messages went. Never more than have gone, and with messages coming in between
    /// perhaps a few less.
    pub(super) fn look(
        &mut self,
        before: u64,
        stream: &StreamInfo,
        consumer: Option<&ConsumerInfo>,
        acknowledged: u64,
    ) -> Option<Went> {
        let now = consumer.map(|consumer| Look {
            created: (stream.created.clone(), consumer.created.clone()),
            ends: (before, stream.state.last_seq),
            messages: stream.state.messages,
            pending: consumer.num_pending,
            handed_out: consumer.delivered.consumer_seq,
        });
        let own = acknowledged.saturating_sub(std::mem::replace(&mut self.acknowledged, acknowledged));
        let credit = std::mem::take(&mut self.credit).saturating_add(own);
        // What was acknowledged and has not left the stream is in it.
        self.credit = credit.min(stream.state.messages);
        let last = std::mem::replace(&mut self.last, now.clone())?;
        if last.created.0 != stream.created {
            return Some(Went::Deleted(last.pending));
        }
        let now = now?;
        if last.created != now.created || last.ends.1 > now.ends.0 || last.handed_out > now.handed_out {
            return None;
        }
        let came = now.ends.0 - last.ends.1;
        let handed_out = now.handed_out - last.handed_out;
        let gone = (last.pending + came).saturating_sub(now.pending + handed_out);
        let removed = (last.messages + now.ends.1 - last.ends.1).saturating_sub(now.messages);
        self.credit = credit.saturating_sub(removed).min(now.messages);
        if self.unsure.is_some_and(|until| Instant::now() < until) {
            return None;
        }
        let gone = gone.min(removed.saturating_sub(credit));
        Some(gone).filter(|gone| *gone > 0).map(Went::Removed)
    }

    /// The stream is not there any more: how many messages went with it.
    pub(super) fn deleted(&mut self) -> Option<Went> {
        self.last.take().map(|last| Went::Deleted(last.pending))
    }

    /// Begins anew.
    pub(super) fn forget(&mut self) {
        self.last = None;
    }

    /// The consumer was changed by hand.
    pub(super) fn changed(&mut self) {
        self.unsure = Some(Instant::now() + UNSURE);
    }
}

#[cfg(test)]
mod tests {
    use super::super::api::{Sequence, StreamState};
    use super::*;

    fn look(gone: &mut Gone, ends: (u64, u64), messages: u64, pending: u64, handed_out: u64) -> Option<Went> {
        let state = StreamState { messages, first_seq: 0, last_seq: ends.1 };
        let stream = StreamInfo { state, created: "a".to_owned(), ..StreamInfo::default() };
        let delivered = Sequence { consumer_seq: handed_out, stream_seq: 0 };
        let consumer = ConsumerInfo { delivered, num_pending: pending, ..ConsumerInfo::default() };
        gone.look(ends.0, &stream, Some(&consumer), 0)
    }

    #[test]
    fn what_is_handed_out_is_not_gone_and_what_is_purged_is() {
        let mut gone = Gone::default();
        assert_eq!(look(&mut gone, (100, 100), 100, 100, 0), None, "nothing to compare with");
        assert_eq!(look(&mut gone, (150, 160), 120, 110, 50), None, "handed out, and more have come");
        assert_eq!(look(&mut gone, (160, 160), 70, 60, 110), None, "handed out, acknowledged or not");
        assert_eq!(look(&mut gone, (160, 160), 30, 20, 110), Some(Went::Removed(40)));
        assert_eq!(
            look(&mut gone, (260, 260), 1, 0, 111),
            Some(Went::Removed(119)),
            "what came and went in between"
        );
        assert_eq!(look(&mut gone, (260, 260), 1, 0, 111), None);
    }

    #[test]
    fn what_was_acknowledged_here_is_not_gone_whatever_is_pending() {
        let mut gone = Gone::default();
        let mut look = |messages: u64, last: u64, acknowledged| {
            let state = StreamState { messages, first_seq: 0, last_seq: last };
            let stream = StreamInfo { state, ..StreamInfo::default() };
            gone.look(last, &stream, Some(&ConsumerInfo::default()), acknowledged)
        };
        assert_eq!(look(100, 100, 0), None);
        assert_eq!(look(60, 120, 60), None, "none is pending, and none was handed out");
        assert_eq!(look(60, 120, 90), None, "on the way");
        assert_eq!(look(20, 120, 100), None);
        assert_eq!(look(5, 120, 105), None);
    }

    #[test]
    fn a_stream_that_was_deleted_took_what_was_pending() {
        let mut gone = Gone::default();
        look(&mut gone, (100, 100), 100, 70, 30);
        assert_eq!(gone.deleted(), Some(Went::Deleted(70)));
        assert_eq!(gone.deleted(), None);
        look(&mut gone, (100, 100), 100, 70, 30);
        let other = StreamInfo { created: "b".to_owned(), ..StreamInfo::default() };
        assert_eq!(gone.look(0, &other, Some(&ConsumerInfo::default()), 0), Some(Went::Deleted(70)));
    }
}
