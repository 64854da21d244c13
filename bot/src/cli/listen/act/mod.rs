//! What can be done from the page: each asked for, confirmed on a page of its own, done, and logged.

pub(super) mod access;
mod done;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

pub(super) use done::Done;

/// What a form or an address says. Everything may be missing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    act: String,
    subject: String,
    code: String,
    newest: i64,
    circuit: String,
    /// Of a process with several rooms.
    room: String,
    /// What only the confirmation has.
    pub(super) key: String,
    pub(super) token: String,
}

/// Something that can be done, in the room of this name; without one, if the process has no rooms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Act {
    pub(super) room: String,
    pub(super) what: What,
}

/// What can be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Apply dead letters again, or remove them: those of a group up to this number, which somebody has looked at.
    Letters { drop: bool, subject: String, code: String, newest: i64 },
    /// Offer again what the outbox has set aside as refused.
    Outbox,
    /// Force a circuit, or let it decide by itself again.
    Circuit { events: bool, to: Force },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Force {
    Open,
    Closed,
    Automatic,
}

impl Force {
    /// As it stands in a form.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "close",
            Self::Automatic => "automatic",
        }
    }
}

impl Asked {
    /// What it asks for, if it is something.
    pub(super) fn act(&self) -> Option<Act> {
        self.what().map(|what| Act { room: self.room.clone(), what })
    }

    fn what(&self) -> Option<What> {
        let letters = |drop| What::Letters {
            drop,
            subject: self.subject.clone(),
            code: self.code.clone(),
            newest: self.newest,
        };
        let circuit = |to| match self.circuit.as_str() {
            "events" => Some(What::Circuit { events: true, to }),
            "requests" => Some(What::Circuit { events: false, to }),
            _ => None,
        };
        match self.act.as_str() {
            "retry-letters" => Some(letters(false)),
            "drop-letters" => Some(letters(true)),
            "retry-outbox" => Some(What::Outbox),
            "open" => circuit(Force::Open),
            "close" => circuit(Force::Closed),
            "automatic" => circuit(Force::Automatic),
            _ => None,
        }
    }
}

impl Act {
    /// What stands in its form and in its address.
    pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = match &self.what {
            What::Letters { drop, subject, code, newest } => vec![
                ("act", if *drop { "drop-letters" } else { "retry-letters" }.to_owned()),
                ("subject", subject.clone()),
                ("code", code.clone()),
                ("newest", newest.to_string()),
            ],
            What::Outbox => vec![("act", "retry-outbox".to_owned())],
            What::Circuit { events, to } => {
                let circuit = if *events { "events" } else { "requests" };
                vec![("act", to.name().to_owned()), ("circuit", circuit.to_owned())]
            }
        };
        if !self.room.is_empty() {
            fields.push(("room", self.room.clone()));
        }
        fields
    }

    /// The address of its confirmation.
    pub(super) fn address(&self) -> String {
        let pair = |(name, value): (&str, String)| {
            format!("{name}={}", utf8_percent_encode(&value, NON_ALPHANUMERIC))
        };
        let pairs: Vec<String> = self.fields().into_iter().map(pair).collect();
        format!("/act?{}", pairs.join("&"))
    }

    /// What it does, as a button says it.
    pub(super) const fn title(&self) -> &'static str {
        match self.what {
            What::Letters { drop: false, .. } => "Apply these letters again",
            What::Letters { drop: true, .. } => "Remove these letters",
            What::Outbox => "Offer the refused events again",
            What::Circuit { to: Force::Open, .. } => "Force the circuit open",
            What::Circuit { to: Force::Closed, .. } => "Force the circuit closed",
            What::Circuit { to: Force::Automatic, .. } => "Let the circuit decide again",
        }
    }

    /// What comes of it.
    pub(super) fn effect(&self) -> String {
        let of = if self.room.is_empty() { String::new() } else { format!("In {}: ", self.room) };
        format!("{of}{}", self.what.effect())
    }

    /// Whether something is gone afterwards.
    pub(super) const fn removes(&self) -> bool {
        matches!(self.what, What::Letters { drop: true, .. })
    }
}

impl What {
    fn effect(&self) -> String {
        match self {
            What::Letters { drop: false, subject, code, newest } => format!(
                "The dead letters of {subject} that failed as {code}, up to number {newest}, are applied as the service \
                 would. What was done already has no second effect. Letters that are applied are removed; the others \
                 stay, and so do letters older than 7 days."
            ),
            What::Letters { drop: true, subject, code, newest } => format!(
                "The dead letters of {subject} that failed as {code}, up to number {newest}, are removed. Nobody can \
                 bring them back."
            ),
            What::Outbox => {
                "What was refused waits again, and is offered to the next path that takes events. What is \
                             refused again is set aside again."
                    .to_owned()
            }
            What::Circuit { events, to } => {
                let what = if *events { "Events" } else { "Calls and queries" };
                match to {
                    Force::Open => {
                        format!(
                            "{what} do not go over NATS until the circuit is closed or let alone: the next path serves."
                        )
                    }
                    Force::Closed => {
                        format!(
                            "{what} go over NATS first until the circuit is opened or let alone, whether it answers or not."
                        )
                    }
                    Force::Automatic => format!("{what} go over NATS while it answers, as usual."),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_a_form_asks_for_the_same_again() {
        let letters = |drop| What::Letters {
            drop,
            subject: "rosey.db.user.joined".to_owned(),
            code: "invalid & more".to_owned(),
            newest: 7,
        };
        let circuit = |events, to| What::Circuit { events, to };
        let all = [
            letters(false),
            letters(true),
            What::Outbox,
            circuit(true, Force::Open),
            circuit(false, Force::Closed),
            circuit(false, Force::Automatic),
        ];
        let in_rooms = ["", "lounge"]
            .into_iter()
            .flat_map(|room| all.iter().map(|what| Act { room: room.to_owned(), what: what.clone() }));
        for act in in_rooms {
            let fields: serde_json::Map<String, serde_json::Value> = act
                .fields()
                .into_iter()
                .map(|(name, value)| match name {
                    "newest" => (name.to_owned(), value.parse::<i64>().expect("a number").into()),
                    _ => (name.to_owned(), value.into()),
                })
                .collect();
            let asked: Asked = serde_json::from_value(fields.into()).expect("a form");
            assert_eq!(asked.act().as_ref(), Some(&act));
            assert!(
                !act.address().contains(' ') && act.address().matches('&').count() == act.fields().len() - 1
            );
        }
    }

    #[test]
    fn what_nobody_knows_is_nothing() {
        for (act, circuit) in [("", ""), ("drop", ""), ("open", ""), ("open", "both")] {
            let asked = Asked { act: act.to_owned(), circuit: circuit.to_owned(), ..Asked::default() };
            assert_eq!(asked.act(), None, "{act} {circuit}");
        }
    }
}
