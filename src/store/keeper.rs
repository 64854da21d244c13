//! The time as this file knows it, beside the system's clock.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::queue::{Item, hand_over};
use super::reader::Reader;
use super::record::Record;
use crate::clock;
use crate::error::Cause;
use crate::hints::option;
use crate::known_time::{ClockSkew, FAR, Judgement, KnownTime, Mark, Reading};

/// For how long nothing is removed from a file of the Python bot that was taken over, in milliseconds.
const FIRST_DAY: i64 = 86_400_000;

/// Knows the time of one open file. Shared by the writer and the retention task.
#[derive(Debug)]
pub(crate) struct Keeper {
    state: Mutex<State>,
    begun: Instant,
    /// The last known time, less what has passed since `begun` when it was known.
    floor: AtomicI64,
}

#[derive(Debug, Default)]
struct State {
    known: KnownTime,
    doubt: Option<ClockSkew>,
    /// Whether a person has said that the clock is right, and the file has not been read since.
    trusted: bool,
    taken_over: Option<i64>,
    /// Until this and the ledger's time have passed, the ledger forgets nothing.
    ledger_from: Option<i64>,
}

impl Default for Keeper {
    fn default() -> Self {
        Self { state: Mutex::default(), begun: Instant::now(), floor: AtomicI64::new(i64::MIN) }
    }
}

/// What may be removed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum May {
    /// What is old by the clock.
    Remove {
        /// When the ledger began anew, if it did: its rows are as old as that at most.
        ledger_from: Option<i64>,
    },
    /// Nothing: the clock is doubtful.
    Skewed(ClockSkew),
    /// Nothing: the file was the Python bot's until a moment ago.
    FirstDay,
}

impl Keeper {
    /// Reads what the file knows.
    pub(crate) async fn load(&self, reader: &dyn Reader) -> Result<(), sqlx::Error> {
        let facts = reader.look_up(reader.texts().facts.to_owned(), Vec::new()).await?;
        let now = Reading::now();
        let mut state = self.state.lock();
        for (key, value) in facts.iter().filter_map(|fact| fact.split_once(' ')) {
            match key {
                "known_time" => {
                    // A person's word of this start holds against what the file knows.
                    if let Some(mark) = Mark::from_text(value).filter(|_| !state.trusted) {
                        state.known.begin(mark, &now);
                    }
                }
                "taken_over" => state.taken_over = value.parse().ok(),
                _ => state.ledger_from = value.parse().ok(),
            }
        }
        self.floor(&state, &now);
        Ok(())
    }

    /// Looks for a last time in what the file holds, if it was told none. Reads all of the ledger.
    pub(crate) async fn look(&self, reader: &dyn Reader) -> Result<(), sqlx::Error> {
        if self.state.lock().known.is_known() {
            return Ok(());
        }
        // A file may have been written before the time was kept in it.
        let newest = reader.look_up(reader.texts().newest.to_owned(), Vec::new()).await?;
        let now = Reading::now();
        if let Some(at) = newest.first().and_then(|text| text.parse().ok()) {
            let mut state = self.state.lock();
            state.known.begin(Mark { at, up: now.up, boot: now.boot.clone() }, &now);
            self.floor(&state, &now);
        }
        Ok(())
    }

    /// The time to write down: the clock's, and never before the last known one. A clock that was set back makes nothing
    /// look older than it is when it is put right.
    pub(crate) fn now(&self) -> i64 {
        let passed = i64::try_from(self.begun.elapsed().as_millis()).unwrap_or(i64::MAX);
        clock::now().max(self.floor.load(Ordering::Relaxed).saturating_add(passed))
    }

    /// What may be removed now, by what the clock says and by what is known.
    pub(crate) fn may(&self) -> May {
        let now = Reading::now();
        let mut state = self.state.lock();
        let judgement = state.known.judge(&now);
        self.floor(&state, &now);
        state.doubt = None;
        match judgement {
            Judgement::Doubtful(doubt) => {
                state.doubt = Some(doubt);
                return May::Skewed(doubt);
            }
            Judgement::Outlasted => state.ledger_from = Some(now.clock),
            Judgement::Agrees => {}
        }
        // Times that a clock wrote down that was ahead.
        let credible = |at| if at > now.clock.saturating_add(FAR) { now.clock } else { at };
        state.taken_over = state.taken_over.map(credible);
        state.ledger_from = state.ledger_from.map(credible);
        if state.taken_over.is_some_and(|at| now.clock.saturating_sub(at) < FIRST_DAY) {
            return May::FirstDay;
        }
        May::Remove { ledger_from: state.ledger_from }
    }

    /// A server has told its time.
    #[cfg_attr(not(feature = "nats"), allow(dead_code))]
    pub(crate) fn witness(&self, at: i64, other: bool) {
        self.state.lock().known.witness(at, other, &Reading::now());
    }

    /// A person says that the clock is right.
    pub(crate) fn trust(&self) {
        let now = Reading::now();
        let mut state = self.state.lock();
        state.known.trust(&now);
        state.trusted = true;
        self.floor(&state, &now);
    }

    /// Why nothing is removed, if the clock is the cause.
    #[cfg_attr(not(feature = "nats"), allow(dead_code))]
    pub(crate) fn clock_skew(&self) -> Option<ClockSkew> {
        self.state.lock().doubt
    }

    /// Keeps in the file what is known.
    pub(crate) async fn save(
        &self,
        reader: &dyn Reader,
        writes: &mpsc::WeakSender<Item>,
    ) -> Result<(), Cause> {
        let facts = {
            let state = self.state.lock();
            let Some(last) = state.known.last(&Reading::now()) else { return Ok(()) };
            let mut facts = serde_json::Map::new();
            facts.insert("known_time".to_owned(), last.to_text().into());
            for (key, at) in [("taken_over", state.taken_over), ("ledger_from", state.ledger_from)] {
                facts.extend(at.map(|at| (key.to_owned(), at.to_string().into())));
            }
            facts
        };
        let value = serde_json::Value::Object(facts).to_string();
        let record = Record { statements: reader.texts().keep, value };
        hand_over(writes, |told| Item::Record(record, told)).await
    }

    fn floor(&self, state: &State, now: &Reading) {
        let passed = i64::try_from(self.begun.elapsed().as_millis()).unwrap_or(i64::MAX);
        let floor = state.known.last(now).map_or(i64::MIN, |last| last.at.saturating_sub(passed));
        self.floor.store(floor, Ordering::Relaxed);
    }
}

/// The sentence for an operator.
pub(crate) fn sentence(doubt: ClockSkew) -> String {
    format!(
        "{doubt}: retention removes nothing, and no operation id is forgotten. Set the clock right and it goes on by \
         itself; if the clock is right (the machine was off, say), start once with {}, or leave it running: a \
         clock that runs evenly for a day is believed, unless the NATS server says otherwise",
        option("trust-clock")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::reader::tests::reading;

    #[tokio::test]
    async fn the_word_of_a_person_holds_though_the_file_could_not_be_read_at_first() {
        let (pool, reader) = reading().await;
        let keeper = Keeper::default();
        keeper.load(&reader).await.expect_err("no table yet");
        keeper.trust();
        let made = "CREATE TABLE meta (key, value); INSERT INTO meta VALUES ('known_time', '1000 0 x')";
        sqlx::raw_sql(made).execute(&pool).await.expect("made");
        keeper.load(&reader).await.expect("read");
        assert_eq!(keeper.may(), May::Remove { ledger_from: None });
    }
}
