//! One operation: everything about it, in one file.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::tx::ApplyFn;
use super::{Derived, Dialect, Fold, Invalid, Invariant, MAX_PAYLOAD, Operation, RetentionRule, Spec};

/// One operation: everything about it, in one file.
pub trait Definition: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// What comes back: [`Done`] for an acknowledgement.
    type Answer: Serialize + DeserializeOwned + Clone + Send + Sync + 'static;
    /// Name, subject, kind.
    const SPEC: Spec;
    /// What an event or a call changes: statements, each one `INSERT`, `UPDATE` or `DELETE`, over the rows
    ///
    /// | source | columns |
    /// |---|---|
    /// | `new` | `id`, `at` (unix milliseconds), `op` (the payload): the requests of this operation that the transaction brings, each for the first time |
    /// | `host` | `now` (unix milliseconds), `answer_bytes` (the most bytes of an answer that is a list): one row |
    ///
    /// `INSERT INTO todo (op_id, text) SELECT id, op ->> 'text' FROM new` is a whole effect. An id is in `new` in one
    /// committed transaction and in no other, and the statements run in no transaction in which `new` is empty: whatever
    /// they say, a request takes effect once. They run once for all rows of `new`, so an effect is one *of each row*.
    ///
    /// A statement that reads `new` nowhere, that binds a parameter, reads or writes the ledger, returns rows, or is not one
    /// statement, is refused when the database is opened, as is one that SQLite refuses.
    const STATEMENTS: &'static [&'static str] = &[];
    /// What is answered: one `SELECT` over `host` and the rows `asked`, of the columns of `new`.
    ///
    /// *A call*: rows of two columns, the id and the answer as JSON. It runs behind the statements, and what it says is kept
    /// in the ledger and given again to the same request (but see [`Spec::claim`]).
    ///
    /// *A query*: one row, the answer as JSON; `asked` has one row. Of a list that is longer than `answer_bytes` the first
    /// entries are cut off. A second column says how many entries the statement has left out itself, for lists that may be
    /// so long that they should not even be put together.
    ///
    /// No row, or NULL, is "not found": `None` where the answer is an `Option`, no entries where it is a list, and else the
    /// error `not_found`.
    const ANSWER: &'static str = "";
    /// How what it appends gets into the rows that are derived from it.
    const FOLDS: &'static [Fold] = &[];
    /// What is kept for a time only, of the tables that this operation is the keeper of.
    const SWEEPS: &'static [RetentionRule] = &[];
    /// How its tables must be, for `verify`: derived columns worked out again, and for each request that was
    /// applied its effect.
    const CHECKS: &'static [Invariant] = &[];
    /// What of this PostgreSQL is told otherwise, and which rows it shares with others there.
    const POSTGRES: Dialect = Dialect::SAME;

    /// Whether its values are accepted: lengths, ranges, no NUL. The default accepts all of them.
    ///
    /// # Errors
    /// A sentence that says what is wrong with which field.
    fn check(&self) -> Result<(), Invalid> {
        Ok(())
    }

    /// What its SQL sees in `op` beside the payload, worked out from it: the key by which a name is compared, for example. It is
    /// neither sent nor part of what an id stands for, and is worked out anew by each program that applies a request. The default
    /// adds nothing, and costs nothing.
    fn derive(&self, fields: &mut Derived) {
        let _ = fields;
    }

    /// How it is applied where it has no statements; see [`Apply`](super::Apply).
    #[doc(hidden)]
    const APPLY: Option<ApplyFn> = None;
}

/// An operation that an enum of operations knows: lets the typed client take the answer out again.
pub trait OperationOf: Definition {
    /// The set that it belongs to.
    type Set: Operation + From<Self>;
    /// This operation's answer, if it is one.
    fn answer(whole: <Self::Set as Operation>::Answer) -> Option<Self::Answer>;
}

/// The answer of an operation that has nothing to say: `{}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct Done {}

/// An answer as its database has written it: of a request that a service forwards, which reads no answer. Its JSON is
/// valid, and has the form that the operation promises as far as the text of the operation keeps that promise.
#[derive(Clone, Debug)]
pub struct Forwarded(Box<RawValue>);

impl Forwarded {
    /// An answer that is forwarded.
    #[must_use]
    pub const fn new(json: Box<RawValue>) -> Self {
        Self(json)
    }

    /// Its JSON.
    #[must_use]
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// The same, without a copy.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        String::from(Box::<str>::from(self.0)).into_bytes()
    }
}

/// Writes one operation as JSON, checked.
///
/// # Errors
/// As [`Operation::encode`].
pub fn encode<D: Definition>(op: &D) -> Result<Vec<u8>, Invalid> {
    op.check()?;
    let json = serde_json::to_vec(op).map_err(|e| Invalid(format!("{}: {e}", D::SPEC.name).into()))?;
    within_limit(D::SPEC.name, json.len())?;
    Ok(json)
}

/// Reads one operation from JSON, checked. Nothing at all counts as `{}`.
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

/// JSON of an answer.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn encode_json<T: Serialize>(answer: &T) -> Result<Vec<u8>, Invalid> {
    serde_json::to_vec(answer).map_err(|e| Invalid(e.to_string().into()))
}

/// An answer from JSON.
///
/// # Errors
/// When it is not such an answer.
pub fn decode_json<T: DeserializeOwned>(json: &[u8]) -> Result<T, Invalid> {
    serde_json::from_slice(json).map_err(|e| Invalid(format!("the answer cannot be read: {e}").into()))
}
