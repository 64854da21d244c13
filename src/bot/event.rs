//! Normalised events: what happens in a channel, whatever network it is on.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;

use crate::clock;
use crate::request::{Head, OpId};

/// Recorded times from here on are milliseconds already; as seconds this would be the year 5138.
const MILLISECONDS_FROM: f64 = 1e11;

/// Something that happened, with the time and the identity it was given when it was read.
#[derive(Clone, Debug)]
pub struct Event {
    /// What happened.
    pub body: Body,
    stamp: Stamp,
}

impl Event {
    /// An event with its stamp.
    pub const fn new(body: Body, stamp: Stamp) -> Self {
        Self { body, stamp }
    }

    /// An event that happens now and that its network does not identify.
    pub fn now(body: Body) -> Self {
        Self::new(body, Stamp::now())
    }

    /// Which kind it is.
    pub const fn kind(&self) -> Kind {
        self.body.kind()
    }

    /// Whether its network identifies it: then it may be read again, and what is made of it must be the same.
    pub const fn is_identified(&self) -> bool {
        matches!(self.stamp.identity, Identity::Known { .. })
    }

    /// When it happened, in unix milliseconds.
    pub const fn occurred_at(&self) -> i64 {
        self.stamp.occurred_at
    }

    /// The head of the operation `name` made of this event, at the event's time.
    ///
    /// If the network identifies the event, the id is derived from that and from `name`, and from nothing else: the
    /// same event read again makes the same operations, whatever the clock says by then. Two operations of one event need two names; a name may be any text
    /// (`user_joined/alice`). An event without identity gives the operation that it *is* (a join its
    /// `user_joined`) the id taken at reading, so that events of one millisecond keep the order in which they
    /// were read, and every other operation a fresh one.
    pub fn head(&self, name: &str) -> Head {
        self.head_at(name, self.stamp.occurred_at)
    }

    /// The same at another time, in unix milliseconds.
    pub fn head_at(&self, name: &str, occurred_at: i64) -> Head {
        let id = match &self.stamp.identity {
            Identity::Known { source, id } => OpId::of_parts(&[source, id, name]),
            Identity::Unknown { id } if self.kind().operation() == Some(name) => id.clone(),
            Identity::Unknown { .. } => OpId::new(),
        };
        Head { id, occurred_at, trace: None }
    }
}

/// When an event happened and which one it is. Made when the event is read.
#[derive(Clone, Debug)]
pub struct Stamp {
    occurred_at: i64,
    identity: Identity,
}

#[derive(Clone, Debug)]
enum Identity {
    /// The network calls it this; `source` keeps the names of two networks apart.
    Known { source: Arc<str>, id: Box<str> },
    /// The network has no name for it; this id was taken when it was read.
    Unknown { id: OpId },
}

impl Stamp {
    /// The stamp of something that happens now: never before anything else that this process has stamped.
    pub fn now() -> Self {
        Self::at(clock::issue())
    }

    /// The stamp of something that happened at `occurred_at`, in unix milliseconds.
    pub fn at(occurred_at: i64) -> Self {
        Self { occurred_at, identity: Identity::Unknown { id: OpId::new() } }
    }

    /// The same for an event that the network `source` calls `id`.
    #[must_use]
    pub fn identified(self, source: impl Into<Arc<str>>, id: impl Into<Box<str>>) -> Self {
        Self { identity: Identity::Known { source: source.into(), id: id.into() }, ..self }
    }
}

/// A recorded time in unix milliseconds: seconds, maybe with a fraction, or milliseconds already. `None` if it
/// says nothing (zero, negative, not a number): the event then happens when it is read.
pub fn recorded_time(number: f64) -> Option<i64> {
    let millis = if number >= MILLISECONDS_FROM { number } else { (number * 1000.0).round() };
    // The cast saturates: a time out of all bounds stays one, and the database refuses it.
    (millis >= 1.0).then_some(millis as i64)
}

/// What a network tells of a user. Fields that it does not tell have their defaults.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct UserData {
    /// The name.
    #[serde(alias = "name")]
    pub username: String,
    /// The rank; some networks have fractions.
    #[serde(default)]
    pub rank: f64,
    /// Whether the user is away.
    #[serde(default)]
    pub is_afk: bool,
    /// Whether the user may moderate.
    #[serde(default)]
    pub is_moderator: bool,
}

