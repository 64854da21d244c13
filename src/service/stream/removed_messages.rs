//! What went out of the stream without an acknowledgement of ours: purged, dropped by a limit, deleted with the stream.
//!
//! The stream does not tell. But each message that the consumer has not handed out yet is counted by it as pending, and leaves that
//! number by being handed out, which is counted too. What left it otherwise is gone. Messages that were handed out are not missed:
//! the instance that has them applies them.
//!
//! A server does not count exactly what is pending, and puts that right at any later time. So it is compared with what has left
//! the stream: what was acknowledged, here or by another instance, is not gone, whatever is pending; and for some time after a
//! change by hand, or of the server that counts, nothing is said to be.
//!
//! In a cluster a message stops being pending when it is handed out, and is counted as handed out when a majority knows: looks with
//! such messages are passed over.

use std::time::Duration;

use tokio::time::Instant;

use super::api::{ConsumerInfo, StreamInfo, StreamState};

/// For how long after a change by hand what is pending may be counted wrongly.
const UNSURE: Duration = Duration::from_secs(15);

/// After this many looks at which nothing has changed no message is on its way.
const QUIET: u32 = 5;

/// The numbers of the last look.
#[derive(Debug, Default)]
pub(super) struct RemovedMessages {
    /// The one that the next is compared with, and the one before this, with how many there were like it.
    last: Option<Counts>,
    latest: Option<Counts>,
    alike: u32,
    /// Until when nothing is compared.
    unsure: Option<Instant>,
    /// How much was acknowledged here, and how much of what any instance has acknowledged may not have left the stream yet.
    acknowledged: u64,
    credit: u64,
    /// What was missing at the last look among what was pending, and how much more had left the stream than was acknowledged.
    doubt: u64,
    left: u64,
}

