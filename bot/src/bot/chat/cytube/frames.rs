//! The grammar of a frame: engine.io 4 around socket.io 5, as text.
//!
//! | frame | meaning |
//! |---|---|
//! | `0{…}` | the connection is open; how often the server asks whether we are there |
//! | `1` | it is closed |
//! | `2`, `3` | a question whether we are there, the answer |
//! | `40`, `44{…}` | we are let in, or not |
//! | `41` | we are put out |
//! | `42["name",data]`, `427["name",data]` | an event; the second one is to be confirmed with `437[]` |

use std::fmt;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize as Derived, Serialize};
use serde_json::value::RawValue;

/// What is read of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    Open(Open),
    Ping,
    Connected,
    Refused(String),
    Closed,
    Event(Event<'a>),
    /// It means nothing to us.
    Other,
}

/// How long the server may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) silent: Duration,
}

/// An event, and its first argument as JSON.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Event<'a> {
    pub(super) name: String,
    pub(super) data: &'a str,
    /// The number with which it is to be confirmed.
    pub(super) ack: Option<&'a str>,
}

impl<'a> Frame<'a> {
    pub(super) fn parse(text: &'a str) -> Self {
        let mut chars = text.chars();
        match chars.next() {
            Some('0') => serde_json::from_str::<Greeting>(chars.as_str())
                .map_or(Self::Other, |greeting| Self::Open(greeting.into())),
            Some('1') => Self::Closed,
            Some('2') => Self::Ping,
            Some('4') => Self::packet(chars.as_str()),
            _ => Self::Other,
        }
    }

    fn packet(text: &'a str) -> Self {
        let mut chars = text.chars();
        let kind = chars.next();
        let rest = chars.as_str();
        let rest = match rest.strip_prefix('/').map(|rest| rest.split_once(',').unwrap_or((rest, ""))) {
            None => rest,
            Some(("", rest)) => rest,
            // Another namespace.
            Some(_) => return Self::Other,
        };
        match kind {
            Some('0') => Self::Connected,
            Some('1') => Self::Closed,
            Some('2') => Self::event(rest),
            Some('4') => {
                let refusal = serde_json::from_str::<Refusal>(rest).map(|refusal| refusal.message);
                Self::Refused(refusal.unwrap_or_else(|_| "it does not say why".to_owned()))
            }
            _ => Self::Other,
        }
    }

    fn event(rest: &'a str) -> Self {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, json) = rest.split_at(digits);
        match serde_json::from_str::<Arguments<'a>>(json) {
            Ok(Arguments { name, data }) => Self::Event(Event {
                name,
                data: data.map_or("null", RawValue::get),
                // A longer one is no number of a server.
                ack: Some(number).filter(|number| (1..=20).contains(&number.len())),
            }),
            Err(_) => Self::Other,
        }
    }
}

/// The answer to a ping.
pub(super) const PONG: &str = "3";
/// The wish to be let in.
pub(super) const CONNECT: &str = "40";

/// An event of ours.
pub(super) fn event(name: &str, data: &impl Serialize) -> String {
    // What we send has neither maps with odd keys nor numbers that JSON lacks.
    let json = serde_json::to_string(&(name, data)).unwrap_or_default();
    format!("42{json}")
}

/// The confirmation of an event.
pub(super) fn ack(number: &str) -> String {
    format!("43{number}[]")
}

#[derive(Derived)]
#[serde(rename_all = "camelCase")]
struct Greeting {
    #[serde(default = "usual_interval")]
    ping_interval: u64,
    #[serde(default = "usual_timeout")]
    ping_timeout: u64,
}

const fn usual_interval() -> u64 {
    25_000
}

const fn usual_timeout() -> u64 {
    20_000
}

impl From<Greeting> for Open {
    /// A server that wants less than a second, or more than ten minutes, is not believed.
    fn from(greeting: Greeting) -> Self {
        let millis = greeting.ping_interval.saturating_add(greeting.ping_timeout);
        Self { silent: Duration::from_millis(millis.clamp(1_000, 600_000)) }
    }
}

#[derive(Derived)]
struct Refusal {
    message: String,
}

struct Arguments<'a> {
    name: String,
    data: Option<&'a RawValue>,
}

impl<'de> Deserialize<'de> for Arguments<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Arguments<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list that begins with the name of an event")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let name = list.next_element()?.ok_or_else(|| serde::de::Error::invalid_length(0, &self))?;
                let data = list.next_element()?;
                // What follows is not kept.
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Arguments { name, data })
            }
        }
        deserializer.deserialize_seq(List)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event_of<'a>(name: &str, data: &'a str, ack: Option<&'a str>) -> Frame<'a> {
        Frame::Event(Event { name: name.to_owned(), data, ack })
    }

    #[test]
    fn the_frames_of_a_session_are_read() {
        let open =
            r#"0{"sid":"x","upgrades":[],"pingInterval":25000,"pingTimeout":120000,"maxPayload":1048576}"#;
        assert_eq!(Frame::parse(open), Frame::Open(Open { silent: Duration::from_secs(145) }));
        assert_eq!(Frame::parse("2"), Frame::Ping);
        assert_eq!(Frame::parse(r#"40{"sid":"y"}"#), Frame::Connected);
        assert_eq!(Frame::parse("41"), Frame::Closed);
        assert_eq!(Frame::parse(r#"44{"message":"no"}"#), Frame::Refused("no".to_owned()));
        assert_eq!(Frame::parse(r#"42["usercount",3]"#), event_of("usercount", "3", None));
        assert_eq!(Frame::parse(r#"42["clearchat"]"#), event_of("clearchat", "null", None));
        assert_eq!(
            Frame::parse(r#"4217["x",{"a":[1]},2]"#),
            event_of("x", r#"{"a":[1]}"#, Some("17")),
            "to be confirmed"
        );
        assert_eq!(Frame::parse(r#"42/,["x",1]"#), event_of("x", "1", None), "the root by its name");
    }

    #[test]
    fn what_is_no_frame_is_none() {
        for odd in
            ["", "4", "42", "42[", "42[]", "42[1]", "42{}", "42/admin,[\"x\"]", "9", "0", "é", "43[]", "4é"]
        {
            assert_eq!(Frame::parse(odd), Frame::Other, "{odd}");
        }
        assert_eq!(Frame::parse("0{}"), Frame::Open(Open { silent: Duration::from_secs(45) }));
        let huge = r#"0{"pingInterval":18446744073709551615,"pingTimeout":9}"#;
        assert_eq!(Frame::parse(huge), Frame::Open(Open { silent: Duration::from_secs(600) }));
    }

    #[test]
    fn what_we_say_is_a_frame() {
        let said = event("chatMsg", &serde_json::json!({"msg": "a \"b\"", "meta": {}}));
        assert_eq!(said, r#"42["chatMsg",{"meta":{},"msg":"a \"b\""}]"#);
        assert_eq!(ack("17"), "4317[]");
    }
}
