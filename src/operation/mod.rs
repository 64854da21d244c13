//! What the stack asks of an operation type: its name, its way, its JSON.

mod upkeep;
mod validate;

use std::borrow::Cow;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Cause, Code};

pub use upkeep::{Check, Sweep};
pub use validate::{validate, validate_upkeep};

/// The largest payload of an operation, in bytes of JSON.
pub const MAX_PAYLOAD: usize = 256 * 1024;

/// What an operation does to the database, and so what its sender waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Changes state; needs an acknowledgement. May be stored in a stream.
    Event,
    /// Changes state and answers after the commit. Never stored in a stream.
    Call,
    /// Reads only.
    Query,
}

/// The wire contract of one operation.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Its name: in logs, metrics, the ledger and on the command line.
    pub name: &'static str,
    /// Its NATS subject.
    pub subject: &'static str,
    /// What it does to the database.
    pub kind: Kind,
    /// Whether its payload carries `timestamp`, the unix second in which it happened.
    pub timed: bool,
    /// How old a request may be when it reaches the database, by the clocks of its sender and of the database's host; an
    /// older one is refused as `clock`.
    pub fresh: Option<Duration>,
    /// The answer of one that has nothing to say: `{}`, or `[]` where the answer is a list.
    pub empty: &'static str,
    /// A payload as it may be sent, for help and for trying out.
    pub example: &'static str,
}

impl Spec {
    /// An event: acknowledged, timed.
    #[must_use]
    pub const fn event(name: &'static str, subject: &'static str) -> Self {
        Self { name, subject, kind: Kind::Event, timed: true, fresh: None, empty: "{}", example: "{}" }
    }

    /// A call: answered after the commit, timed.
    #[must_use]
    pub const fn call(name: &'static str, subject: &'static str) -> Self {
        Self { name, subject, kind: Kind::Call, timed: true, fresh: None, empty: "{}", example: "{}" }
    }

    /// A query: reads only, not timed.
    #[must_use]
    pub const fn query(name: &'static str, subject: &'static str) -> Self {
        Self { name, subject, kind: Kind::Query, timed: false, fresh: None, empty: "{}", example: "{}" }
    }

    /// The same without `timestamp` in the payload.
    #[must_use]
    pub const fn untimed(self) -> Self {
        Self { timed: false, ..self }
    }

    /// The same, refused when it is older than this many seconds.
    #[must_use]
    pub const fn fresh(self, seconds: u64) -> Self {
        Self { fresh: Some(Duration::from_secs(seconds)), ..self }
    }

    /// The same with a list for an answer.
    #[must_use]
    pub const fn list(self) -> Self {
        Self { empty: "[]", ..self }
    }

    /// The same with a payload as it may be sent.
    #[must_use]
    pub const fn example(self, example: &'static str) -> Self {
        Self { example, ..self }
    }

    /// Whether its answer is a list.
    #[must_use]
    pub const fn lists(&self) -> bool {
        self.empty.as_bytes()[0] == b'['
    }

    /// Whether it changes the database.
    #[must_use]
    pub const fn writes(&self) -> bool {
        !matches!(self.kind, Kind::Query)
    }
}

/// Why a payload is refused: a sentence for whoever sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid(pub Cow<'static, str>);

impl From<&'static str> for Invalid {
    fn from(sentence: &'static str) -> Self {
        Self(sentence.into())
    }
}

impl From<String> for Invalid {
    fn from(sentence: String) -> Self {
        Self(sentence.into())
    }
}

impl From<Invalid> for Cause {
    fn from(invalid: Invalid) -> Self {
        Self::new(Code::INVALID, invalid.0)
    }
}

