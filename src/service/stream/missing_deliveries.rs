//! What another program took from our consumer: events that were handed out and acknowledged, and that no instance of ours has
//! received. They are not applied, and a work queue does not have them any more.
//!
//! The consumer numbers its deliveries, and its floor is the number up to which everything is acknowledged. Of the deliveries up
//! to there, those that all instances together have not received were lost on the way, or went elsewhere. What is lost on the way
//! is delivered again, and then tells how often it was delivered before. So the rest went elsewhere: never more than is said.
//!
//! An instance that has ended tells nothing more, and what it acknowledged is not known. So counting begins anew with each change
//! among the instances, behind the last delivery that was made before.

use std::collections::BTreeSet;

use super::api::ConsumerInfo;
use super::reasons::events;
use crate::clock;
use crate::service::received::{Received, Share, Shares, UpTo};

/// The number of rounds in a row in which the same instances must answer before they are compared: an instance that has just
/// ended may have acknowledged events that it has not reported.
const SETTLED: u32 = 3;

/// The same, while messages are delivered again: one that an instance works on for long is delivered to another one as well, which may
/// look at it long after it is acknowledged. As long as it finds more of those, fewer are missing each time.
const SETTLED_AGAIN: u32 = 6;

/// What is known from one look to the next.
#[derive(Debug, Default)]
pub(super) struct MissingDeliveries {
    base: Option<Base>,
    /// Where deliveries are missing, until that is confirmed.
    doubt: Option<Doubt>,
    /// How many were missing in all when that was last said.
    said: u64,
}

/// What is missing for certain, if no other instance works on this database.
#[derive(Debug)]
pub(super) struct Discrepancy {
    pub(super) missing: Missing,
    pub(super) among: ComparedInstances,
    /// From where on it is compared once that was said.
    then: Base,
}

#[derive(Debug)]
struct Doubt {
    up_to: u64,
    missing: u64,
    /// For how many rounds it has been confirmed.
    rounds: u32,
}

#[derive(Debug)]
struct Base {
    up_to: UpTo,
    shares: Shares,
    /// For how many rounds these instances have answered.
    rounds: u32,
    /// The last delivery before they did: what was handed out until then is not counted.
    behind: u64,
    /// Since when, in unix milliseconds.
    since: i64,
}

/// Among which instances was compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ComparedInstances {
    pub(super) instances: BTreeSet<String>,
    /// Instances that started later, in unix milliseconds, had to be among them.
    pub(super) since: i64,
}

/// Deliveries that went elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) count: u64,
    /// Their sequences in the stream lie between these, where that is known.
    pub(super) between: (Option<u64>, Option<u64>),
}

impl MissingDeliveries {
    /// Compares what the instances have received with what the consumer has handed out. `own`: this instance. What is found is found
    /// again until it is [said](Self::said).
    pub(super) fn look(
        &mut self,
        consumer: &ConsumerInfo,
        received: &Received,
        own: &str,
    ) -> Option<Discrepancy> {
        let last = consumer.delivered.consumer_seq;
        let answers = received.answers();
        let took = answers.and_then(|(up_to, shares)| self.compare(up_to, shares, last, received, own));
        let delivery =
            if self.compares() { self.doubtful().unwrap_or(consumer.ack_floor.consumer_seq) } else { last };
        received.ask(Some(UpTo { consumer: consumer.created.clone(), delivery }));
        took
    }

    /// Whether the instances are known for long enough.
    pub(super) fn compares(&self) -> bool {
        self.base.as_ref().is_some_and(|base| base.rounds >= SETTLED)
    }

    fn doubtful(&self) -> Option<u64> {
        self.doubt.as_ref().map(|doubt| doubt.up_to)
    }

    /// What was found is said: what is missing later is compared from here on.
    pub(super) fn said(&mut self, found: Discrepancy) {
        *self = Self { base: Some(found.then), doubt: None, said: found.missing.count };
    }

    /// Begins anew.
    pub(super) fn forget(&mut self, received: &Received) {
        *self = Self::default();
        received.ask(None);
        drop(received.answers());
    }

