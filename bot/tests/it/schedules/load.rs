//! Operations, each with an effect of its own, and a record of what their callers were told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use eitherway::stack::BoxedStack;
use eitherway::{Class, Classify, Db, Reply, Via};
use rosey::op::{Answer, Error, GetChannelStats, MessageLog, Op, OutboundEnqueue, Request, UserJoined};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{self, MissedTickBehavior};

use crate::support::Dice;

/// Every so often some operations are sent, whether or not those before them were answered: a chat does not wait either.
const TICK: Duration = Duration::from_millis(5);
const AT_ONCE: u64 = 4;
/// No caller has more of them unanswered.
const IN_FLIGHT: usize = 512;

/// What a caller was told in the end.
#[derive(Clone, Debug)]
pub(crate) enum CallResult {
    Accepted(Via),
    Failed(Class, String),
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Does {
    Join,
    Line,
    /// A call: a message to be delivered.
    Message,
    /// A query.
    Nothing,
}

/// One operation.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) id: String,
    pub(crate) does: Does,
    /// What no other effect has in it.
    pub(crate) mark: String,
    pub(crate) told: CallResult,
    /// Whether each of its failures said that it had not happened.
    pub(crate) denied: bool,
    /// The number that a call was answered.
    pub(crate) number: Option<i64>,
    /// How long its caller waited, at each try at most, and since when.
    pub(crate) waited: Duration,
    pub(crate) begun: Instant,
}

/// The user who says the lines of a bot: one name, so that lines are also counted.
pub(crate) fn talker(bot: usize) -> String {
    format!("talker-{bot}")
}

/// A bot that sends until it is told to stop.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    sender: JoinHandle<Vec<Sent>>,
}

impl Load {
    pub(crate) fn start(db: &Db<BoxedStack<Op>>, bot: usize, dice: Dice) -> Self {
        Self::start_every(TICK, db, bot, dice)
    }

    /// The same with another pause between the moments at which some are sent.
    pub(crate) fn start_every(tick: Duration, db: &Db<BoxedStack<Op>>, bot: usize, dice: Dice) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let sender = tokio::spawn(send(tick, db.clone(), bot, dice, Arc::clone(&stop)));
        Self { stop, sender }
    }

    /// Lets everything that was begun come to its end, which nothing can keep it from. Returns all that was sent.
    pub(crate) async fn finish(self, limit: Duration) -> Vec<Sent> {
        self.stop.store(true, Ordering::Release);
        let sent = time::timeout(limit, self.sender).await;
        sent.unwrap_or_else(|_| panic!("after {limit:?} a caller still waits")).unwrap()
    }
}

async fn send(
    tick: Duration,
    db: Db<BoxedStack<Op>>,
    bot: usize,
    mut dice: Dice,
    stop: Arc<AtomicBool>,
) -> Vec<Sent> {
    let (mut flying, mut records) = (JoinSet::new(), Vec::new());
    let mut ticks = time::interval(tick);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sent = 0;
    while !stop.load(Ordering::Acquire) {
        ticks.tick().await;
        for _ in 0..dice.one_of(1..=AT_ONCE) {
            if flying.len() < IN_FLIGHT {
                flying.spawn(one(db.clone(), draw(&mut dice, bot, sent), retry(&mut dice)));
                sent += 1;
            }
        }
        while let Some(done) = flying.try_join_next() {
            records.push(done.unwrap());
        }
    }
    while let Some(done) = flying.join_next().await {
        records.push(done.unwrap());
    }
    records
}

/// The next operation: what it does, and its mark.
fn draw(dice: &mut Dice, bot: usize, n: u64) -> (Does, String, Request) {
    let mark = format!("{n} of bot {bot}");
    let (does, request) = match dice.one_of(0..=9) {
        0..=3 => (Does::Join, Request::new(UserJoined { username: mark.clone() })),
        4..=6 => (Does::Line, Request::new(MessageLog { username: talker(bot), message: mark.clone() })),
        7..=8 => (Does::Message, Request::new(OutboundEnqueue { username: None, content: mark.clone() })),
        _ => (Does::Nothing, Request::new(GetChannelStats {})),
    };
    (does, mark, request)
}

/// Whether, and after which pause, this caller tries again what has failed.
fn retry(dice: &mut Dice) -> Option<Duration> {
    dice.in_a_hundred(50).then(|| Duration::from_millis(dice.one_of(1..=1000)))
}

async fn one(
    db: Db<BoxedStack<Op>>,
    (does, mark, request): (Does, String, Request),
    retry: Option<Duration>,
) -> Sent {
    let id = request.head.id.to_string();
    let mut denied = true;
    let (mut result, mut longest) = timed(&db, request).await;
    if let (Err(error), Some(pause)) = (&result, retry) {
        denied &= denies(error);
        let again = error.request().expect("an error has its request").clone();
        time::sleep(pause).await;
        let before = longest;
        (result, longest) = timed(&db, again).await;
        longest = longest.max(before);
    }
    let (told, number) = match result {
        Ok(Reply { via, answer, .. }) => (CallResult::Accepted(via), number(&answer)),
        Err(error) => {
            denied &= denies(&error);
            (CallResult::Failed(error.class(), error.to_string()), None)
        }
    };
    let (waited, begun) = longest;
    Sent { id, does, mark, told, denied, number, waited, begun }
}

async fn timed(
    db: &Db<BoxedStack<Op>>,
    request: Request,
) -> (Result<Reply<Answer>, Error>, (Duration, Instant)) {
    let begun = Instant::now();
    let result = db.send(request).await;
    (result, (begun.elapsed(), begun))
}

/// Whether an error says that it has not happened.
fn denies(error: &Error) -> bool {
    error.class() != Class::Unknown
}

const fn number(answer: &Answer) -> Option<i64> {
    match answer {
        Answer::OutboundEnqueue(enqueued) => Some(enqueued.id),
        _ => None,
    }
}
