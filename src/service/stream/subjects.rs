//! The subjects of the stream: those of our events, and those of events that a later version of the service knows, which may run
//! beside this one. Two versions that each put back its own list would take turns, and what only one of them knows would not be
//! taken meanwhile.

use serde_json::{Value, json};

use crate::nats::names::{BUNDLES, Names, STORED_BUNDLES};
use crate::operation::Kind;

/// What stands below the service's name beside operations.
const OWN: [&str; 5] = ["ping", "who", "applied", BUNDLES, STORED_BUNDLES];

#[derive(Clone, Debug)]
pub(super) struct Subjects {
    /// Of our events, in the order of their declarations.
    pub(super) events: Vec<String>,
    /// All that we know.
    known: Vec<String>,
    /// What all our events begin with, up to a dot; empty if they have nothing in common.
    above: String,
}

impl Subjects {
    pub(super) fn of(names: &Names) -> Self {
        let events = names.operations().filter(|(_, spec, _)| spec.kind == Kind::Event);
        let events: Vec<String> = events.map(|(_, _, subject)| subject.to_string()).collect();
        let own = OWN.map(|word| names.own(word));
        let known = names.operations().map(|(_, _, subject)| subject.to_string()).chain(own).collect();
        Self { above: above(&events), events, known }
    }

    /// Another subject alone, of which nothing else is known.
    pub(super) fn only(subject: String) -> Self {
        Self { events: vec![subject], known: Vec::new(), above: String::new() }
    }

    /// What the stream has to have where it has `there`: these, in this order, unless something is missing or too much. `more`:
    /// what it may have as well.
    pub(super) fn beside(&self, there: &Value, more: Option<&str>) -> Value {
        let there: Vec<&str> = there.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let stays = |subject: &str| {
            self.events.iter().any(|event| event == subject)
                || more == Some(subject)
                || self.is_later(subject)
        };
        let is_whole = self.events.iter().all(|event| there.contains(&event.as_str()));
        if is_whole && there.iter().all(|subject| stays(subject)) {
            return json!(there);
        }
        let others = there.into_iter().filter(|subject| !self.events.iter().any(|event| event == subject));
        let all = self.events.iter().map(String::as_str).chain(others.filter(|subject| stays(subject)));
        json!(all.collect::<Vec<_>>())
    }

    /// Those of the stream that may be a later version's.
    pub(super) fn later<'a>(&self, there: &'a Value) -> Vec<&'a str> {
        let there = there.as_array().into_iter().flatten().filter_map(Value::as_str);
        there.filter(|subject| self.is_later(subject)).collect()
    }

    /// Whether it may be the subject of an event that a later version knows: one among ours, and none that we know as something else.
    fn is_later(&self, subject: &str) -> bool {
        let below = subject.strip_prefix(self.above.as_str()).filter(|_| !self.above.is_empty());
        below.is_some_and(|below| !below.is_empty() && !below.contains(['*', '>']))
            && !self.known.iter().any(|known| known == subject)
    }
}

/// The tokens that all of them begin with, without the last one of any.
fn above(subjects: &[String]) -> String {
    let mut above = subjects.first().cloned().unwrap_or_default();
    while !(above.is_empty()
        || above.ends_with('.') && subjects.iter().all(|subject| subject.starts_with(&above)))
    {
        above.pop();
    }
    above
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subjects() -> Subjects {
        let events = ["shop.db.order.placed", "shop.db.stock.changed"].map(str::to_owned).to_vec();
        let known = events.iter().cloned().chain(["shop.db.order.get".to_owned(), "shop.db.ping".to_owned()]);
        Subjects { above: above(&events), known: known.collect(), events }
    }

    #[test]
    fn what_a_later_version_takes_stays_beside_ours_and_nothing_else_does() {
        let ours = json!(["shop.db.order.placed", "shop.db.stock.changed"]);
        let of = |there: Value| subjects().beside(&there, Some("shop.db.batch.events"));
        for stays in [
            json!(["shop.db.stock.changed", "shop.db.order.placed"]),
            json!(["shop.db.order.placed", "shop.db.stock.changed", "shop.db.batch.events"]),
            json!(["shop.db.order.placed", "shop.db.order.returned", "shop.db.stock.changed"]),
        ] {
            assert_eq!(of(stays.clone()), stays);
        }
        for goes in
            ["elsewhere", "shop.db.>", "shop.db.order.*", "shop.db.order.get", "shop.db.ping", "shop.db."]
        {
            assert_eq!(of(json!(["shop.db.order.placed", goes, "shop.db.stock.changed"])), ours, "{goes}");
        }
        let returned = json!(["shop.db.order.placed", "shop.db.stock.changed", "shop.db.order.returned"]);
        assert_eq!(of(json!(["shop.db.order.returned", "elsewhere"])), returned, "ours come back");
        assert_eq!(of(Value::Null), ours);
    }

    #[test]
    fn events_that_have_nothing_in_common_have_none_of_a_later_version() {
        let of = |events: &[&str]| above(&events.iter().map(|event| (*event).to_owned()).collect::<Vec<_>>());
        assert_eq!((of(&["guests.sign"]), of(&["a.b.c", "a.bc.d"])), ("guests.".to_owned(), "a.".to_owned()));
        assert_eq!((of(&["a.b", "c.b"]), of(&["sign"]), of(&[])), Default::default());
        let alone = Subjects::only("_SHOP.closed".to_owned());
        assert_eq!(alone.beside(&json!(["_SHOP.closed", "x"]), None), json!(["_SHOP.closed"]));
    }
}
