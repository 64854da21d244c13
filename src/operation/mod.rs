//! What an operation is: its contract, its checks, and its effect.
//!
//! An operation is a type that implements [`Definition`] (statements) or `Apply` (a function). A set of them is an enum
//! made by [`operations!`](crate::operations).
//!
//! ```
//! use eitherway::operation::{Definition, Done, Spec};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, Serialize, Deserialize)]
//! pub struct Add {
//!     text: String,
//! }
//!
//! impl Definition for Add {
//!     type Answer = Done;
//!     const SPEC: Spec = Spec::event("add", "todo.add");
//!     const STATEMENTS: &'static [&'static str] =
//!         &["INSERT INTO todo (op_id, text) SELECT id, op ->> 'text' FROM new"];
//! }
//! ```

#[cfg(feature = "sqlite")]
mod apply;
pub(crate) mod definition;
mod derived;
mod dialect;
mod macros;
mod migration;
#[cfg(all(doctest, feature = "sqlite"))]
mod refused;
mod spec;
mod tx;
#[cfg(feature = "sqlite")]
mod tx_on;
mod upkeep;
pub(crate) mod validate;

use std::borrow::Cow;

#[doc(hidden)]
pub use serde_json::value::RawValue;

pub use crate::cause::Refusal;
use crate::cause::{Cause, Code};

#[cfg(feature = "sqlite")]
pub use apply::Apply;
pub use definition::{Definition, Done, Forwarded, OperationOf};
#[cfg(feature = "sqlite")]
pub(crate) use definition::{decode, encode_json};
pub use derived::Derived;
pub use dialect::{Dialect, Keys};
pub use migration::{Deriving, Migration};
#[cfg(feature = "nats")]
pub(crate) use spec::usual_refusal;
pub use spec::{Kind, Spec};
pub use tx::{ApplyError, ApplyFn, Tx};
#[cfg(feature = "sqlite")]
pub use tx_on::TxOn;
#[cfg(feature = "sqlite")]
pub(crate) use tx_on::{Guard, Seen};
pub use upkeep::{Fold, Invariant, RetentionRule};
#[cfg(feature = "sqlite")]
pub(crate) use validate::validate_set;

/// The largest payload of an operation, in bytes of JSON.
pub const MAX_PAYLOAD: usize = 256 * 1024;

/// Why a payload is refused: a sentence for its sender.
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
    type Answer: Clone + Send + Sync + 'static;
    /// The name of the service that serves it: its queue group, and the first part of its own subjects
    /// (`SERVICE.ping`).
    const SERVICE: &'static str = "eitherway.db";
    /// The name of the stream that takes its events where JetStream is used: the first part of
    /// [`SERVICE`](Self::SERVICE) in capitals (`todo.db` works on `TODO`). Two services of one NATS account whose names
    /// begin alike need names of their own here.
    #[must_use]
    fn stream() -> String {
        Self::SERVICE.split('.').next().unwrap_or(Self::SERVICE).to_ascii_uppercase()
    }
    /// What the subjects begin with on which its dead letters are announced: beside [`SERVICE`](Self::SERVICE), `todo.dlq` of
    /// `todo.db`, and `todo-dlq` of `todo`. Nothing below `SERVICE` can be used.
    #[must_use]
    fn dead_letters() -> String {
        match Self::SERVICE.rsplit_once('.') {
            Some((before, _)) => format!("{before}.dlq"),
            None => format!("{}-dlq", Self::SERVICE),
        }
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
    /// `timestamp` of its own where [`Spec::stamped`] adds one.
    ///
    /// # Errors
    /// When a check refuses it, or it is larger than [`MAX_PAYLOAD`].
    fn encode(&self) -> Result<Vec<u8>, Invalid>;
    /// What SQL sees in `op` beside the payload; see [`Definition::derive`].
    fn derive(&self, fields: &mut Derived) {
        let _ = fields;
    }
    /// Reads and checks a payload. Unknown fields are ignored.
    ///
    /// # Errors
    /// When it is not a JSON object of the right form, or a check refuses it.
    fn decode(index: usize, payload: &[u8]) -> Result<Self, Invalid>;
    /// The answer as JSON.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    fn encode_answer(answer: Self::Answer) -> Result<Vec<u8>, Invalid>;
    /// Reads the answer of the operation `index`.
    ///
    /// # Errors
    /// When it is not such an answer.
    fn decode_answer(index: usize, json: &[u8]) -> Result<Self::Answer, Invalid>;
    /// The answer of the operation `index` for a requester who forwards it
    /// ([`Request::received`](crate::Request::received)): as it is written, not read, so that
    /// [`encode_answer`](Self::encode_answer) gives the same bytes. Without a form for that it is read.
    ///
    /// # Errors
    /// Those of [`decode_answer`](Self::decode_answer), where it is read.
    #[allow(clippy::boxed_local)] // what is forwarded keeps the box
    fn forward_answer(index: usize, json: Box<RawValue>) -> Result<Self::Answer, Invalid> {
        Self::decode_answer(index, json.get().as_bytes())
    }
}

/// What a database needs of an operation type.
pub trait Persist: Operation {
    /// The tables that its statements need, beside the ledger.
    const MIGRATIONS: &'static [Migration];
    /// What each operation changes, in the order of [`Operation::SPECS`]; see [`Definition::STATEMENTS`].
    const STATEMENTS: &'static [&'static [&'static str]];
    /// What each operation answers; see [`Definition::ANSWER`].
    const ANSWERS: &'static [&'static str];
    /// How each operation without statements is applied; see [`Apply`].
    const APPLY: &'static [Option<ApplyFn>];
    /// What each operation keeps for a time only; see [`Definition::SWEEPS`].
    const SWEEPS: &'static [&'static [RetentionRule]];
    /// How what each operation appends is folded; see [`Definition::FOLDS`].
    const FOLDS: &'static [&'static [Fold]];
    /// What each operation knows of how its tables must be; see [`Definition::CHECKS`].
    const CHECKS: &'static [&'static [Invariant]];
    /// The tables on PostgreSQL: the same statements, if nothing else is said.
    const POSTGRES_MIGRATIONS: &'static [Migration] = Self::MIGRATIONS;
    /// What each operation says otherwise there; see [`Definition::POSTGRES`].
    const POSTGRES: &'static [Dialect];
    /// The name of their schema on PostgreSQL, and what those of namespaces begin with: the first part of
    /// [`SERVICE`](Operation::SERVICE) (`todo.db` is in `todo`). 40 bytes at most, of `a-z`, `0-9` and `_`.
    #[must_use]
    fn schema() -> String {
        let service = Self::SERVICE.split('.').next().unwrap_or(Self::SERVICE);
        service.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_")
    }
}
