//! What a bot holds that does not lead, and what of it another one has written.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::super::event::{Body, Event, Kind};
use crate::op::Line;
use crate::op::person::same;

/// The most that is held. The oldest goes first: the one who leads has had the most time to write it.
const MOST: usize = 16_384;
const MOST_BYTES: usize = 8 << 20;
/// How long a leader that is well may take to write what it has read: what is older than its last sign of life and this is written.
const WRITTEN_WITHIN: Duration = Duration::from_secs(15);
/// How far the times of one line may be apart, as two bots have read it, in milliseconds.
const APART: i64 = 5_000;
/// More pairs of equal lines than are compared one by one.
const MOST_PAIRS: usize = 1 << 20;

/// Events that are not handled yet, oldest first.
#[derive(Debug, Default)]
pub(in crate::bot) struct Held {
    events: VecDeque<(Instant, Event)>,
    bytes: usize,
}

impl Held {
    /// What is held while another bot leads.
    pub(in crate::bot) const WATCHED: [Kind; 5] =
        [Kind::UserJoin, Kind::UserLeave, Kind::Message, Kind::Pm, Kind::History];

    pub(in crate::bot) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Holds it, and drops the oldest ones if there are too many. Returns how many lists these were.
    pub(in crate::bot) fn push(&mut self, event: Event) -> usize {
        self.bytes += size(&event);
        self.events.push_back((Instant::now(), event));
        let mut lists = 0;
        while self.events.len() > MOST || self.bytes > MOST_BYTES {
            lists += usize::from(self.drop_oldest() == Some(Kind::UserList));
        }
        lists
    }

    /// Since when lines are of interest for what is held, in unix seconds by the clock of the one who has written them; none if nothing
    /// is held.
    pub(in crate::bot) fn since(&self, ahead: i64) -> Option<u32> {
        let first = self.events.iter().map(|(_, event)| event.occurred_at()).min()?;
        Some(u32::try_from((first + ahead - APART) / 1000).unwrap_or_default())
    }

    /// Takes what was held until then.
    pub(in crate::bot) fn take_until(&mut self, until: Instant) -> Vec<Event> {
        let later = self.events.partition_point(|(held, _)| *held <= until);
        let events: Vec<Event> = self.events.drain(..later).map(|(_, event)| event).collect();
        self.bytes = self.bytes.saturating_sub(events.iter().map(size).sum());
        events
    }

    pub(in crate::bot) fn take(&mut self) -> Vec<Event> {
        std::mem::take(self).events.into_iter().map(|(_, event)| event).collect()
    }

    /// Leaves what the one who leads may not have written, of which this was the last sign of life: who came and went, and what was
    /// said. Of the bot itself it holds nothing; what it knows of the room is told when it leads. Returns how many lists were
    /// left out.
    pub(in crate::bot) fn watch(&mut self, written_until: Option<Instant>) -> usize {
        let before = self.events.len();
        let lists = self.events.iter().filter(|(_, event)| event.kind() == Kind::UserList).count();
        self.events.retain(|(_, event)| Self::WATCHED.contains(&event.kind()));
        if let Some(until) = written_until.and_then(|until| until.checked_sub(WRITTEN_WITHIN)) {
            while self.events.front().is_some_and(|(read, _)| *read < until) {
                self.drop_oldest();
            }
        }
        if before != self.events.len() {
            self.bytes = self.events.iter().map(|(_, event)| size(event)).sum();
        }
        lists
    }

    fn drop_oldest(&mut self) -> Option<Kind> {
        let (_, event) = self.events.pop_front()?;
        self.bytes = self.bytes.saturating_sub(size(&event));
        Some(event.kind())
    }
}

fn size(event: &Event) -> usize {
    let text = match &event.body {
        Body::Message { user, content } | Body::History { user, content } | Body::Pm { user, content } => {
            user.len() + content.len()
        }
        Body::UserJoin { user, .. } | Body::UserLeave { user } => user.len(),
        Body::UserList { users } => users.iter().map(|user| user.username.len() + 64).sum(),
        _ => 0,
    };
    text + 128
}

/// Whether it is a line of this bot: what bots say is no line.
pub(in crate::bot) fn is_said_by(event: &Event, bot: &str) -> bool {
    matches!(&event.body, Body::Message { user, .. } | Body::History { user, .. } if same(user, bot))
}

/// The events without the lines that are written already. `lines`: those, with the times of a clock that is ahead of ours by so many
/// milliseconds. Nothing but who said what, and about when, tells which line is which, unless the network identifies it; of equal
/// lines those belong together whose times are nearest, in their order.
pub(in crate::bot) fn unwritten(events: Vec<Event>, lines: &[Line], ahead: i64) -> Vec<Event> {
    let mut written: HashMap<(&str, &str), Vec<i64>> = HashMap::new();
    for line in lines {
        let begin = line.timestamp * 1000 - ahead;
        written.entry((&line.username, &line.message)).or_default().push(begin);
    }
    let mut held: HashMap<(&str, &str), Vec<(usize, i64)>> = HashMap::new();
    for (place, event) in events.iter().enumerate() {
        if let (Body::Message { user, content }, false) = (&event.body, event.is_identified()) {
            held.entry((user, content)).or_default().push((place, event.occurred_at()));
        }
    }
    let mut known = vec![false; events.len()];
    for (said, held) in &held {
        for place in written.get(said).map_or_else(Vec::new, |written| paired(held, written)) {
            known[place] = true;
        }
    }
    events.into_iter().zip(known).filter(|(_, known)| !known).map(|(event, _)| event).collect()
}

