//! Random histories, and how they are delivered.

use std::fmt;
use std::ops::RangeInclusive;

use eitherway::OpId;
use eitherway::request::Shared;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use rosey::op::{
    Duration, Field, Forget as ForgetOp, HighWater, KvDelete, KvSet, MessageLog, Op, OutboundEnqueue,
    PmCommand, QuoteAdd, StatusData, StatusUpdate, Tell, UserCount, UserJoined, UserLeft,
};

/// Operations in the order they were made up in, and how the database gets them.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) events: Vec<Event>,
    /// Taken in turn, from the first again when they are used up.
    pub(crate) batches: Vec<Batch>,
    /// When what is old is removed, and which.
    pub(crate) sweeps: Vec<Sweep>,
}

/// What is older than `horizon` is removed, by one of the writers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sweep {
    pub(crate) place: u16,
    pub(crate) horizon: i64,
    pub(crate) writer: usize,
    pub(crate) forget: Forget,
}

/// What the ledger forgets: no client repeats that from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forget {
    Nothing,
    /// What was delivered before the sweep that came before this one.
    Earlier,
    Everything,
}

/// An operation.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) id: OpId,
    pub(crate) at: i64,
    pub(crate) what: What,
    /// One for each time it is delivered: where in the order.
    pub(crate) deliveries: Vec<Delivery>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivery {
    pub(crate) place: u16,
    /// Once more right behind, so mostly in the same batch.
    pub(crate) twice: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    Op(Shared<Op>),
    /// What became of the nth message that was enqueued: sent, or an error and whether it is permanent. A message
    /// that there is not has an unknown number.
    Mark(usize, Option<(String, bool)>),
    /// This sender takes back the nth message, which may be another sender's.
    Undo(usize, String),
    /// A claim. It happens at the present time, because it hands out nothing otherwise.
    Claim(Option<String>),
}

/// What one writer gets at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch {
    pub(crate) size: usize,
    pub(crate) writer: usize,
    /// Whether the next batch goes to the other writer at the same time.
    pub(crate) alongside: bool,
}

/// A usual time, and the earliest that is taken.
const STARTS: [i64; 2] = [1_700_000_000_000, 1];

pub(crate) fn cases(length: RangeInclusive<usize>) -> impl Strategy<Value = Case> {
    let start = prop_oneof![9 => Just(STARTS[0]), 1 => Just(STARTS[1])];
    (start, vec(raw_event(), length), vec(batch(), 1..6), sweeps()).prop_map(
        |(start, raw, batches, sweeps)| Case {
            events: raw.into_iter().enumerate().map(|(n, raw)| raw.event(start, n)).collect(),
            batches,
            sweeps: sweeps
                .into_iter()
                .map(|sweep| Sweep { horizon: start + sweep.horizon, ..sweep })
                .collect(),
        },
    )
}

fn sweeps() -> impl Strategy<Value = Vec<Sweep>> {
    let horizon = prop_oneof![time(), 4000i64..20_001];
    let forget = prop::sample::select(vec![Forget::Nothing, Forget::Earlier, Forget::Everything]);
    let sweep = (any::<u16>(), horizon, 0usize..2, forget)
        .prop_map(|(place, horizon, writer, forget)| Sweep { place, horizon, writer, forget });
    prop_oneof![1 => Just(Vec::new()), 2 => vec(sweep, 1..4)]
}

fn batch() -> impl Strategy<Value = Batch> {
    let size = prop_oneof![1usize..4, 1usize..80];
    (size, 0usize..2, prop::bool::weighted(0.2)).prop_map(|(size, writer, alongside)| Batch {
        size,
        writer,
        alongside,
    })
}

#[derive(Clone, Debug)]
struct RawEvent {
    time: i64,
    form: usize,
    tag: u8,
    what: What,
    deliveries: Vec<Delivery>,
}

impl RawEvent {
    fn event(self, start: i64, n: usize) -> Event {
        let at = start + self.time;
        Event { id: id(self.form, self.tag, at, n), at, what: self.what, deliveries: self.deliveries }
    }
}