    fn compare(
        &mut self,
        up_to: UpTo,
        shares: Shares,
        last: u64,
        received: &Received,
        own: &str,
    ) -> Option<Discrepancy> {
        let known = shares.contains_key(own) && shares.values().all(Option::is_some);
        let base = self
            .base
            .as_mut()
            .filter(|base| known && base.up_to.consumer == up_to.consumer && are_same(&base.shares, &shares));
        let Some(base) = base else {
            let since = clock::now();
            let base = Base { up_to, shares, rounds: 1, behind: last, since };
            *self = Self { base: known.then_some(base), ..Self::default() };
            return None;
        };
        if base.rounds < SETTLED {
            if up_to.delivery >= base.behind {
                (base.up_to, base.shares, base.rounds) = (up_to, shares, base.rounds + 1);
            }
            return None;
        }
        if up_to.delivery < base.up_to.delivery {
            // What is not acknowledged yet was handed out before these instances were the same ones.
            return None;
        }
        if self.doubt.as_ref().is_some_and(|doubt| doubt.up_to != up_to.delivery) {
            // The answer to an earlier question: the one that confirms the doubt, or ends it, is on its way.
            return None;
        }
        let count =
            total(&shares, |share| share.count).saturating_sub(total(&base.shares, |share| share.count));
        // Delivered again may be what was lost up to here, at any time since.
        let before = total(&base.shares, |share| share.again_up_to);
        let again = total(&shares, |share| share.again).saturating_sub(before);
        let handed_out = up_to.delivery - base.up_to.delivery;
        let missing = handed_out.saturating_sub(count).saturating_sub(again);
        if missing == 0 {
            // From here on: what came twice hides nothing that goes elsewhere later.
            self.doubt = None;
            (base.up_to, base.shares) = (up_to, shares);
            return None;
        }
        // A delivery may be on its way yet.
        let rounds = match &self.doubt {
            Some(doubt) if again == 0 || doubt.missing == missing => doubt.rounds + 1,
            _ => 0,
        };
        self.doubt = Some(Doubt { up_to: up_to.delivery, missing, rounds });
        if rounds < if again == 0 { 1 } else { SETTLED_AGAIN } {
            return None;
        }
        let alone = shares.len() == 1;
        let between = if alone { received.gaps(base.up_to.delivery, up_to.delivery) } else { (None, None) };
        let among = ComparedInstances { instances: shares.keys().cloned().collect(), since: base.since };
        let then = Base { up_to, shares, rounds: base.rounds, behind: base.behind, since: base.since };
        Some(Discrepancy { missing: Missing { count: self.said + missing, between }, among, then })
    }
}

fn total(shares: &Shares, of: fn(&Share) -> u64) -> u64 {
    shares.values().flatten().map(of).sum()
}

/// Whether the same instances have counted without an interruption.
fn are_same(before: &Shares, now: &Shares) -> bool {
    let epochs = |shares: &Shares| {
        shares.iter().map(|(id, share)| (id.clone(), share.map(|share| share.epoch))).collect::<Vec<_>>()
    };
    epochs(before) == epochs(now)
}

