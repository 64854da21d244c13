//! The headers of the framework, in one table: the name that is sent, and the name that earlier versions have sent, which is
//! only read. Messages in a stream, dead letters in a database and peers of an earlier version have the former names.

/// A header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    /// What it is called.
    pub(crate) name: &'static str,
    /// What it was called.
    former: Option<&'static str>,
}

impl Header {
    const fn new(name: &'static str, former: &'static str) -> Self {
        Self { name, former: Some(former) }
    }

    /// A header that has had one name only.
    #[cfg(feature = "nats")]
    const fn standard(name: &'static str) -> Self {
        Self { name, former: None }
    }

    /// Its names, the one that is sent first.
    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.former)
    }

    /// Whether it has this name, in whatever case.
    #[cfg(feature = "sqlite")]
    pub(crate) fn is(self, name: &str) -> bool {
        self.names().any(|own| own.eq_ignore_ascii_case(name))
    }
}

/// The headers of messages; [`wire`](crate::nats::wire) says what they mean.
#[cfg(feature = "nats")]
mod messages {
    use super::Header;

    pub(crate) const OPERATION_ID: Header = Header::new("Eitherway-Operation-Id", "Rosey-Operation-Id");
    pub(crate) const OCCURRED_AT: Header = Header::new("Eitherway-Occurred-At", "Rosey-Occurred-At");
    pub(crate) const DEADLINE: Header = Header::standard("Eitherway-Deadline");
    pub(crate) const REPLY: Header = Header::new("Eitherway-Reply", "Rosey-Reply");
    pub(crate) const DATABASE: Header = Header::new("Eitherway-Database", "Rosey-Database");
    pub(crate) const TRUNCATED: Header = Header::new("Eitherway-Truncated", "Rosey-Truncated");
    pub(crate) const LOOK: Header = Header::new("Eitherway-Look", "Rosey-Look");
    pub(crate) const REFUSAL: Header = Header::new("Eitherway-Refusal", "Rosey-Refusal");
    pub(crate) const MSG_ID: Header = Header::standard("Nats-Msg-Id");
    pub(crate) const TRACEPARENT: Header = Header::standard("traceparent");
    pub(crate) const TRACESTATE: Header = Header::standard("tracestate");
}

#[cfg(feature = "nats")]
pub(crate) use messages::{
    DATABASE, DEADLINE, LOOK, MSG_ID, OCCURRED_AT, OPERATION_ID, REFUSAL, REPLY, TRACEPARENT, TRACESTATE,
    TRUNCATED,
};

/// Under which a dead letter keeps the bytes of a header that cannot be read, in base64.
#[cfg(feature = "sqlite")]
pub(crate) const UNREAD: Header = Header::new("Eitherway-Header-Base64", "Rosey-Header-Base64");

/// Under which a dead letter that stands for many tells how many.
#[cfg(feature = "sqlite")]
pub(crate) const DROPPED: Header = Header::new("Eitherway-Dropped", "Rosey-Dropped");