/// An id of its own for the `n`th operation. The tag comes first: it decides which of two at the same time is later.
fn id(form: usize, tag: u8, at: i64, n: usize) -> OpId {
    let text = match form {
        0 => format!("{tag}-{n}"),
        1 => return OpId::derived(at, "test", &format!("{tag}-{n}")),
        2 => format!("{}{tag}-{n}", ['a', 'B'][n % 2]),
        3 => format!("{tag}{n:03}"), // a number, also with zeros before it
        _ => format!("'\"{tag} ~{n}"),
    };
    OpId::parse(&text).unwrap()
}

fn raw_event() -> impl Strategy<Value = RawEvent> {
    let forms = prop_oneof![5 => Just(0usize), 3 => Just(1usize), 2 => 2usize..5];
    (time(), forms, 0u8..10, what(), deliveries()).prop_map(|(time, form, tag, what, deliveries)| RawEvent {
        time,
        form,
        tag,
        what,
        deliveries,
    })
}

fn deliveries() -> impl Strategy<Value = Vec<Delivery>> {
    let delivery =
        (any::<u16>(), prop::bool::weighted(0.15)).prop_map(|(place, twice)| Delivery { place, twice });
    prop_oneof![3 => vec(delivery.clone(), 1..=1), 1 => vec(delivery, 1..=3)]
}

/// Few milliseconds, few seconds, and some apart: many operations at the same time.
fn time() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => 0i64..4,
        2 => (0i64..4).prop_map(|s| s * 1000),
        2 => 0i64..20_000,
        // a peer that sends seconds: the arrival, moved into that second
        2 => (0i64..8, 0i64..8000).prop_map(|(second, arrival)| {
            let payload = format!(r#"{{"timestamp":{}}}"#, STARTS[0] / 1000 + second);
            let head = eitherway::__private::wire::head(None, payload.as_bytes(), STARTS[0] + arrival).unwrap();
            head.occurred_at - STARTS[0]
        }),
    ]
}

fn user() -> impl Strategy<Value = String> {
    prop_oneof![9 => person(), 1 => prop::sample::select(vec!["Server", "server"]).prop_map(str::to_owned)]
}

/// One who may be forgotten, in several spellings: the channel itself is not.
fn person() -> impl Strategy<Value = String> {
    let spellings = |names: &[&'static str]| prop::sample::select(names.to_vec());
    prop_oneof![
        3 => spellings(&["ann"]),
        2 => spellings(&["Ann", "ANN", "aNN"]),
        3 => spellings(&["bob", "Bob"]),
        1 => spellings(&["007"]),
        1 => spellings(&["äöü", "ÄÖÜ", "Äöü"]),
    ]
    .prop_map(str::to_owned)
}

fn text() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["hi", "", "1e3", "it's \"so\"", "né\n💥"]).prop_map(str::to_owned)
}

fn line() -> impl Strategy<Value = String> {
    text().prop_map(|text| if text.is_empty() { ".".to_owned() } else { text })
}

fn what() -> impl Strategy<Value = What> {
    let op = |op: Op| What::Op(Shared::new(op));
    let mark = prop_oneof![Just(None), (text(), any::<bool>()).prop_map(Some)];
    prop_oneof![
        6 => user().prop_map(move |username| op(UserJoined { username }.into())),
        6 => user().prop_map(move |username| op(UserLeft { username }.into())),
        4 => (user(), line()).prop_map(move |(username, message)| op(MessageLog { username, message }.into())),
        1 => (0u32..4, 0u32..4).prop_map(move |(chat_count, connected_count)| {
            op(UserCount { chat_count, connected_count }.into())
        }),
        3 => (0u32..4, option::of(0u32..4)).prop_map(move |(chat_count, connected_count)| {
            op(HighWater { chat_count, connected_count }.into())
        }),
        3 => status().prop_map(move |status| op(status.into())),
        1 => command().prop_map(move |command| op(command.into())),
        2 => (option::of(user()), line()).prop_map(move |(username, content)| {
            op(OutboundEnqueue { username, content }.into())
        }),
        4 => (0usize..4, mark).prop_map(|(message, mark)| What::Mark(message, mark)),
        1 => option::of(user()).prop_map(What::Claim),
        2 => tell().prop_map(move |tell| op(tell.into())),
        1 => (0usize..4, user()).prop_map(|(message, sender)| What::Undo(message, sender)),
        1 => (user(), line(), option::of(user())).prop_map(move |(username, message, added_by)| {
            op(QuoteAdd { username, message, added_by }.into())
        }),
        2 => kv_set().prop_map(move |set| op(set.into())),
        1 => (plugin(), key()).prop_map(move |(plugin_name, key)| op(KvDelete { plugin_name, key }.into())),
        1 => person().prop_map(move |username| op(ForgetOp { username }.into())),
    ]
}

