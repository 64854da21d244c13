//! What waits for a reader, by operation.
//!
//! A reader that is free takes what waits of one operation, within bounds of number, of bytes, and of the time that the
//! last groups of it took. The operations have turns.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::deadline::Deadline;
use crate::error::Cause;
use crate::store::reader::{Answered, Question};

/// The most questions of a group, and how many the first ones have.
const MOST: usize = 256;
const FIRST: usize = 16;
/// The most bytes of their payloads.
const MOST_BYTES: usize = 1 << 20;
/// A group that is over in less may be larger the next time; one that takes longer than the second, smaller.
const SHORT: Duration = Duration::from_millis(4);
const LONG: Duration = Duration::from_millis(16);
/// After a group that took this long, this many questions are asked alone: one of it may be slow, and all waited for it.
const TOO_LONG: Duration = Duration::from_millis(100);
const ALONE: u32 = 256;
/// How many may wait until it is looked who of them has gone.
const LOOK: usize = 1024;

/// Who waits for an answer.
pub(super) struct Asker {
    pub(super) tx: oneshot::Sender<Result<Answered, Cause>>,
    pub(super) deadline: Option<Deadline>,
}

impl Asker {
    /// Whether the answer is still of use. One that comes too late is told.
    fn stays(asker: Self) -> Option<Self> {
        match asker.deadline.map(Deadline::check) {
            Some(Err(expired)) => {
                let _ = asker.tx.send(Err(expired));
                None
            }
            _ => (!asker.tx.is_closed()).then_some(asker),
        }
    }
}

/// A question, and all who ask it.
pub(super) struct Waiting {
    pub(super) question: Question,
    pub(super) askers: Vec<Asker>,
    pub(super) since: Instant,
    /// In how large a group it may be: one that was in a group that failed, in a smaller one.
    pub(super) within: usize,
    /// Its place among all that were asked.
    place: u64,
}

impl Waiting {
    pub(super) fn tell(mut self, answer: Result<Answered, Cause>) {
        let last = self.askers.pop();
        for asker in self.askers {
            let _ = asker.tx.send(answer.clone());
        }
        // Not a copy: if it is the only one, the answer is its own.
        if let Some(asker) = last {
            let _ = asker.tx.send(answer);
        }
    }
}

#[derive(Default)]
struct Kind {
    waiting: BTreeMap<u64, Waiting>,
    /// By payload and the most bytes of an answer: who asks the same as one that waits.
    known: HashMap<(String, usize), u64>,
    /// How many readers are at it.
    at_work: usize,
    /// How large a group may be now.
    size: usize,
    /// How many are asked alone before there are groups again.
    alone: u32,
    /// When it is looked next who has gone.
    look: usize,
    in_line: bool,
}

/// All of it.
pub(super) struct Queue {
    kinds: Vec<Kind>,
    /// The operations of which something waits, in the order of their turns.
    line: VecDeque<usize>,
    /// How many readers have nothing to do.
    free: usize,
    /// How many of them may be at one operation: of three, one is left for the others.
    most_at_work: usize,
    next: u64,
}

impl Queue {
    pub(super) fn new(kinds: usize, readers: usize) -> Self {
        let kind = || Kind { size: FIRST, look: LOOK, ..Kind::default() };
        Self {
            kinds: std::iter::repeat_with(kind).take(kinds).collect(),
            line: VecDeque::new(),
            free: readers,
            most_at_work: readers - readers / 3,
            next: 0,
        }
    }

    /// Whether a question of this kind may be asked at once: then nothing of it waits.
    pub(super) fn is_free(&self, index: usize) -> bool {
        self.free > 0 && self.kinds[index].at_work < self.most_at_work && self.kinds[index].waiting.is_empty()
    }

    /// A reader begins a question that has not waited.
    pub(super) fn begin(&mut self, index: usize) {
        self.free -= 1;
        self.kinds[index].at_work += 1;
    }

    /// A reader has done what it took of this kind.
    pub(super) fn done(&mut self, index: usize) {
        self.kinds[index].at_work -= 1;
    }

    /// A reader is free.
    pub(super) fn leave(&mut self) {
        self.free += 1;
    }

    /// Whether a reader is free for something that waits: it is not free any more.
    pub(super) fn start(&mut self) -> bool {
        let starts = self.free > 0 && self.turn().is_some();
        if starts {
            self.free -= 1;
        }
        starts
    }

    /// The place in the line of the operation whose turn it is.
    fn turn(&self) -> Option<usize> {
        self.line.iter().position(|index| self.kinds[*index].at_work < self.most_at_work)
    }