/// The places of those that have a partner among lines of which the second is known that begins then. Nearest first; no two pairs cross.
fn paired(held: &[(usize, i64)], written: &[i64]) -> Vec<usize> {
    if held.len().saturating_mul(written.len()) > MOST_PAIRS {
        return held.iter().take(written.len()).map(|(place, _)| *place).collect();
    }
    let mut pairs: Vec<(i64, usize, usize)> = Vec::new();
    for (n, (_, at)) in held.iter().enumerate() {
        let apart = |begin: &i64| (begin - at).max(at - begin - 999).max(0);
        let near = written.iter().enumerate().map(|(m, begin)| (apart(begin), n, m));
        pairs.extend(near.filter(|(apart, ..)| *apart <= APART));
    }
    pairs.sort_unstable();
    let mut taken: Vec<(usize, usize)> = Vec::new();
    for (_, n, m) in pairs {
        let fits = |(a, b): &(usize, usize)| (n < *a && m < *b) || (n > *a && m > *b);
        if taken.iter().all(fits) {
            taken.push((n, m));
        }
    }
    taken.into_iter().map(|(n, _)| held[n].0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bot::event::Stamp;
    use crate::bot::testing::{join, leave, line, list};

    fn said(at: i64, user: &str, text: &str) -> Event {
        Event::new(line(user, text), Stamp::at(at))
    }

    fn written(seconds: i64, user: &str, text: &str) -> Line {
        Line { timestamp: seconds, username: user.into(), message: text.into() }
    }

    fn left(events: Vec<Event>, lines: &[Line], ahead: i64) -> Vec<i64> {
        unwritten(events, lines, ahead).iter().map(Event::occurred_at).collect()
    }

    #[test]
    fn what_is_written_is_known_by_who_said_it_and_about_when() {
        let events =
            || vec![said(100_200, "ann", "hi"), said(101_000, "bob", "hi"), said(102_000, "ann", "hi")];
        assert_eq!(left(events(), &[], 0), [100_200, 101_000, 102_000]);
        assert_eq!(left(events(), &[written(100, "ann", "hi")], 0), [101_000, 102_000]);
        assert_eq!(
            left(events(), &[written(90, "ann", "hi")], 0),
            [100_200, 101_000, 102_000],
            "long before"
        );
        assert_eq!(left(events(), &[written(160, "ann", "hi")], 60_000), [101_000, 102_000], "its clock");
        assert_eq!(left(events(), &[written(102, "ann", "hi"), written(100, "ann", "hi")], 0).len(), 2);
    }

    #[test]
    fn of_equal_lines_those_that_come_last_are_the_unwritten_ones() {
        let events = (0..6).map(|n| said(100_100 + n * 1_000, "ann", "hi")).collect();
        let lines: Vec<_> = (97..103).map(|second| written(second, "ann", "hi")).collect();
        assert_eq!(left(events, &lines, 0), [103_100, 104_100, 105_100]);
        let events = (0..3).map(|n| said(100_100 + n, "ann", "hi")).collect();
        assert_eq!(left(events, &[written(100, "ann", "hi"), written(100, "ann", "hi")], 0).len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_is_bounded_and_no_older_than_the_leaders_last_sign_of_life() {
        let mut held = Held::default();
        let _ = held.push(Event::now(Body::Connect));
        let _ = held.push(Event::now(list(&["ann"])));
        let _ = held.push(Event::now(join("ann")));
        let _ = held.push(Event::now(leave("ann")));
        assert_eq!((held.watch(None), held.events.len()), (1, 2), "who came and went");
        tokio::time::advance(WRITTEN_WITHIN).await;
        let alive = Instant::now();
        let _ = held.push(said(1_000, "ann", "now"));
        tokio::time::advance(Duration::from_millis(1)).await;
        held.watch(Some(alive));
        assert_eq!(held.events.len(), 3);
        held.watch(Some(Instant::now()));
        assert_eq!(held.events.len(), 1);
        for _ in 0..=MOST {
            let _ = held.push(said(1_000, "ann", "x"));
        }
        assert_eq!(held.events.len(), MOST);
        let _ = held.push(said(1_000, "ann", &"x".repeat(MOST_BYTES)));
        assert_eq!((held.take().len(), held.bytes), (0, 0), "it does not fit at all");
        assert!(is_said_by(&said(1, "Rosey", "x"), "rosey") && !is_said_by(&said(1, "ann", "x"), "rosey"));
    }
}