/// What the bus needs of an operation type. Usually an enum made by [`operations!`](crate::operations).
pub trait Operation: Sized + Send + Sync + 'static {
    /// What comes back.
    type Answer: Send + 'static;
    /// The name of the service that serves it: its queue group, and the first part of its own subjects
    /// (`SERVICE.ping`).
    const SERVICE: &'static str;
    /// The name of the stream that takes its events where JetStream is used: the first part of
    /// [`SERVICE`](Self::SERVICE) in capitals (`rosey.db` works on `ROSEY`). Two services of one NATS account whose names
    /// begin alike need names of their own here.
    #[must_use]
    fn stream() -> String {
        Self::SERVICE.split('.').next().unwrap_or(Self::SERVICE).to_ascii_uppercase()
    }
    /// The contract of each operation; [`index`](Self::index) points into it.
    const SPECS: &'static [Spec];
    /// The names alone, in the same order.
    const NAMES: &'static [&'static str];

    /// Which of [`SPECS`](Self::SPECS) this is.
    fn index(&self) -> usize;
    /// Its contract.
    fn spec(&self) -> &'static Spec {
        &Self::SPECS[self.index()]
    }
    /// The payload as a JSON object without `timestamp`, after the checks: what is sent, what is hashed into the
    /// ledger, what SQL binds. The same operation must give the same bytes, also after it was
    /// [decoded](Self::decode) from them on the other path: no map without an order in it, and no field
    /// `timestamp` of its own where [`Spec::timed`] adds one.
    ///
    /// # Errors
    /// When a check refuses it, or it is larger than [`MAX_PAYLOAD`].
    fn encode(&self) -> Result<Vec<u8>, Invalid>;
    /// Reads and checks a payload. Unknown fields are ignored.
    ///
    /// # Errors
    /// When it is not a JSON object of the right form, or a check refuses it.
    fn decode(index: usize, payload: &[u8]) -> Result<Self, Invalid>;
    /// The answer as JSON.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    fn encode_answer(answer: &Self::Answer) -> Result<Vec<u8>, Invalid>;
    /// Reads the answer of the operation `index`.
    ///
    /// # Errors
    /// When it is not such an answer.
    fn decode_answer(index: usize, json: &[u8]) -> Result<Self::Answer, Invalid>;
}

/// A change of schema. Changes only add.
///
/// Each is applied once to a file, in the order of the versions; all that a file lacks, in one transaction. Several
/// with one version, one behind the other in the list, are the parts of one change.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Its place in the order, from 10 on; what is below is Rosey's own.
    pub version: i64,
    /// What it does.
    pub description: &'static str,
    /// The statements.
    pub sql: &'static str,
    /// Whether this file needs the statements; see [`only_if`](Self::only_if).
    pub only_if: Option<&'static str>,
    /// What is said of a file of another program's; see [`tells`](Self::tells).
    pub tells: Option<&'static str>,
}

impl Migration {
    /// The change of schema that these statements make.
    #[must_use]
    pub const fn new(version: i64, description: &'static str, sql: &'static str) -> Self {
        Self { version, description, sql, only_if: None, tells: None }
    }

    /// The same, only for files of which this query says 1; it says 0 of the others. It is asked of the file as the
    /// versions before have left it. Either way the change is recorded as applied, and never looked at again.
    #[must_use]
    pub const fn only_if(self, query: &'static str) -> Self {
        Self { only_if: Some(query), ..self }
    }

    /// The same, and this query says whose file it is, for the log, when one that another program has made is taken over: a text, or
    /// NULL if it does not know. It is asked before anything is changed; the first of several that knows is believed.
    #[must_use]
    pub const fn tells(self, query: &'static str) -> Self {
        Self { tells: Some(query), ..self }
    }
}

/// What a database needs of an operation type.
pub trait Persist: Operation {
    /// The tables that its statements need, beside the ledger.
    const MIGRATIONS: &'static [Migration];
    /// The statements of each operation on SQLite, in the order of [`Operation::SPECS`]; see
    /// [`Definition::SQLITE`].
    const SQLITE: &'static [&'static str];
    /// What each operation keeps for a time only; see [`Definition::SWEEPS`].
    const SWEEPS: &'static [&'static [Sweep]];
    /// What each operation knows of how its tables must be; see [`Definition::CHECKS`].
    const CHECKS: &'static [&'static [Check]];
}