impl Missing {
    /// What an operator has to know.
    pub(super) fn sentence(&self, stream: &str, consumer: &str) -> String {
        let between = match self.between {
            (Some(first), Some(last)) if first == last => format!(" (sequence {first})"),
            (Some(first), Some(last)) => format!(" (among the sequences {first} to {last})"),
            (Some(first), None) => format!(" (from sequence {first} on)"),
            (None, Some(last)) => format!(" (up to sequence {last})"),
            (None, None) => String::new(),
        };
        format!(
            "another program pulls from the consumer {consumer:?} of the stream {stream:?}. Handed out to it and acknowledged, and so \
             not applied and not in the stream any more: {}{between}. End that program, or give it a \
             stream of its own; what the senders still have, they may send again: nothing is applied twice",
            events(self.count)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::api::Sequence;
    use super::*;

    fn share(epoch: u64, count: u64, again: u64) -> Share {
        Share { up_to: 0, epoch, count, again, again_up_to: again }
    }

    /// One look, with what the instances answer to what was asked in the one before.
    fn round(
        elsewhere: &mut MissingDeliveries,
        received: &Received,
        floor: u64,
        shares: &[(&str, Option<Share>)],
    ) -> Option<u64> {
        if let Some(asked) = received.asked() {
            received.answered(asked, shares.iter().map(|(id, share)| ((*id).to_owned(), *share)).collect());
        }
        let ack_floor = Sequence { consumer_seq: floor, stream_seq: floor };
        let consumer = ConsumerInfo { ack_floor, delivered: ack_floor, ..ConsumerInfo::default() };
        look_and_say(elsewhere, &consumer, received)
    }

    fn look_and_say(
        elsewhere: &mut MissingDeliveries,
        consumer: &ConsumerInfo,
        received: &Received,
    ) -> Option<u64> {
        let found = elsewhere.look(consumer, received, "a")?;
        let count = found.missing.count;
        elsewhere.said(found);
        Some(count)
    }

    fn settled(shares: &[(&str, Option<Share>)], floor: u64) -> (MissingDeliveries, Received) {
        let (mut elsewhere, received) = (MissingDeliveries::default(), Received::default());
        for _ in 0..=SETTLED {
            assert_eq!(round(&mut elsewhere, &received, floor, shares), None);
        }
        (elsewhere, received)
    }

    #[test]
    fn what_no_instance_has_received_is_said_once_and_when_it_grows() {
        let (mut elsewhere, received) =
            settled(&[("a", Some(share(1, 6, 0))), ("b", Some(share(2, 4, 0)))], 10);
        let before = [("a", Some(share(1, 6, 0))), ("b", Some(share(2, 4, 0)))];
        assert_eq!(round(&mut elsewhere, &received, 20, &before), None);
        let now = [("a", Some(share(1, 9, 0))), ("b", Some(share(2, 8, 0)))];
        let said: Vec<_> = (0..6).map(|_| round(&mut elsewhere, &received, 20, &now)).collect();
        assert_eq!(said.iter().flatten().collect::<Vec<_>>(), [&3]);
        let said: Vec<_> = (0..6).map(|_| round(&mut elsewhere, &received, 22, &now)).collect();
        assert_eq!(said.iter().flatten().collect::<Vec<_>>(), [&5]);
    }

    #[test]
    fn what_is_found_and_not_said_yet_is_found_again_unless_another_instance_turns_up() {
        let find =
            |elsewhere: &mut MissingDeliveries, received: &Received, shares: &[(&str, Option<Share>)]| {
                let answers = shares.iter().map(|(id, share)| ((*id).to_owned(), *share)).collect();
                received.answered(received.asked().expect("it asks"), answers);
                let ack_floor = Sequence { consumer_seq: 20, stream_seq: 20 };
                let consumer = ConsumerInfo { ack_floor, delivered: ack_floor, ..ConsumerInfo::default() };
                elsewhere.look(&consumer, received, "a")
            };
        let one = ("a", Some(share(1, 6, 0)));
        for other in [None, Some(("b", Some(share(2, 14, 0))))] {
            let (mut elsewhere, received) = settled(&[one], 10);
            let looks = (0..4).filter_map(|_| find(&mut elsewhere, &received, &[one]));
            assert_eq!(looks.map(|found| found.missing.count).collect::<Vec<_>>(), [10, 10]);
            let now: Vec<_> = [Some(one), other].into_iter().flatten().collect();
            let found = find(&mut elsewhere, &received, &now);
            assert_eq!(found.is_some(), other.is_none());
            found.into_iter().for_each(|found| elsewhere.said(found));
            assert!((0..6).all(|_| find(&mut elsewhere, &received, &now).is_none()), "{other:?}");
        }
    }

    #[test]
    fn what_no_instance_has_received_is_said_while_events_keep_coming() {
        let (mut elsewhere, received) = settled(&[("a", Some(share(1, 10, 0)))], 10);
        // Each answer is to what was asked a look earlier, and the floor moves from one look to the next.
        let mut late: Option<UpTo> = None;
        let mut said = Vec::new();
        for floor in 20..30_u64 {
            if let Some(asked) = late.replace(received.asked().expect("it asks")) {
                let count = asked.delivery.saturating_sub(3).max(10);
                received.answered(asked, [("a".to_owned(), Some(share(1, count, 0)))].into_iter().collect());
            }
            let ack_floor = Sequence { consumer_seq: floor, stream_seq: floor };
            let consumer = ConsumerInfo { ack_floor, ..ConsumerInfo::default() };
            said.extend(look_and_say(&mut elsewhere, &consumer, &received));
        }
        assert_eq!(said, [3]);
    }

    #[test]
    fn what_an_instance_acknowledged_before_it_ended_did_not_go_elsewhere() {
        let received = Received::default();
        let mut elsewhere = MissingDeliveries::default();
        // 20 are handed out, and 10 of them hang on one that was handed to the instance that has ended.
        let look = |elsewhere: &mut MissingDeliveries, floor, last, share| {
            if let Some(asked) = received.asked() {
                received.answered(asked, [("a".to_owned(), Some(share))].into_iter().collect());
            }
            let place = |seq| Sequence { consumer_seq: seq, stream_seq: seq };
            let consumer =
                ConsumerInfo { ack_floor: place(floor), delivered: place(last), ..ConsumerInfo::default() };
            look_and_say(elsewhere, &consumer, &received)
        };
        for _ in 0..8 {
            assert_eq!(look(&mut elsewhere, 10, 20, share(1, 0, 0)), None);
        }
        for _ in 0..8 {
            assert_eq!(look(&mut elsewhere, 21, 21, share(1, 1, 1)), None);
        }
        let said: Vec<_> = (0..8).filter_map(|_| look(&mut elsewhere, 24, 24, share(1, 1, 1))).collect();
        assert_eq!(said, [3], "what goes elsewhere later is known");
    }

    #[test]
    fn what_was_lost_on_the_way_and_came_again_did_not_go_elsewhere() {
        let (mut elsewhere, received) = settled(&[("a", Some(share(1, 10, 0)))], 10);
        assert_eq!(round(&mut elsewhere, &received, 20, &[("a", Some(share(1, 10, 0)))]), None);
        let now = [("a", Some(share(1, 15, 5)))];
        assert!((0..6).all(|_| round(&mut elsewhere, &received, 20, &now).is_none()));
    }

    #[test]
    fn what_is_delivered_again_and_looked_at_late_did_not_go_elsewhere() {
        let one = |count, again| [("a", Some(share(1, count, again)))];
        // One delivery has come again already, and the others come late.
        let (mut elsewhere, received) = settled(&one(10, 0), 10);
        round(&mut elsewhere, &received, 20, &one(10, 0));
        for count in [12, 13, 14, 15, 16, 17, 18, 19] {
            assert!(
                (0..2).all(|_| round(&mut elsewhere, &received, 20, &one(count, 1)).is_none()),
                "{count}"
            );
        }
        // What does not come went elsewhere.
        let (mut elsewhere, received) = settled(&one(10, 0), 10);
        round(&mut elsewhere, &received, 20, &one(10, 0));
        let said: Vec<_> =
            (0..12).filter_map(|_| round(&mut elsewhere, &received, 20, &one(16, 1))).collect();
        assert_eq!(said, [3]);
    }

    #[test]
    fn a_delivery_that_arrives_a_moment_later_did_not_go_elsewhere() {
        let (mut elsewhere, received) = settled(&[("a", Some(share(1, 10, 0)))], 10);
        round(&mut elsewhere, &received, 11, &[("a", Some(share(1, 10, 0)))]);
        assert_eq!(round(&mut elsewhere, &received, 11, &[("a", Some(share(1, 10, 0)))]), None);
        assert!(
            (0..6).all(|_| round(&mut elsewhere, &received, 11, &[("a", Some(share(1, 11, 0)))]).is_none())
        );
    }

    #[test]
    fn an_instance_that_goes_or_begins_anew_or_cannot_tell_is_no_cause_for_a_notice() {
        for other in
            [None, Some(("b", Some(share(3, 0, 0)))), Some(("b", None)), Some(("c", Some(share(2, 4, 0))))]
        {
            let (mut elsewhere, received) =
                settled(&[("a", Some(share(1, 6, 0))), ("b", Some(share(2, 4, 0)))], 10);
            let now: Vec<_> = [Some(("a", Some(share(1, 6, 0)))), other].into_iter().flatten().collect();
            assert!((0..8).all(|_| round(&mut elsewhere, &received, 20, &now).is_none()), "{other:?}");
        }
    }
}