impl UserData {
    /// A user of whom only the name is known.
    pub fn named(username: impl Into<String>) -> Self {
        Self { username: username.into(), ..Self::default() }
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident $({ $($(#[$fdoc:meta])* $field:ident: $ty:ty),+ $(,)? })? = $name:literal $(makes $op:literal)?;)+) => {
        /// What happened.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Body {
            $($(#[$doc])* $kind $({ $($(#[$fdoc])* $field: $ty),+ })?,)+
        }

        /// The kind of an event: what handlers are registered for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind {
            $($(#[$doc])* $kind,)+
        }

        impl Body {
            /// Which kind it is.
            pub const fn kind(&self) -> Kind {
                match self { $(Self::$kind { .. } => Kind::$kind),+ }
            }
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$kind),+];

            /// Its name: in recordings, logs and counts.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$kind => $name),+ }
            }

            /// The operation that an event of this kind *is*, if it is one; see [`Event::head`].
            const fn operation(self) -> Option<&'static str> {
                match self { $(Self::$kind => kinds!(@operation $($op)?)),+ }
            }
        }
    };
    (@operation) => { None };
    (@operation $op:literal) => { Some($op) };
}

kinds! {
    /// The bot has come into the channel.
    Connect = "connect" makes "status_update";
    /// The bot has lost the channel.
    Disconnect {
        /// Why, if the network says so.
        reason: Option<String>,
    } = "disconnect" makes "status_update";
    /// The bot was thrown out.
    Kicked {
        /// Why, if the network says so.
        reason: Option<String>,
    } = "kicked" makes "status_update";
    /// A user joined.
    UserJoin {
        /// Who.
        user: String,
        /// What else is known.
        user_data: UserData,
    } = "user_join" makes "user_joined";
    /// A user left.
    UserLeave {
        /// Who.
        user: String,
    } = "user_leave" makes "user_left";
    /// A line was said in the channel.
    Message {
        /// Who said it.
        user: String,
        /// What was said; may be empty.
        content: String,
    } = "message" makes "message_log";
    /// How many there are.
    UserCount {
        /// Users in the chat.
        usercount: u32,
        /// Connections, anonymous ones too, if the network tells.
        connected: Option<u32>,
    } = "user_count" makes "user_count";
    /// Everybody who is there.
    UserList {
        /// The users.
        users: Vec<UserData>,
    } = "user_list";
    /// A user said something to the bot alone.
    Pm {
        /// Who.
        user: String,
        /// What.
        content: String,
    } = "pm";
    /// A handler failed. Made by the dispatcher; no network sends it.
    Error {
        /// The kind of event it was handling.
        during: Kind,
        /// The handler's name.
        handler: &'static str,
        /// What went wrong.
        message: String,
    } = "error";
}

impl Kind {
    /// How many kinds there are.
    pub const COUNT: usize = Self::ALL.len();

    /// Its place in [`ALL`](Self::ALL).
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join() -> Body {
        Body::UserJoin { user: "alice".into(), user_data: UserData::named("alice") }
    }

    #[test]
    fn a_recorded_time_is_seconds_or_milliseconds_or_nothing() {
        assert_eq!(recorded_time(1_700_000_000.0), Some(1_700_000_000_000));
        assert_eq!(recorded_time(1_700_000_000.25), Some(1_700_000_000_250));
        assert_eq!(recorded_time(1_700_000_000_123.0), Some(1_700_000_000_123));
        assert_eq!(recorded_time(1e300), Some(i64::MAX));
        for nothing in [0.0, -5.0, f64::NAN, f64::NEG_INFINITY] {
            assert_eq!(recorded_time(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn an_identified_event_makes_the_same_operations_whenever_it_is_read_and_one_id_for_each() {
        let read = || Event::new(join(), Stamp::at(5_000).identified("jsonl", "e1"));
        assert_eq!(read().head("user_joined").id, read().head("user_joined").id);
        assert_ne!(read().head("user_joined").id, read().head("other").id);
        let other = Event::new(join(), Stamp::at(5_000).identified("jsonl", "e2"));
        assert_ne!(read().head("user_joined").id, other.head("user_joined").id);
        assert_eq!(read().head("user_joined").occurred_at, 5_000);
        let later = Event::new(join(), Stamp::at(6_000).identified("jsonl", "e1"));
        assert_eq!(read().head("user_joined").id, later.head("user_joined").id, "no clock is in it");
        let elsewhere = Event::new(join(), Stamp::at(5_000).identified("irc", "e1"));
        assert_ne!(read().head("user_joined").id, elsewhere.head("user_joined").id);
    }

    #[test]
    fn events_of_one_millisecond_keep_the_order_in_which_they_were_read() {
        let first = Event::new(join(), Stamp::at(5_000));
        let second = Event::new(Body::UserLeave { user: "alice".into() }, Stamp::at(5_000));
        let left = second.head("user_left").id;
        assert!(first.head("user_joined").id < left, "even when the first one asks for its id last");
        assert_ne!(first.head("other").id, first.head("another").id);
    }

    #[test]
    fn every_kind_has_a_name_of_its_own_and_its_place_in_the_list() {
        for (place, kind) in Kind::ALL.iter().enumerate() {
            assert_eq!(kind.index(), place);
            assert_eq!(Kind::ALL.iter().filter(|k| k.as_str() == kind.as_str()).count(), 1);
        }
    }
}