    /// Waits. `shared`: as one with others who ask the same.
    pub(super) fn push(&mut self, question: Question, asker: Asker, shared: bool) {
        let place = self.next;
        self.next += 1;
        let kind = &mut self.kinds[question.index];
        if shared {
            let first = kind.known.entry((question.payload.clone(), question.most)).or_insert(place);
            if let Some(same) = kind.waiting.get_mut(first) {
                if same.askers.len() >= LOOK && same.askers.len().is_power_of_two() {
                    same.askers.retain(|asker| !asker.tx.is_closed());
                }
                same.askers.push(asker);
                same.question.now = same.question.now.max(question.now);
                return;
            }
            *first = place;
        }
        let index = question.index;
        let waiting = Waiting { question, askers: vec![asker], since: Instant::now(), within: MOST, place };
        kind.waiting.insert(place, waiting);
        if kind.waiting.len() >= kind.look {
            kind.waiting.retain(|_, waiting| waiting.askers.iter().any(|asker| !asker.tx.is_closed()));
            let Kind { known, waiting, .. } = kind;
            known.retain(|_, place| waiting.contains_key(place));
            kind.look = LOOK.max(2 * kind.waiting.len());
        }
        self.line_up(index);
    }

    fn line_up(&mut self, index: usize) {
        if !std::mem::replace(&mut self.kinds[index].in_line, true) {
            self.line.push_back(index);
        }
    }

    /// What waits of the operation whose turn it is, and how much of it is taken together: at least one. `together`: whether
    /// that can be asked in one statement.
    pub(super) fn take(&mut self, together: impl Fn(usize) -> bool) -> Option<(usize, Vec<Waiting>)> {
        while let Some(turn) = self.turn() {
            let index = self.line.remove(turn)?;
            let kind = &mut self.kinds[index];
            kind.in_line = false;
            let group = kind.take(together(index));
            if !kind.waiting.is_empty() {
                self.line_up(index);
            }
            if !group.is_empty() {
                self.kinds[index].at_work += 1;
                return Some((index, group));
            }
        }
        None
    }

    /// What comes of a group: its questions are asked again, each in a group of at most this many.
    pub(super) fn again(&mut self, index: usize, group: impl IntoIterator<Item = Waiting>, within: usize) {
        for waiting in group {
            let place = waiting.place;
            self.kinds[index].waiting.insert(place, Waiting { within: within.max(1), ..waiting });
            self.line_up(index);
        }
    }

    /// How long a group has taken, and whether all of it could be answered.
    pub(super) fn took(&mut self, index: usize, count: usize, took: Duration, whole: bool) {
        let kind = &mut self.kinds[index];
        if count > 1 && took > TOO_LONG {
            (kind.size, kind.alone) = (1, ALONE);
        } else if !whole || took > LONG {
            kind.size = (kind.size / 2).max(1);
        } else if let Some(left) = kind.alone.checked_sub(1) {
            kind.alone = left;
        } else if count >= kind.size && (took < SHORT || kind.size == 1) {
            kind.size = (kind.size * 2).min(MOST);
        }
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.kinds.iter().map(|kind| kind.waiting.len()).sum()
    }

    /// All that waits since then, or before.
    pub(super) fn drain(&mut self, since: Instant) -> Vec<Waiting> {
        let mut gone = Vec::new();
        for kind in &mut self.kinds {
            // Their places are in the order of time.
            while kind.waiting.first_key_value().is_some_and(|(_, first)| first.since <= since) {
                gone.extend(kind.pop());
            }
        }
        if !gone.is_empty() {
            let kinds = &mut self.kinds;
            self.line.retain(|index| {
                kinds[*index].in_line = !kinds[*index].waiting.is_empty();
                kinds[*index].in_line
            });
        }
        gone
    }
}

impl Kind {
    /// The question that has waited longest. None joins it any more.
    fn pop(&mut self) -> Option<Waiting> {
        let (place, mut waiting) = self.waiting.pop_first()?;
        let Question { payload, most, .. } = &mut waiting.question;
        let key = (std::mem::take(payload), *most);
        if self.known.get(&key) == Some(&place) {
            self.known.remove(&key);
        }
        *payload = key.0;
        Some(waiting)
    }

    /// The questions that have waited longest, as many as may be asked in one statement.
    fn take(&mut self, together: bool) -> Vec<Waiting> {
        let mut group: Vec<Waiting> = Vec::new();
        let (mut most, mut bytes) = (if together { self.size } else { 1 }, 0);
        while let Some((_, next)) = self.waiting.first_key_value() {
            most = most.min(next.within);
            bytes += next.question.payload.len();
            let fits = group.first().is_none_or(|first| {
                group.len() < most && bytes <= MOST_BYTES && first.question.most == next.question.most
            });
            if !fits {
                break;
            }
            let Some(mut waiting) = self.pop() else { break };
            waiting.askers = waiting.askers.into_iter().filter_map(Asker::stays).collect();
            if !waiting.askers.is_empty() {
                group.push(waiting);
            }
        }
        group
    }
}