/// One operation: everything about it, in one file.
pub trait Definition: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// What comes back: [`Done`] for an acknowledgement.
    type Answer: Serialize + DeserializeOwned + Send + 'static;
    /// Name, subject, kind.
    const SPEC: Spec;
    /// Its statements on SQLite.
    ///
    /// *Events and calls*: statements, each ended by `;`, that run inside the batch's transaction. `$1` is the
    /// batch, `$2` the batch as JSON, `$3` the host's time in unix milliseconds, `$4` the most bytes of an answer that is a
    /// list. The rows of this operation are
    /// `jsonb_each($2, '$.NAME')`, each `[id, occurred_at, payload]`; only those that join `ledger` on the id
    /// *and* `ledger.batch = $1` are new and may take effect. A call that answers sets `ledger.answer`, which a
    /// repeated request is answered from; or it returns rows `(id, answer as JSON)`, for repeated requests as well as
    /// for new ones. An event has no answer.
    ///
    /// Parameters are written `$1`, never `?1`.
    ///
    /// *Queries*: one `SELECT` of one row, the answer as JSON. `$1` is the payload, `$2` the host's time, `$3` the most bytes
    /// of an answer that is a list: from a longer one the first entries are cut off. A second column says how many entries
    /// the statement has left out itself, for lists that may be so long that they should not even be put together.
    const SQLITE: &'static str;
    /// What is kept for a time only, of the tables that this operation is the keeper of.
    const SWEEPS: &'static [Sweep] = &[];
    /// How its tables must be, for `verify`: derived columns worked out again, and for each row of the ledger its
    /// effect.
    const CHECKS: &'static [Check] = &[];

    /// Whether its values may be taken: lengths, ranges, no NUL.
    ///
    /// # Errors
    /// A sentence that says what is wrong with which field.
    fn check(&self) -> Result<(), Invalid>;
}

/// An operation that an enum of operations knows: lets the typed client take the answer out again.
pub trait Member: Definition {
    /// The enum.
    type Whole: Operation + From<Self>;
    /// This operation's answer, if it is one.
    fn answer(whole: <Self::Whole as Operation>::Answer) -> Option<Self::Answer>;
}

/// The answer of an operation that has nothing to say: `{}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Done {}

/// Writes one operation as JSON, checked. For [`operations!`](crate::operations).
///
/// # Errors
/// As [`Operation::encode`].
pub fn encode<D: Definition>(op: &D) -> Result<Vec<u8>, Invalid> {
    op.check()?;
    let json = serde_json::to_vec(op).map_err(|e| Invalid(format!("{}: {e}", D::SPEC.name).into()))?;
    within_limit(D::SPEC.name, json.len())?;
    Ok(json)
}

/// Reads one operation from JSON, checked. Nothing at all counts as `{}`. For [`operations!`](crate::operations).
///
/// # Errors
/// As [`Operation::decode`].
pub fn decode<D: Definition>(payload: &[u8]) -> Result<D, Invalid> {
    let name = D::SPEC.name;
    within_limit(name, payload.len())?;
    let payload = if payload.trim_ascii().is_empty() { b"{}" } else { payload };
    if payload.trim_ascii_start().first() != Some(&b'{') {
        return Err(Invalid(format!("{name}: the payload is not a JSON object").into()));
    }
    let op: D = serde_json::from_slice(payload).map_err(|e| Invalid(format!("{name}: {e}").into()))?;
    op.check()?;
    Ok(op)
}

fn within_limit(name: &str, bytes: usize) -> Result<(), Invalid> {
    if bytes <= MAX_PAYLOAD {
        return Ok(());
    }
    Err(Invalid(format!("{name}: {bytes} bytes of payload, at most {MAX_PAYLOAD} are taken").into()))
}

