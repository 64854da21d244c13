//! Normalised events: what happens in a channel, on any network.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;

use crate::op::{MessageLog, StatusUpdate, UserCount, UserJoined, UserLeft};
use eitherway::clock;
use eitherway::operation::Definition;
use eitherway::request::{Head, OpId};

/// Recorded times from this value on are in milliseconds; as seconds it would be the year 5138.
const MILLISECONDS_FROM: f64 = 1e11;

/// An event, with the time and the identity assigned when it was read.
#[derive(Clone, Debug)]
pub struct Event {
    /// What happened.
    pub body: Body,
    stamp: Stamp,
}

impl Event {
    /// An event with the given stamp.
    pub const fn new(body: Body, stamp: Stamp) -> Self {
        Self { body, stamp }
    }

    /// An event that happens now and that its network does not identify.
    pub fn now(body: Body) -> Self {
        Self::new(body, Stamp::now())
    }

    /// The kind of the event.
    pub const fn kind(&self) -> Kind {
        self.body.kind()
    }

    /// Whether the network identifies the event. Such an event may be read again, and must then yield the
    /// same operations.
    pub const fn is_identified(&self) -> bool {
        matches!(self.stamp.identity, Identity::Known { .. })
    }

    /// When the event happened, in unix milliseconds.
    pub const fn occurred_at(&self) -> i64 {
        self.stamp.occurred_at
    }

    /// The head of the operation `name` derived from this event, at the event's time.
    ///
    /// If the network identifies the event, the id is derived only from that identity and `name`: the same
    /// event read again yields the same operations, whatever the clock says by then. Two operations of one
    /// event need two names; a name may be any string (`user_joined/alice`). For an event without identity,
    /// the operation that the event *is* (`user_joined` for a join) gets the id taken when the event was
    /// read, so that events of one millisecond keep the order in which they were read. Every other operation
    /// gets a fresh id.
    pub fn head(&self, name: &str) -> Head {
        self.head_at(name, self.stamp.occurred_at)
    }

    /// As [`head`](Self::head), at another time in unix milliseconds.
    pub fn head_at(&self, name: &str, occurred_at: i64) -> Head {
        let id = match &self.stamp.identity {
            Identity::Known { source, id } => OpId::of_parts(&[source, id, name]),
            Identity::Unknown { id } if self.kind().operation() == Some(name) => id.clone(),
            Identity::Unknown { .. } => OpId::new(),
        };
        Head { id, ..Head::at(occurred_at) }
    }
}

/// The time and the identity of an event. Assigned when the event is read.
#[derive(Clone, Debug)]
pub struct Stamp {
    occurred_at: i64,
    identity: Identity,
}

#[derive(Clone, Debug)]
enum Identity {
    /// The network identifies the event as `id`; `source` distinguishes the ids of different networks.
    Known { source: Arc<str>, id: Box<str> },
    /// The network does not identify the event; this id was taken when it was read.
    Unknown { id: OpId },
}

impl Stamp {
    /// The stamp of an event that happens now: never before the last event that this process has stamped.
    pub fn now() -> Self {
        Self::at(clock::issue())
    }

    /// The stamp of an event that happened at `occurred_at`, in unix milliseconds.
    pub fn at(occurred_at: i64) -> Self {
        Self { occurred_at, identity: Identity::Unknown { id: OpId::new() } }
    }

    /// The same stamp for an event that the network `source` identifies as `id`.
    #[must_use]
    pub fn identified(self, source: impl Into<Arc<str>>, id: impl Into<Box<str>>) -> Self {
        Self { identity: Identity::Known { source: source.into(), id: id.into() }, ..self }
    }
}

/// Converts a recorded time to unix milliseconds: seconds, with an optional fraction, or already
/// milliseconds. `None` if the number is not positive; the event then happens when it is read.
pub fn recorded_time(number: f64) -> Option<i64> {
    let millis = if number >= MILLISECONDS_FROM { number } else { (number * 1000.0).round() };
    // The cast saturates: an absurd time stays absurd, and the database refuses it.
    (millis >= 1.0).then_some(millis as i64)
}

/// What a network knows about a user. Fields that it does not send have their defaults.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct UserData {
    /// The user's name.
    #[serde(alias = "name")]
    pub username: String,
    /// The user's rank; some networks use fractions.
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
    ($($(#[$doc:meta])* $kind:ident $({ $($(#[$fdoc:meta])* $field:ident: $ty:ty),+ $(,)? })? = $name:literal $(makes $op:ident)?;)+) => {
        /// The content of an event.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Body {
            $($(#[$doc])* $kind $({ $($(#[$fdoc])* $field: $ty),+ })?,)+
        }

        /// The kind of an event, for which handlers are registered.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind {
            $($(#[$doc])* $kind,)+
        }

        impl Body {
            /// The kind of this event.
            pub const fn kind(&self) -> Kind {
                match self { $(Self::$kind { .. } => Kind::$kind),+ }
            }
        }

        impl Kind {
            /// All kinds.
            pub const ALL: &'static [Self] = &[$(Self::$kind),+];

            /// The name of the kind in recordings, logs and counts.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$kind => $name),+ }
            }

            /// The operation that an event of this kind *is*, if there is one; see [`Event::head`].
            const fn operation(self) -> Option<&'static str> {
                match self { $(Self::$kind => kinds!(@operation $($op)?)),+ }
            }
        }
    };
    (@operation) => { None };
    (@operation $op:ident) => { Some($op::SPEC.name) };
}

kinds! {
    /// The bot has connected to the channel.
    Connect = "connect" makes StatusUpdate;
    /// The bot has lost the channel.
    Disconnect {
        /// The reason, if the network gives one.
        reason: Option<String>,
    } = "disconnect" makes StatusUpdate;
    /// The bot was kicked.
    Kicked {
        /// The reason, if the network gives one.
        reason: Option<String>,
    } = "kicked" makes StatusUpdate;
    /// A user joined.
    UserJoin {
        /// The user's name.
        user: String,
        /// Everything else the network says about the user.
        user_data: UserData,
    } = "user_join" makes UserJoined;
    /// A user left.
    UserLeave {
        /// The user's name.
        user: String,
    } = "user_leave" makes UserLeft;
    /// A chat line in the channel.
    Message {
        /// The sender's name.
        user: String,
        /// The text of the line; may be empty.
        content: String,
    } = "message" makes MessageLog;
    /// A chat line that was said before the bot came, and that the network repeats. It is logged, and never answered.
    History {
        /// The sender's name.
        user: String,
        /// The text of the line; may be empty.
        content: String,
    } = "history" makes MessageLog;
    /// The number of users.
    UserCount {
        /// Users in the chat.
        usercount: u32,
        /// Connections, including anonymous ones, if the network counts them.
        connected: Option<u32>,
    } = "user_count" makes UserCount;
    /// The list of all users in the channel.
    UserList {
        /// The users.
        users: Vec<UserData>,
    } = "user_list";
    /// A private message to the bot.
    Pm {
        /// The sender's name.
        user: String,
        /// The text of the message.
        content: String,
    } = "pm";
    /// A handler failed. Raised by the dispatcher; no network sends it.
    Error {
        /// The kind of the event that was being handled.
        during: Kind,
        /// The handler's name.
        handler: &'static str,
        /// What went wrong.
        message: String,
    } = "error";
}

impl Kind {
    /// The number of kinds.
    pub const COUNT: usize = Self::ALL.len();

    /// The index in [`ALL`](Self::ALL).
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