/// How, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LostMessages {
    /// Out of the stream, which is still there.
    Removed(u64),
    /// With the stream.
    Deleted(u64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Counts {
    created: (String, String),
    /// Where the stream ended before, and after the consumer was looked at.
    ends: (u64, u64),
    /// In the stream, before that.
    messages: u64,
    pending: u64,
    handed_out: u64,
    /// The last place that is counted as handed out.
    place: u64,
    /// Handed out, and acknowledged or handed out again.
    concluded: u64,
}

impl Counts {
    /// How much of what the stream holds may be acknowledged; in a cluster, where that leaves it later and a new leader counts
    /// wrongly, all of it.
    const fn acknowledged(&self, in_a_cluster: bool) -> u64 {
        let messages = self.messages + (self.ends.1 - self.ends.0);
        if in_a_cluster {
            return messages;
        }
        messages.saturating_sub(self.pending + (self.handed_out - self.concluded))
    }

    /// Whether each message is pending or counted as handed out.
    const fn is_settled(&self) -> bool {
        self.ends.0 == self.ends.1 && self.place + self.pending == self.ends.1
    }
}

impl RemovedMessages {
    /// Compares with the looks before: how many messages went, until the last of them. Never more than have gone, and with
    /// messages coming in between perhaps a few less.
    pub(super) fn look(
        &mut self,
        before: &StreamState,
        stream: &StreamInfo,
        consumer: Option<&ConsumerInfo>,
        acknowledged: u64,
    ) -> Option<LostMessages> {
        let now = consumer.map(|consumer| Counts {
            created: (stream.created.clone(), consumer.created.clone()),
            ends: (before.last_seq, stream.state.last_seq),
            messages: before.messages,
            pending: consumer.num_pending,
            handed_out: consumer.delivered.consumer_seq,
            place: consumer.delivered.stream_seq,
            concluded: consumer.delivered.consumer_seq.saturating_sub(consumer.num_ack_pending),
        });
        let latest = std::mem::replace(&mut self.latest, now.clone());
        if let Some(latest) = &latest
            && latest.created.0 != stream.created
        {
            self.last = None;
            return Some(LostMessages::Deleted(latest.pending));
        }
        self.alike = if latest == now { self.alike + 1 } else { 0 };
        let Some(now) = now else {
            self.last = None;
            return None;
        };
        let unsure = self.unsure.is_some_and(|until| Instant::now() < until);
        let in_a_cluster = !stream.cluster.leader.is_empty();
        if in_a_cluster && !now.is_settled() && self.alike < QUIET {
            self.last.take_if(|_| unsure);
            return None;
        }
        let last = self.last.replace(now.clone());
        let own = acknowledged.saturating_sub(std::mem::replace(&mut self.acknowledged, acknowledged));
        let (doubt, left) = (std::mem::take(&mut self.doubt), std::mem::take(&mut self.left));
        let credit = std::mem::take(&mut self.credit);
        let comparable = |last: &Counts| {
            !unsure
                && last.created == now.created
                && last.ends.1 <= now.ends.0
                && last.handed_out <= now.handed_out
        };
        let Some(last) = last.filter(comparable) else {
            self.credit = now.acknowledged(in_a_cluster);
            return None;
        };
        let credit = credit + own.max(now.concluded.saturating_sub(last.concluded));
        let removed = (last.messages + now.ends.0 - last.ends.0).saturating_sub(now.messages);
        self.credit = credit.saturating_sub(removed).min(now.messages);
        let newly = removed.saturating_sub(credit);
        let came = now.ends.0 - last.ends.1;
        let handed_out = now.handed_out - last.handed_out;
        self.doubt = (last.pending + came).saturating_sub(now.pending + handed_out);
        // What is missing now may have gone since the stream was looked at.
        let gone = doubt.min(left + newly);
        self.left = (left + newly - gone).min(newly);
        Some(gone).filter(|gone| *gone > 0).map(LostMessages::Removed)
    }

    /// The stream is not there any more: how many messages went with it.
    pub(super) fn deleted(&mut self) -> Option<LostMessages> {
        self.last = None;
        self.latest.take().map(|latest| LostMessages::Deleted(latest.pending))
    }

    /// Begins anew.
    pub(super) fn forget(&mut self) {
        (self.last, self.latest) = (None, None);
    }

    /// The consumer was changed by hand, or it is another server that counts.
    pub(super) fn changed(&mut self) {
        self.unsure = Some(Instant::now() + UNSURE);
    }
}

#[cfg(test)]
mod tests {
    use super::super::api::Sequence;
    use super::*;

    /// A stream that ends at `ends` before and after its consumer is looked at.
    fn at(
        gone: &mut RemovedMessages,
        ends: (u64, u64),
        [messages, pending, handed_out, unacknowledged]: [u64; 4],
    ) -> Option<LostMessages> {
        let state = |last_seq| StreamState { messages, last_seq, ..StreamState::default() };
        let stream = StreamInfo { state: state(ends.1), created: "a".to_owned(), ..StreamInfo::default() };
        let consumer = ConsumerInfo {
            delivered: Sequence { consumer_seq: handed_out, stream_seq: 0 },
            num_pending: pending,
            num_ack_pending: unacknowledged,
            ..ConsumerInfo::default()
        };
        gone.look(&state(ends.0), &stream, Some(&consumer), 0)
    }

    #[test]
    fn what_is_handed_out_is_not_gone_and_what_is_purged_is() {
        let mut gone = RemovedMessages::default();
        assert_eq!(at(&mut gone, (100, 100), [100, 100, 0, 0]), None, "nothing to compare with");
        assert_eq!(at(&mut gone, (150, 160), [120, 100, 50, 20]), None, "handed out, and more have come");
        assert_eq!(at(&mut gone, (160, 160), [70, 50, 110, 20]), None, "handed out, acknowledged or not");
        assert_eq!(at(&mut gone, (160, 160), [30, 10, 110, 20]), None, "it may be a mistake of the server");
        assert_eq!(at(&mut gone, (160, 160), [30, 10, 110, 20]), Some(LostMessages::Removed(40)));
        assert_eq!(at(&mut gone, (160, 160), [10, 10, 110, 0]), None, "acknowledged");
        assert_eq!(at(&mut gone, (260, 260), [0, 0, 111, 0]), None, "what came and went in between");
        assert_eq!(at(&mut gone, (260, 260), [0, 0, 111, 0]), Some(LostMessages::Removed(109)));
        assert_eq!(at(&mut gone, (260, 260), [0, 0, 111, 0]), None);
    }

    #[test]
    fn what_left_the_stream_a_moment_after_it_was_looked_at_is_gone_too() {
        let mut gone = RemovedMessages::default();
        at(&mut gone, (100, 100), [100, 100, 0, 0]);
        assert_eq!(at(&mut gone, (100, 100), [100, 60, 0, 0]), None);
        assert_eq!(at(&mut gone, (100, 100), [60, 60, 0, 0]), Some(LostMessages::Removed(40)));
    }

    #[test]
    fn what_any_instance_has_acknowledged_is_not_gone_whatever_is_pending() {
        let mut gone = RemovedMessages::default();
        at(&mut gone, (100, 100), [100, 105, 0, 0]);
        // The server takes back what it had counted twice, while others acknowledge what they have.
        for (messages, pending, handed_out) in [(60, 65, 40), (35, 35, 65), (20, 20, 80), (0, 0, 100)] {
            assert_eq!(at(&mut gone, (100, 100), [messages, pending, handed_out, 0]), None, "{messages}");
        }
    }

    #[test]
    fn what_was_acknowledged_here_is_not_gone_whatever_is_pending() {
        let mut gone = RemovedMessages::default();
        let mut look = |messages: u64, last: u64, acknowledged| {
            let state = StreamState { messages, last_seq: last, ..StreamState::default() };
            let stream = StreamInfo { state: state.clone(), ..StreamInfo::default() };
            gone.look(&state, &stream, Some(&ConsumerInfo::default()), acknowledged)
        };
        assert_eq!(look(100, 100, 0), None);
        assert_eq!(look(60, 120, 60), None, "none is pending, and none was handed out");
        assert_eq!(look(60, 120, 90), None, "on the way");
        assert_eq!(look(20, 120, 100), None);
        assert_eq!(look(5, 120, 105), None);
    }

    /// The same in a cluster, with the place that is counted as handed out.
    fn in_a_cluster(
        gone: &mut RemovedMessages,
        ends: (u64, u64),
        place: u64,
        [messages, pending, unacknowledged]: [u64; 3],
    ) -> Option<LostMessages> {
        let state = |last_seq| StreamState { messages, last_seq, ..StreamState::default() };
        let cluster = serde_json::from_str(r#"{"leader":"a"}"#).expect("a cluster");
        let stream = StreamInfo { state: state(ends.1), cluster, ..StreamInfo::default() };
        let consumer = ConsumerInfo {
            delivered: Sequence { consumer_seq: place, stream_seq: place },
            num_pending: pending,
            num_ack_pending: unacknowledged,
            ..ConsumerInfo::default()
        };
        gone.look(&state(ends.0), &stream, Some(&consumer), 0)
    }

    #[test]
    fn what_a_cluster_has_handed_out_and_not_counted_yet_is_not_gone() {
        let mut gone = RemovedMessages::default();
        let look =
            |gone: &mut RemovedMessages, ends, place, numbers| in_a_cluster(gone, ends, place, numbers);
        assert_eq!(look(&mut gone, (288, 288), 288, [70, 0, 69]), None);
        for _ in 0..3 {
            // Its leader is cut off from the others, and no other one is elected yet.
            assert_eq!(look(&mut gone, (641, 641), 606, [197, 0, 179]), None);
        }
        assert_eq!(look(&mut gone, (900, 910), 890, [60, 0, 30]), None);
        assert_eq!(look(&mut gone, (1000, 1000), 1000, [0, 0, 0]), None);
        assert_eq!(look(&mut gone, (1000, 1000), 1000, [0, 0, 0]), None);
    }

    #[test]
    fn what_is_purged_in_a_cluster_is_gone_when_others_are_handed_out_or_none_for_a_while() {
        let mut gone = RemovedMessages::default();
        assert_eq!(in_a_cluster(&mut gone, (100, 100), 0, [100, 100, 0]), None);
        // A first look may not know what was acknowledged before.
        assert_eq!(in_a_cluster(&mut gone, (100, 100), 100, [0, 0, 0]), None);
        assert_eq!(in_a_cluster(&mut gone, (200, 200), 100, [100, 100, 0]), None);
        assert_eq!(in_a_cluster(&mut gone, (200, 200), 100, [0, 0, 0]), None);
        let said: Vec<_> =
            (0..8).filter_map(|_| in_a_cluster(&mut gone, (200, 200), 100, [0, 0, 0])).collect();
        assert_eq!(said, [LostMessages::Removed(100)]);
        assert_eq!(in_a_cluster(&mut gone, (300, 300), 200, [100, 100, 0]), None);
        assert_eq!(in_a_cluster(&mut gone, (301, 301), 301, [1, 0, 1]), None);
        assert_eq!(in_a_cluster(&mut gone, (301, 301), 301, [0, 0, 0]), None);
    }

    #[test]
    fn a_stream_that_was_deleted_took_what_was_pending() {
        let mut gone = RemovedMessages::default();
        at(&mut gone, (100, 100), [100, 70, 30, 30]);
        assert_eq!(gone.deleted(), Some(LostMessages::Deleted(70)));
        assert_eq!(gone.deleted(), None);
        at(&mut gone, (100, 100), [100, 70, 30, 30]);
        let (state, other) =
            (StreamState::default(), StreamInfo { created: "b".to_owned(), ..StreamInfo::default() });
        assert_eq!(
            gone.look(&state, &other, Some(&ConsumerInfo::default()), 0),
            Some(LostMessages::Deleted(70))
        );
    }
}
