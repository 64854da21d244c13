//! The wire contract of one operation.

use std::time::Duration;

/// What an operation does to the database, and so what its sender waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Changes state; needs an acknowledgement. May be stored in a stream.
    Event,
    /// Changes state and answers after the commit. Never stored in a stream.
    Call,
    /// Reads, and changes nothing.
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
    pub stamped: bool,
    /// How old a request may be when it reaches the database, by the clocks of its sender and of the database's host; an
    /// older one is refused as `clock`.
    pub max_age: Option<Duration>,
    /// Whether it hands out something that is free, if there is anything; see [`claim`](Self::claim).
    pub claim: bool,
    /// The answer of one that has nothing to say: `{}`, or `[]` where the answer is a list.
    pub empty_answer: &'static str,
    /// A payload as it may be sent, for help and for trying out.
    pub example: &'static str,
    /// The body of a refusal, of its code and its sentence; see [`refused`](Self::refused).
    pub refusal: fn(&str, &str) -> String,
}

/// `{"success": false, "error": "…", "code": "…"}`.
pub(crate) fn usual_refusal(code: &str, sentence: &str) -> String {
    serde_json::json!({"success": false, "error": sentence, "code": code}).to_string()
}

impl Spec {
    const fn new(kind: Kind, name: &'static str, subject: &'static str) -> Self {
        let stamped = !matches!(kind, Kind::Query);
        Self {
            name,
            subject,
            kind,
            stamped,
            max_age: None,
            claim: false,
            empty_answer: "{}",
            example: "{}",
            refusal: usual_refusal,
        }
    }

    /// An event: acknowledged, stamped.
    #[must_use]
    pub const fn event(name: &'static str, subject: &'static str) -> Self {
        Self::new(Kind::Event, name, subject)
    }

    /// A call: answered after the commit, stamped.
    #[must_use]
    pub const fn call(name: &'static str, subject: &'static str) -> Self {
        Self::new(Kind::Call, name, subject)
    }

    /// A query: reads only, not stamped.
    #[must_use]
    pub const fn query(name: &'static str, subject: &'static str) -> Self {
        Self::new(Kind::Query, name, subject)
    }

    /// The same without `timestamp` in the payload.
    #[must_use]
    pub const fn unstamped(self) -> Self {
        Self { stamped: false, ..self }
    }

    /// The same, refused when it is older than this many seconds.
    #[must_use]
    pub const fn max_age(self, seconds: u64) -> Self {
        Self { max_age: Some(Duration::from_secs(seconds)), ..self }
    }

    /// The same call as a claim: it hands out what is free, and mostly finds nothing. A claim whose statements change
    /// nothing leaves no row in the ledger, and the answer is not kept but read again for a repeated request, so that a
    /// late repeat is told only what it still holds.
    ///
    /// **A claim needs a lease that ends by itself.** A call that is late runs on both paths, and a message of it may arrive when
    /// its caller has an answer already: the one that found nothing has left no row in the ledger, so the other one takes what is
    /// free by then, for the same id, and no caller gets it. The same is left by a caller that ends before it reports. So the statements
    /// hand out for a time, by the clock of the database, and free what was not reported on by then; and
    /// [`max_age`](Self::max_age) refuses a claim whose caller cannot be waiting any more.
    #[must_use]
    pub const fn claim(self) -> Self {
        Self { claim: true, ..self }
    }

    /// The same with a list for an answer.
    #[must_use]
    pub const fn list(self) -> Self {
        Self { empty_answer: "[]", ..self }
    }

    /// The same with a payload as it may be sent.
    #[must_use]
    pub const fn example(self, example: &'static str) -> Self {
        Self { example, ..self }
    }

    /// The same with another body of a refusal, for peers that read no headers: JSON, of the code's name and a sentence of one line.
    /// A list stays a list.
    #[must_use]
    pub const fn refused(self, body: fn(&str, &str) -> String) -> Self {
        Self { refusal: body, ..self }
    }

    /// Whether this is its subject, in whatever [namespace](crate::Namespace).
    #[must_use]
    pub fn is_subject(&self, subject: &str) -> bool {
        subject.strip_suffix(self.subject).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    }

    /// Whether its answer is a list.
    #[must_use]
    pub const fn answer_is_list(&self) -> bool {
        self.empty_answer.as_bytes()[0] == b'['
    }

    /// Whether it changes the database.
    #[must_use]
    pub const fn writes(&self) -> bool {
        !matches!(self.kind, Kind::Query)
    }
}