/// Ties operations into one type: an enum of them, an enum of their answers, and everything the stack asks.
///
/// ```
/// use rosey::operation::{Definition, Done, Invalid, Migration, Spec};
/// use serde::{Deserialize, Serialize};
///
/// /// Puts a line on the list.
/// #[derive(Debug, Serialize, Deserialize)]
/// pub struct Add {
///     text: String,
/// }
///
/// impl Definition for Add {
///     type Answer = Done;
///     const SPEC: Spec = Spec::event("add", "todo.add");
///     const SQLITE: &'static str = "
///         INSERT INTO todo (op_id, text)
///         SELECT l.id, r.value ->> '$[2].text'
///         FROM jsonb_each($2, '$.add') r CROSS JOIN ledger l ON l.id = r.value ->> 0 AND l.batch = $1;";
///     fn check(&self) -> Result<(), Invalid> {
///         if self.text.is_empty() { Err("text: is empty".into()) } else { Ok(()) }
///     }
/// }
///
/// const TABLES: &[Migration] =
///     &[Migration::new(10, "todo", "CREATE TABLE todo (op_id TEXT PRIMARY KEY, text TEXT NOT NULL)")];
///
/// rosey::operations! {
///     /// All that a to-do list can do.
///     pub enum Todo -> TodoAnswer in "todo" with TABLES { Add(Add) }
/// }
/// ```
#[macro_export]
macro_rules! operations {
    ($(#[$doc:meta])* $vis:vis enum $op:ident -> $answer:ident in $service:literal with $migrations:path { $($name:ident($ty:ty)),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug)]
        $vis enum $op { $(#[doc = concat!("The operation [`", stringify!($name), "`].")] $name($ty)),+ }

        #[doc = concat!("The answer of each operation of [`", stringify!($op), "`].")]
        #[derive(Debug)]
        $vis enum $answer {
            $(#[doc = concat!("Of [`", stringify!($name), "`].")] $name(<$ty as $crate::operation::Definition>::Answer)),+
        }

        $(
            impl From<$ty> for $op {
                fn from(op: $ty) -> Self {
                    Self::$name(op)
                }
            }

            impl $crate::operation::Member for $ty {
                type Whole = $op;
                #[allow(unreachable_patterns)]
                fn answer(whole: $answer) -> Option<Self::Answer> {
                    match whole {
                        $answer::$name(answer) => Some(answer),
                        _ => None,
                    }
                }
            }
        )+

        const _: () = {
            use $crate::operation::{Check, Definition, Invalid, Migration, Operation, Persist, Spec, Sweep};

            impl Persist for $op {
                const MIGRATIONS: &'static [Migration] = $migrations;
                const SQLITE: &'static [&'static str] = &[$(<$ty as Definition>::SQLITE),+];
                const SWEEPS: &'static [&'static [Sweep]] = &[$(<$ty as Definition>::SWEEPS),+];
                const CHECKS: &'static [&'static [Check]] = &[$(<$ty as Definition>::CHECKS),+];
            }

            const _: () = $crate::operation::validate(<$op as Operation>::SPECS, <$op as Persist>::SQLITE);
            const _: () = $crate::operation::validate_upkeep(<$op as Persist>::SWEEPS, <$op as Persist>::CHECKS);

            #[repr(usize)]
            enum Index { $($name),+ }

            impl Operation for $op {
                type Answer = $answer;
                const SERVICE: &'static str = $service;
                const SPECS: &'static [Spec] = &[$(<$ty as Definition>::SPEC),+];
                const NAMES: &'static [&'static str] = &[$(<$ty as Definition>::SPEC.name),+];

                fn index(&self) -> usize {
                    match self { $(Self::$name(_) => Index::$name as usize),+ }
                }

                fn encode(&self) -> Result<Vec<u8>, Invalid> {
                    match self { $(Self::$name(op) => $crate::operation::encode(op)),+ }
                }

                fn decode(index: usize, payload: &[u8]) -> Result<Self, Invalid> {
                    $(if index == Index::$name as usize {
                        return $crate::operation::decode::<$ty>(payload).map(Self::$name);
                    })+
                    Err("no such operation".into())
                }

                fn encode_answer(answer: &$answer) -> Result<Vec<u8>, Invalid> {
                    match answer { $($answer::$name(answer) => $crate::operation::encode_json(answer)),+ }
                }

                fn decode_answer(index: usize, json: &[u8]) -> Result<$answer, Invalid> {
                    $(if index == Index::$name as usize {
                        return $crate::operation::decode_json(json).map($answer::$name);
                    })+
                    Err("no such operation".into())
                }
            }
        };
    };
}

/// JSON of an answer. For [`operations!`](crate::operations).
///
/// # Errors
/// When it cannot be written as JSON.
pub fn encode_json<T: Serialize>(answer: &T) -> Result<Vec<u8>, Invalid> {
    serde_json::to_vec(answer).map_err(|e| Invalid(e.to_string().into()))
}

/// An answer from JSON. For [`operations!`](crate::operations).
///
/// # Errors
/// When it is not such an answer.
pub fn decode_json<T: DeserializeOwned>(json: &[u8]) -> Result<T, Invalid> {
    serde_json::from_slice(json).map_err(|e| Invalid(format!("the answer cannot be read: {e}").into()))
}
