//! What comes back: the answer, who served it, and how safe it is.

use std::fmt;

use rosey_layers::ServedBy;

/// The path that served a request. Stamped by the leaf service, so it stays true however layers are nested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Via {
    /// Over NATS, by the database service.
    Nats,
    /// On the database itself.
    Db,
    /// By the outbox: kept until one of the others can.
    Outbox,
}

impl Via {
    /// The tags by which logs name the paths, in the order of the variants.
    pub const TAGS: &'static [&'static str] = &["[NATS]", "[DB]", "[OUTBOX]"];

    /// `nats`, `db` or `outbox`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nats => "nats",
            Self::Db => "db",
            Self::Outbox => "outbox",
        }
    }

    /// The tag in logs: `[NATS]`, `[DB]` or `[OUTBOX]`.
    #[must_use]
    pub const fn tag(self) -> &'static str {
        Self::TAGS[self as usize]
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who has taken responsibility for an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ack {
    /// It is committed in the database (an answer to a query: it was read there).
    Committed,
    /// It is stored, in the stream or in the outbox, and is going to be applied.
    Stored,
}

impl Ack {
    /// `committed` or `stored`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Stored => "stored",
        }
    }
}

impl fmt::Display for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A reply to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply<A> {
    /// Who served it.
    pub via: Via,
    /// How safe it is.
    pub ack: Ack,
    /// What came back.
    pub answer: A,
    /// How many entries of a list were left out of the answer, because it would be longer than an answer may be: the
    /// oldest. 0 of anything else.
    pub omitted: u64,
}

impl<A> Reply<A> {
    /// The same reply around another answer.
    pub fn map<B>(self, f: impl FnOnce(A) -> B) -> Reply<B> {
        Reply { via: self.via, ack: self.ack, answer: f(self.answer), omitted: self.omitted }
    }
}

impl<A> ServedBy for Reply<A> {
    const PATHS: &'static [&'static str] = Via::TAGS;

    fn served_by(&self) -> usize {
        self.via as usize
    }
}
