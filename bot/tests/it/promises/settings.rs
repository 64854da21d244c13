//! Every setting of the stream and of its consumer that may be changed by hand: noticed within seconds, put right where nothing
//! is lost by it, named otherwise; and no event that was acknowledged is lost meanwhile.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::world::{JOINED, World, now};
use crate::support::*;

/// Within which a change is noticed, and some time for a machine with much to do.
const SOON: Duration = Duration::from_secs(10);

/// An event as a peer sends it, whatever becomes of it; whether the stream acknowledged it.
async fn send(w: &World, name: &str) -> bool {
    let request = w.peer.client.request(JOINED, format!(r#"{{"username":"{name}"}}"#).into());
    let Ok(Ok(answer)) = tokio::time::timeout(Duration::from_millis(500), request).await else {
        return false;
    };
    let answer: Value = serde_json::from_slice(&answer.payload).unwrap_or_default();
    answer["stream"] == "ROSEY" && answer["error"].is_null()
}

async fn is_applied(w: &World, name: &str) -> bool {
    w.file.texts("SELECT DISTINCT username FROM presence").await.iter().any(|known| known == name)
}

async fn says(w: &World, words: &[&str]) -> bool {
    holds_within(SOON, || async {
        now(&w.peer).await.iter().any(|notice| words.iter().all(|word| notice.contains(word)))
    })
    .await
}

/// Sends events until one was acknowledged, and waits until all that were are applied.
async fn goes_on(w: &World, name: &str, mut acknowledged: Vec<String>) {
    let since = Instant::now();
    for n in 0.. {
        let name = format!("{name}-after-{n}");
        if send(w, &name).await {
            acknowledged.push(name);
            break;
        }
        assert!(since.elapsed() < LIMIT, "{name}: nothing is acknowledged: {}", w.service.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for name in acknowledged {
        wait_until(&name, || async { is_applied(w, &name).await }).await;
    }
    assert_eq!(w.file.dead_letters().await, 0);
}

#[tokio::test]
async fn each_setting_of_the_stream_that_is_changed_is_put_right() {
    let w = World::new().await;
    let wanted = w.stream().await["config"].take();
    for (n, (names, changes)) in [
        ("no_ack", json!({"no_ack": true})),
        ("subjects", json!({"subjects": ["rosey.db.user.left"]})),
        ("subjects", json!({"subjects": [JOINED, "elsewhere"]})),
        ("subject_transform", json!({"subject_transform": {"src": JOINED, "dest": "rosey.db.user.left"}})),
        ("republish", json!({"republish": {"src": ">", "dest": "copy.>"}})),
        ("max_age", json!({"max_age": 3_600_000_000_000_u64})),
        ("max_msgs", json!({"max_msgs": 1})),
        ("max_msgs_per_subject", json!({"max_msgs_per_subject": 1})),
        ("discard_new_per_subject", json!({"max_msgs_per_subject": 1, "discard_new_per_subject": true})),
        ("max_bytes", json!({"max_bytes": 100})),
        ("max_msg_size", json!({"max_msg_size": 10})),
        ("discard", json!({"discard": "old"})),
        ("sources", json!({"sources": [{"name": "OTHER"}]})),
        ("duplicate_window", json!({"duplicate_window": 1_000_000_000_u64})),
        ("allow_rollup_hdrs", json!({"allow_rollup_hdrs": true})),
        ("max_consumers", json!({"max_consumers": 1})),
    ]
    .into_iter()
    .enumerate()
    {
        let mut acknowledged = Vec::new();
        for (place, name) in [format!("u{n}-before"), format!("u{n}-at-once")].into_iter().enumerate() {
            if place == 1 {
                w.edit_stream(changes.clone()).await;
            }
            if send(&w, &name).await && !changes["subject_transform"].is_object() {
                acknowledged.push(name);
            }
        }
        assert!(
            says(&w, &["settings of the stream", names, "put right"]).await,
            "{names}: {}",
            w.service.log()
        );
        wait_until("it is as it was", || async {
            let now = w.stream().await["config"].take();
            changes.as_object().unwrap().keys().all(|key| now[key] == wanted[key])
        })
        .await;
        goes_on(&w, &format!("u{n}"), acknowledged).await;
    }
}

#[tokio::test]
async fn what_an_operator_may_choose_and_a_later_version_takes_neither_alarms_nor_is_changed_back() {
    let w = World::new().await;
    let mut config = w.js.get_stream("ROSEY").await.unwrap().cached_info().config.description.clone();
    let description = config.take().unwrap();
    // A service knows the stream for its own once it has looked at it.
    let mut looks = w.peer.listen("$JS.API.CONSUMER.INFO.ROSEY.writer").await;
    for _ in 0..2 {
        next(&mut looks).await;
    }
    drop(looks);
    w.edit_stream(json!({"description": "mine"})).await;
    assert!(says(&w, &["description of the stream", "put right"]).await, "{}", w.service.log());
    wait_until("it is ours again", || async { w.stream().await["config"]["description"] == description })
        .await;
    w.edit_stream(json!({"metadata": {"owner": "ops"}, "compression": "s2", "allow_direct": true, "placement": {"tags": ["t"]}}))
        .await;
    w.put_consumer(json!({"metadata": {"owner": "ops"}, "description": "mine", "sample_freq": "100%"})).await;
    let mut subjects = w.stream().await["config"]["subjects"].take();
    subjects.as_array_mut().unwrap().insert(0, json!("rosey.db.user.renamed"));
    w.edit_stream(json!({"subjects": subjects})).await;
    let mut updates = w.peer.listen("$JS.API.STREAM.UPDATE.ROSEY").await;
    wait_until("nothing is in the way", || async { now(&w.peer).await.is_empty() }).await;
    // Some looks later nothing was written and nothing is said.
    let mut looks = w.peer.listen("$JS.API.CONSUMER.INFO.ROSEY.writer").await;
    for _ in 0..4 {
        next(&mut looks).await;
    }
    assert!(silent(&mut updates, Duration::from_millis(10)).await, "the stream is written again and again");
    assert_eq!(now(&w.peer).await, Vec::<String>::new(), "{}", w.service.log());
    let stream = w.stream().await["config"].take();
    assert_eq!((&stream["metadata"]["owner"], &stream["compression"]), (&json!("ops"), &json!("s2")));
    assert_eq!(stream["subjects"], subjects);
    assert_eq!(w.consumer().await["config"]["description"], "mine");
    w.joined(0..5).await;
    w.has_applied(5).await;
}

#[tokio::test]
async fn a_stream_that_was_made_anew_in_a_way_no_server_changes_is_named_and_its_events_are_applied() {
    for (words, changes) in [
        (["retention", "--jetstream off"], json!({"retention": "limits"})),
        (["retention", "--jetstream off"], json!({"retention": "interest"})),
        (["storage", "lost when the NATS server ends"], json!({"storage": "memory"})),
        (["persist_mode", "--jetstream off"], json!({"persist_mode": "async"})),
        (["allow_msg_ttl", "--jetstream off"], json!({"allow_msg_ttl": true})),
        (["deny_purge", "nothing is lost"], json!({"deny_purge": true})),
    ] {
        let w = World::new().await;
        let mut config = w.stream().await["config"].take();
        for (name, value) in changes.as_object().unwrap() {
            config[name] = value.clone();
        }
        w.service.freeze();
        w.ask("STREAM.DELETE.ROSEY", json!({})).await;
        let answer = w.ask("STREAM.CREATE.ROSEY", config).await;
        assert!(answer.get("error").is_none(), "{answer}");
        w.service.thaw();
        assert!(says(&w, &words).await, "{changes}: {:?}\n{}", now(&w.peer).await, w.service.log());
        wait_until("its consumer is there", || async { w.consumer().await.get("error").is_none() }).await;
        w.edit_stream(json!({"max_msgs": 1000})).await;
        wait_until("the rest is put right", || async { w.stream().await["config"]["max_msgs"] == -1 }).await;
        w.joined(0..10).await;
        w.has_applied(10).await;
        wait_until("what is applied leaves it", || async { w.stream().await["state"]["messages"] == 0 })
            .await;
        assert!(
            !now(&w.peer).await.iter().any(|notice| notice.contains("not applied, the first")),
            "{changes}"
        );
    }
}

#[tokio::test]
async fn a_consumer_without_which_the_stream_would_drop_its_events_is_not_replaced() {
    let w = World::new().await;
    let (mut stream, mut consumer) = (w.stream().await["config"].take(), w.consumer().await["config"].take());
    stream["retention"] = json!("interest");
    consumer["replay_policy"] = json!("original");
    w.service.freeze();
    w.ask("STREAM.DELETE.ROSEY", json!({})).await;
    let answer = w.ask("STREAM.CREATE.ROSEY", stream).await;
    assert!(answer.get("error").is_none(), "{answer}");
    w.create_consumer(consumer).await;
    w.joined(0..3).await;
    w.service.thaw();
    assert!(says(&w, &["would drop what is not applied"]).await, "{}", w.service.log());
    assert_eq!(w.stream().await["state"]["messages"].as_u64().unwrap() + w.users().await as u64, 3);
}

#[tokio::test]
async fn a_mirror_in_the_place_of_the_stream_is_put_right() {
    let w = World::new().await;
    let mut config = w.stream().await["config"].take();
    config["mirror"] = json!({"name": "OTHER"});
    config["subjects"] = json!([]);
    w.service.freeze();
    w.ask("STREAM.DELETE.ROSEY", json!({})).await;
    let answer = w.ask("STREAM.CREATE.ROSEY", config).await;
    assert!(answer.get("error").is_none(), "{answer}");
    w.service.thaw();
    wait_until("it takes events again", || async { send(&w, "after").await }).await;
    wait_until("they are applied", || async { is_applied(&w, "after").await }).await;
    assert!(w.stream().await["config"]["mirror"].is_null());
}

#[tokio::test]
async fn each_setting_of_the_consumer_that_is_changed_is_put_right() {
    let w = World::new().await;
    let wanted = w.consumer().await["config"].take();
    // What can be changed, and what only a new consumer has.
    let edited = [
        json!({"filter_subject": "rosey.db.user.left"}),
        json!({"filter_subjects": ["rosey.db.user.left", "rosey.db.message.log"]}),
        json!({"max_deliver": 1}),
        json!({"backoff": [1_000_000_000_u64, 3_600_000_000_000_u64], "max_deliver": 5}),
        json!({"ack_wait": 3_600_000_000_000_u64}),
        json!({"inactive_threshold": 60_000_000_000_u64}),
        json!({"max_ack_pending": 1}),
        json!({"headers_only": true}),
        json!({"priority_groups": ["g"], "priority_policy": "overflow"}),
        json!({"priority_groups": ["g"], "priority_policy": "pinned_client", "priority_timeout": 10_000_000_000_u64}),
    ];
    let created = [
        json!({"replay_policy": "original"}),
        json!({"mem_storage": true}),
        json!({"deliver_subject": "elsewhere", "max_waiting": null}),
        json!({"max_waiting": 1}),
        json!({"inactive_threshold": 100_000_000_u64, "filter_subject": "rosey.db.user.left"}),
    ];
    let new = edited.len();
    for (n, changes) in edited.into_iter().chain(created).enumerate() {
        let mut acknowledged = Vec::new();
        let name = format!("u{n}-before");
        if send(&w, &name).await {
            acknowledged.push(name);
        }
        if n < new {
            w.put_consumer(changes.clone()).await;
            let word = changes.as_object().unwrap().keys().next().unwrap();
            assert!(
                says(&w, &["settings of the consumer", word, "put right"]).await,
                "{word}: {}",
                w.service.log()
            );
        } else {
            let mut config = wanted.clone();
            for (name, value) in changes.as_object().unwrap() {
                config[name] = value.clone();
            }
            w.service.freeze();
            w.ask("CONSUMER.DELETE.ROSEY.writer", json!({})).await;
            w.create_consumer(config).await;
            w.service.thaw();
        }
        let name = format!("u{n}-at-once");
        if send(&w, &name).await {
            acknowledged.push(name);
        }
        goes_on(&w, &format!("u{n}"), acknowledged).await;
        let unlike = changes
            .as_object()
            .unwrap()
            .keys()
            .filter(|key| *key != "mem_storage")
            .cloned()
            .collect::<Vec<_>>();
        wait_until("it is as it was", || async {
            let now = w.consumer().await["config"].take();
            unlike.iter().all(|key| now[key] == wanted[key])
        })
        .await;
    }
}

#[tokio::test]
async fn what_a_consumer_passed_over_while_its_filter_was_changed_is_applied_while_others_come_and_none_is_called_lost()
 {
    let w = World::new().await;
    let mut sent = 0;
    for filter in ["rosey.db.user.left", "rosey.db.message.log", "rosey.db.user.left"] {
        w.joined(sent..sent + 20).await;
        w.put_consumer(json!({"filter_subject": filter})).await;
        let place = sent + 20;
        let until = tokio::time::Instant::now() + LIMIT;
        sent = place;
        // They never stop coming.
        while w.users().await < i64::from(place) + 60 || sent < place + 200 {
            assert!(tokio::time::Instant::now() < until, "{}", w.service.log());
            w.joined(sent..sent + 1).await;
            sent += 1;
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
        let applied = holds_within(LIMIT, || async {
            w.joined(0..1).await;
            let stream = w.stream().await;
            stream["state"]["last_seq"].as_u64().unwrap() - stream["state"]["first_seq"].as_u64().unwrap()
                < 20
        });
        assert!(applied.await, "{}", w.service.log());
    }
    w.has_applied(i64::from(sent)).await;
    assert!(!w.service.log().contains("went without being applied"), "{}", w.service.log());
}

#[tokio::test]
async fn another_consumer_in_the_place_of_ours_is_named_with_what_to_do_also_at_the_start() {
    let mut w = World::new().await;
    let other = json!({"durable_name": "other", "ack_policy": "explicit", "deliver_policy": "all", "filter_subject": JOINED});
    w.service.freeze();
    w.ask("CONSUMER.DELETE.ROSEY.writer", json!({})).await;
    let answer =
        w.ask("CONSUMER.DURABLE.CREATE.ROSEY.other", json!({"stream_name": "ROSEY", "config": other})).await;
    assert!(answer.get("error").is_none(), "{answer}");
    w.service.thaw();
    w.joined(0..3).await;
    assert!(says(&w, &["cannot be declared", "nats consumer rm"]).await, "{}", w.service.log());
    w.service.restart().await;
    assert!(says(&w, &["cannot be declared", "nats consumer rm"]).await, "{}", w.service.log());
    w.ask("CONSUMER.DELETE.ROSEY.other", json!({})).await;
    w.has_applied(3).await;
}

#[tokio::test]
async fn what_a_consumer_made_by_hand_was_never_to_hand_out_is_not_purged_from_a_stream_that_keeps_it() {
    let w = World::new().await;
    let (mut stream, mut consumer) = (w.stream().await["config"].take(), w.consumer().await["config"].take());
    stream["retention"] = json!("limits");
    consumer["deliver_policy"] = json!("new");
    w.service.freeze();
    w.ask("STREAM.DELETE.ROSEY", json!({})).await;
    let answer = w.ask("STREAM.CREATE.ROSEY", stream).await;
    assert!(answer.get("error").is_none(), "{answer}");
    w.joined(0..5).await;
    // It begins behind them, and counts them as acknowledged.
    w.create_consumer(consumer).await;
    assert_eq!(w.consumer().await["ack_floor"]["stream_seq"], 5);
    // Until the next look is due, which then comes before anything is declared.
    let mut looks = w.peer.listen("$JS.API.STREAM.INFO.ROSEY").await;
    assert!(silent(&mut looks, Duration::from_millis(1500)).await, "it is frozen");
    w.service.thaw();
    w.has_applied(5).await;
}