fn tell() -> impl Strategy<Value = Tell> {
    (user(), user(), line(), any::<bool>()).prop_map(|(sender, username, content, privately)| Tell {
        sender,
        username,
        content,
        privately,
    })
}

fn plugin() -> impl Strategy<Value = String> {
    prop_oneof![3 => Just("quiz"), 1 => Just("'; --")].prop_map(str::to_owned)
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![3 => Just("a"), 1 => Just("né 💥")].prop_map(str::to_owned)
}

fn kv_set() -> impl Strategy<Value = KvSet> {
    let value = prop::sample::select(vec![
        serde_json::Value::Null,
        serde_json::json!(7),
        serde_json::json!(2.5),
        serde_json::json!("it's \"so\" 💥"),
        serde_json::json!({"b": [true, null], "aa": {}}),
    ]);
    (plugin(), key(), value, option::of(0u32..8)).prop_map(|(plugin_name, key, value, ttl_seconds)| KvSet {
        plugin_name,
        key,
        value,
        ttl_seconds,
    })
}

fn command() -> impl Strategy<Value = PmCommand> {
    (user(), line(), text(), text(), option::of(text())).prop_map(
        |(username, command, args, result, error)| PmCommand { username, command, args, result, error },
    )
}

/// Absent twice as often as there, and sometimes null.
fn field<T: Clone + fmt::Debug + 'static>(
    values: impl Strategy<Value = T> + 'static,
) -> impl Strategy<Value = Field<T>> {
    prop_oneof![4 => Just(None), 1 => Just(Some(None)), 2 => values.prop_map(|value| Some(Some(value)))]
}

fn status() -> impl Strategy<Value = StatusUpdate> {
    (field(text()), field(text()), option::of(status_data()))
        .prop_map(|(status, details, status_data)| StatusUpdate { status, details, status_data })
}

fn status_data() -> impl Strategy<Value = StatusData> {
    let rank = prop::sample::select(vec![2.0, 2.5, -1.0]);
    let duration = prop_oneof![
        (0i64..3).prop_map(Duration::Seconds),
        prop::sample::select(vec![12.0, 12.5]).prop_map(Duration::Fraction),
        prop::sample::select(vec!["03:12", "0312"]).prop_map(|text| Duration::Text(text.to_owned())),
    ];
    let texts = (field(text()), field(text()), field(text()));
    let numbers = (field(0u32..3), field(0u32..3), field(0u32..3), field(0i64..3));
    (texts, numbers, field(any::<bool>()), field(any::<bool>()), field(rank), field(duration)).prop_map(
        |(texts, numbers, bot_afk, bot_connected, bot_rank, current_media_duration)| StatusData {
            bot_name: texts.0,
            channel_name: texts.1,
            current_media_title: texts.2,
            current_chat_users: numbers.0,
            current_connected_users: numbers.1,
            playlist_items: numbers.2,
            bot_start_time: numbers.3,
            bot_afk,
            bot_connected,
            bot_rank,
            current_media_duration,
        },
    )
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "operations (unix ms, id, what, places in the order of delivery):")?;
        for event in &self.events {
            write!(f, "  {} {:<8} {:?} at", event.at, event.id.to_string(), event.what)?;
            for delivery in &event.deliveries {
                write!(f, " {}{}", delivery.place, if delivery.twice { " twice" } else { "" })?;
            }
            writeln!(f)?;
        }
        for sweep in &self.sweeps {
            let Sweep { place, horizon, writer, forget } = sweep;
            writeln!(
                f,
                "at {place} writer {writer} removes what is older than {horizon}, of the ledger {forget:?}"
            )?;
        }
        writeln!(f, "batches:")?;
        for batch in &self.batches {
            let beside = if batch.alongside { ", beside the next" } else { "" };
            writeln!(f, "  at most {} by writer {}{beside}", batch.size, batch.writer)?;
        }
        Ok(())
    }
}
