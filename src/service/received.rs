//! What this instance has received from the stream's consumer. The consumer numbers its deliveries; what all instances have
//! received is counted together, and a delivery that none of them has went to another program.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// How many of the last deliveries are kept with their numbers.
const KEPT: usize = 16_384;

/// What one instance has received of all deliveries up to a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Share {
    /// The number up to which it is counted.
    pub(super) up_to: u64,
    /// Another one after each interruption: counts are comparable within one.
    pub(super) epoch: u64,
    pub(super) count: u64,
    /// How many earlier deliveries of the same messages there were: those that no instance received are among them.
    pub(super) again: u64,
    /// The same, of the deliveries up to the number only.
    pub(super) again_up_to: u64,
}

/// The shares of all instances, by their ids; none of an instance that cannot tell.
pub(super) type Shares = BTreeMap<String, Option<Share>>;

/// A number among the deliveries of one consumer, which is known by its creation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct UpTo {
    pub(super) consumer: String,
    pub(super) delivery: u64,
}

/// Counts deliveries.
#[derive(Debug, Default)]
pub(super) struct Received(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// None while nothing is taken, or is taken in another way.
    epoch: Option<u64>,
    count: u64,
    again: u64,
    /// The last deliveries, by their numbers, with the sequences of the messages, and how often those came before.
    last: VecDeque<(u64, u64, u64)>,
    /// The highest number that is not kept any more.
    beyond: u64,
    asked: Option<UpTo>,
    answers: Option<(UpTo, Shares)>,
}

/// Counts as long as it is kept.
#[derive(Debug)]
pub(super) struct Counting<'a>(&'a Received);

impl Received {
    /// Begins to count over a new subscription. What an earlier one has not handed over is delivered again, or not: that is
    /// not known.
    pub(super) fn begin(&self) -> Counting<'_> {
        self.0.lock().restart();
        Counting(self)
    }

    /// A delivery was received: the message `sequence`, for the `times`th time.
    pub(super) fn note(&self, delivery: u64, sequence: u64, times: u64) {
        let mut all = self.0.lock();
        if all.last.back().is_some_and(|(last, ..)| delivery <= *last) {
            // The consumer was created again.
            all.restart();
        }
        all.count += 1;
        let again = times.saturating_sub(1);
        all.again += again;
        all.last.push_back((delivery, sequence, again));
        if all.last.len() > KEPT
            && let Some((beyond, ..)) = all.last.pop_front()
        {
            all.beyond = beyond;
        }
    }

    /// What was received up to this number; nothing if that is not known.
    pub(super) fn share(&self, up_to: u64) -> Option<Share> {
        let all = self.0.lock();
        let epoch = all.epoch.filter(|_| all.beyond <= up_to)?;
        let later = all.last.range(all.last.partition_point(|(delivery, ..)| *delivery <= up_to)..);
        let (count, again) = later.fold((0, 0), |(count, all), (.., again)| (count + 1, all + again));
        Some(Share {
            up_to,
            epoch,
            count: all.count - count,
            again: all.again,
            again_up_to: all.again - again,
        })
    }

    /// Between which messages the gaps of these deliveries are, the first and the last, where that is known.
    pub(super) fn gaps(&self, after: u64, up_to: u64) -> (Option<u64>, Option<u64>) {
        let all = self.0.lock();
        let (mut first, mut last) = (None, None);
        let (mut before, mut message) = (after, None);
        for (delivery, sequence, _) in all.last.iter().take_while(|(delivery, ..)| *delivery <= up_to) {
            if *delivery > before + 1 {
                first = first.or(message.map(|message| message + 1));
                last = Some(sequence.saturating_sub(1));
            }
            (before, message) = (before.max(*delivery), Some(*sequence));
        }
        if before < up_to {
            first = first.or(message.map(|message| message + 1));
            last = None;
        }
        (first, last)
    }

    /// What the other instances are to be asked for.
    pub(super) fn ask(&self, up_to: Option<UpTo>) {
        self.0.lock().asked = up_to;
    }

    pub(super) fn asked(&self) -> Option<UpTo> {
        self.0.lock().asked.clone()
    }

    /// What all instances have answered to that.
    pub(super) fn answered(&self, up_to: UpTo, shares: Shares) {
        self.0.lock().answers = Some((up_to, shares));
    }

    /// The same, once.
    pub(super) fn answers(&self) -> Option<(UpTo, Shares)> {
        self.0.lock().answers.take()
    }
}

impl Inner {
    fn restart(&mut self) {
        static EPOCHS: AtomicU64 = AtomicU64::new(1);
        self.epoch = Some(EPOCHS.fetch_add(1, Ordering::Relaxed));
        (self.count, self.again, self.beyond) = (0, 0, 0);
        self.last.clear();
    }
}

impl Drop for Counting<'_> {
    fn drop(&mut self) {
        self.0.0.lock().epoch = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(received: &Received, up_to: u64) -> Option<(u64, u64)> {
        received.share(up_to).map(|share| (share.count, share.again))
    }

    #[test]
    fn what_was_received_is_counted_up_to_a_number() {
        let received = Received::default();
        assert_eq!(counts(&received, 10), None, "nothing is taken");
        let counting = received.begin();
        let epoch = received.share(0).map(|share| share.epoch);
        for (delivery, sequence, times) in [(1, 1, 1), (2, 2, 1), (5, 5, 1), (7, 3, 3)] {
            received.note(delivery, sequence, times);
        }
        assert_eq!(
            [2, 4, 5, 10].map(|up_to| counts(&received, up_to)),
            [Some((2, 2)), Some((2, 2)), Some((3, 2)), Some((4, 2))]
        );
        assert_eq!(
            [5, 7].map(|up_to| received.share(up_to).map(|share| share.again_up_to)),
            [Some(0), Some(2)]
        );
        received.note(1, 1, 1);
        assert_eq!(counts(&received, 10), Some((1, 0)), "another consumer");
        assert_ne!(received.share(0).map(|share| share.epoch), epoch);
        drop(counting);
        assert_eq!(counts(&received, 10), None);
    }

    #[test]
    fn a_number_that_is_not_kept_any_more_is_not_known() {
        let received = Received::default();
        let _counting = received.begin();
        let all = KEPT as u64 + 10;
        (1..=all).for_each(|number| received.note(number, number, 1));
        assert_eq!(counts(&received, 9), None);
        assert_eq!(counts(&received, 10), Some((10, 0)));
        assert_eq!(counts(&received, all), Some((all, 0)));
    }

    #[test]
    fn a_gap_lies_between_the_messages_around_it() {
        let received = Received::default();
        let _counting = received.begin();
        for number in [1, 2, 5, 6] {
            received.note(number, number + 100, 1);
        }
        assert_eq!(received.gaps(0, 2), (None, None));
        assert_eq!(received.gaps(0, 6), (Some(103), Some(104)));
        assert_eq!(received.gaps(0, 8), (Some(103), None));
        assert_eq!(received.gaps(6, 8), (Some(107), None));
    }
}
