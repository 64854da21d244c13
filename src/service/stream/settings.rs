//! Settings of stream and consumer that were changed by hand: which differ from what they have to be, and how they are put
//! right.

use serde_json::{Map, Value};

use crate::hints::option;

/// On how many servers of a cluster a stream is kept. Where we say nothing of it, it is an operator's to choose.
pub(super) const REPLICAS: &str = "num_replicas";

/// Settings of a stream that are set once.
const CHOSEN: [&str; 3] = ["name", "storage", "retention"];
/// What a stream of ours does not have, and what may be taken away from it again.
const NOT_OF_A_STREAM: [&str; 9] = [
    "no_ack",
    "republish",
    "subject_transform",
    "sources",
    "mirror",
    "allow_rollup_hdrs",
    "consumer_limits",
    "discard_new_per_subject",
    "subject_delete_marker_ttl",
];
/// A setting, whether it is so, what the stream then is, what follows from it, and whether that is reason to have it anew.
type PermanentSetting = (&'static str, fn(&Value) -> bool, &'static str, &'static str, bool);
/// What no server takes back.
const FOR_GOOD: [PermanentSetting; 7] = [
    (
        "sealed",
        is_set,
        "is sealed",
        "it takes nothing more, and clients use the database. When everything in it is applied, delete it; it is created anew",
        false,
    ),
    (
        "retention",
        |retention| !is_nothing(retention) && retention != "workqueue",
        "is no work queue (retention)",
        "what is applied stays in it until this service purges it, and what comes while its consumer is not there may be lost",
        true,
    ),
    (
        "storage",
        |storage| storage == "memory",
        "is kept in memory (storage)",
        "what is acknowledged and not applied is lost when the NATS server ends",
        true,
    ),
    (
        "persist_mode",
        |mode| mode == "async",
        "is written to its disk late (persist_mode: async)",
        "what is acknowledged may be lost when the NATS server is killed",
        true,
    ),
    (
        "allow_msg_ttl",
        is_set,
        "lets messages expire (allow_msg_ttl)",
        "a sender may let events expire that are acknowledged and not applied",
        true,
    ),
    (
        "deny_delete",
        is_set,
        "lets no message be removed (deny_delete)",
        "nothing is lost by it, but a message that cannot be read cannot be removed either",
        false,
    ),
    ("deny_purge", is_set, "cannot be purged (deny_purge)", "nothing is lost by it", false),
];
/// What a consumer of ours does not have.
const NOT_OF_A_CONSUMER: [&str; 9] = [
    "deliver_subject",
    "deliver_group",
    "filter_subject",
    "filter_subjects",
    "headers_only",
    "rate_limit_bps",
    "inactive_threshold",
    "backoff",
    "priority_groups",
];
/// How much may be asked for at once: requests for more adapt themselves to it.
const OF_REQUESTS: [&str; 3] = ["max_batch", "max_expires", "max_bytes"];

/// The settings in which a stream differs from what is wanted, of those that can be put right.
pub(super) fn of_stream(now: &Value, wanted: &Value) -> Vec<String> {
    let chosen = |name: &str| CHOSEN.contains(&name) || name == "description";
    differing(now, wanted, chosen, &NOT_OF_A_STREAM)
}

/// The settings of a stream that cannot be put right, with what the stream is by them and what that means.
pub(super) fn for_good(now: &Value) -> Vec<(&'static str, &'static str, String)> {
    let found = FOR_GOOD.into_iter().filter(|(name, is_so, ..)| is_so(&now[*name]));
    let advised = |meaning: &str| {
        let off = option("jetstream off");
        format!(
            "{meaning}. Start this service once with {off}, which empties and deletes the stream, and then as before: it is \
             created anew"
        )
    };
    let advice = |meaning: &str, anew| if anew { advised(meaning) } else { meaning.to_owned() };
    found.map(|(name, _, is, meaning, anew)| (name, is, advice(meaning, anew))).collect()
}

/// Whether messages stay in a stream after they are acknowledged.
pub(super) fn keeps_acknowledged(now: &Value) -> bool {
    now["retention"] == "limits"
}

/// Whether a stream keeps nothing for a consumer that is not there, and drops what one has not acknowledged when it is deleted.
pub(super) fn keeps_only_for_consumers(now: &Value) -> bool {
    now["retention"] == "interest"
}

/// The settings in which a consumer differs.
pub(super) fn of_consumer(now: &Value, wanted: &Value) -> Vec<String> {
    let absent: Vec<_> = NOT_OF_A_CONSUMER.into_iter().chain(OF_REQUESTS).collect();
    differing(now, wanted, |name| name == "description" || name == "durable_name", &absent)
}

/// Whether they are only about how much may be asked for at once.
pub(super) fn only_of_requests(differing: &[String]) -> bool {
    differing.iter().all(|name| OF_REQUESTS.contains(&name.as_str()))
}

fn differing(now: &Value, wanted: &Value, chosen: impl Fn(&str) -> bool, absent: &[&str]) -> Vec<String> {
    let wanted = wanted.as_object().into_iter().flatten();
    let others = wanted.filter(|(name, value)| !chosen(name) && !is_same(&now[name.as_str()], value));
    let too_many = absent.iter().filter(|name| !is_nothing(&now[**name]));
    others.map(|(name, _)| name.clone()).chain(too_many.map(|name| (*name).to_owned())).collect()
}

/// The settings of a stream as they have to be: ours, with what an operator may choose, and what no server takes back, as it
/// is.
pub(super) fn right(now: &Value, wanted: &Value) -> Value {
    let mut all: Map<String, Value> = now.as_object().cloned().unwrap_or_default();
    NOT_OF_A_STREAM.iter().for_each(|name| drop(all.remove(*name)));
    for (name, value) in wanted.as_object().into_iter().flatten() {
        if !CHOSEN.contains(&name.as_str()) || !all.contains_key(name) {
            all.insert(name.clone(), value.clone());
        }
    }
    all.into()
}

/// Whether a setting says the same. A server says -1 or 0 for what is not limited, or nothing.
fn is_same(now: &Value, wanted: &Value) -> bool {
    match (now.as_i64().or(now.is_null().then_some(0)), wanted.as_i64()) {
        (Some(now), Some(wanted)) => now == wanted || (now <= 0 && wanted <= 0),
        _ => now == wanted,
    }
}

fn is_set(value: &Value) -> bool {
    !is_nothing(value)
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(set) => !set,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(all) => all.is_empty(),
        Value::Object(all) => all.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_an_operator_may_choose_is_no_difference_and_stays() {
        let wanted = json!({"name": "SHOP", "discard": "new", "max_msgs": -1, "max_age": 0});
        let now = json!({"name": "SHOP", "discard": "new", "max_msgs": 0, "num_replicas": 3, "metadata": {"a": "b"},
            "consumer_limits": {}, "sealed": false});
        assert_eq!(of_stream(&now, &wanted), Vec::<String>::new());
        let right = right(&now, &wanted);
        assert_eq!((&right["num_replicas"], &right["metadata"]["a"]), (&json!(3), &json!("b")));
        let five = json!({"name": "SHOP", "num_replicas": 5});
        assert_eq!(of_stream(&now, &five), [REPLICAS]);
        assert_eq!(super::right(&now, &five)[REPLICAS], json!(5));
    }

    #[test]
    fn what_loses_events_differs_and_is_put_right() {
        let wanted = json!({"discard": "new", "max_msgs": -1, "subjects": ["a", "b"]});
        let now = json!({"discard": "old", "max_msgs": 1, "subjects": ["a"], "republish": {"src": ">"}, "deny_purge": true});
        assert_eq!(of_stream(&now, &wanted), ["discard", "max_msgs", "subjects", "republish"]);
        assert_eq!(for_good(&now).iter().map(|(name, ..)| *name).collect::<Vec<_>>(), ["deny_purge"]);
        let right = right(&now, &wanted);
        assert_eq!(of_stream(&right, &wanted), Vec::<String>::new());
        assert_eq!(right["deny_purge"], json!(true), "a server refuses to take that back");
    }

    #[test]
    fn what_only_a_new_stream_would_change_is_named_and_the_rest_is_put_right() {
        let wanted = json!({"discard": "new", "retention": "workqueue", "storage": "file"});
        let now =
            json!({"discard": "old", "retention": "interest", "storage": "memory", "persist_mode": "async"});
        assert_eq!(
            for_good(&now).iter().map(|(name, ..)| *name).collect::<Vec<_>>(),
            ["retention", "storage", "persist_mode"]
        );
        let right = right(&now, &wanted);
        assert_eq!(
            (&right["retention"], &right["storage"], &right["discard"]),
            (&json!("interest"), &json!("memory"), &json!("new"))
        );
        assert_eq!(for_good(&wanted), []);
    }

    #[test]
    fn a_consumer_that_hands_out_something_else_differs() {
        let wanted = json!({"ack_policy": "explicit", "max_deliver": -1, "ack_wait": 5});
        let now = json!({"ack_policy": "explicit", "max_deliver": 1, "ack_wait": 5, "headers_only": true,
            "filter_subject": "x", "num_replicas": 0});
        assert_eq!(of_consumer(&now, &wanted), ["max_deliver", "filter_subject", "headers_only"]);
        let limited = json!({"ack_policy": "explicit", "max_deliver": -1, "ack_wait": 5, "max_batch": 100});
        assert!(only_of_requests(&of_consumer(&limited, &wanted)));
        assert!(!only_of_requests(&of_consumer(&now, &wanted)));
    }
}
