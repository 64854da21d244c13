//! A second try of what was refused.

use eitherway::outbox::{Replayer, Retried, Which};
use eitherway::{Ack, Db};

use super::kit::*;
use crate::support::program::{outcome, rosey};
use crate::support::*;

/// Nine days ago by the file's word, for the first ten.
const TOO_OLD: &str = "UPDATE aside SET taken_at = taken_at - 9 * 86400000 WHERE id IN \
                       (SELECT id FROM aside ORDER BY id LIMIT 10)";

#[tokio::test]
async fn what_was_refused_waits_again_once_each_and_what_is_older_than_7_days_stays_aside() {
    let (kept, file) = (OutboxFile::new(), DbFile::new());
    let (outbox, events) = refused(&kept, 30).await;
    kept.change(TOO_OLD).await;
    let id = |n: usize| events[n].head.id.to_string();
    let retried = |waiting, too_old| Retried { waiting, too_old };
    assert_eq!(outbox.retry(Some("no such id")).await.unwrap(), retried(0, 0));
    // Ids grow with time: the first ten are those that are too old.
    assert_eq!(outbox.retry(Some(&id(0))).await.unwrap(), retried(0, 1));
    assert_eq!(outbox.retry(Some(&id(29))).await.unwrap(), retried(1, 0));
    assert_eq!(outbox.retry(Some(&id(29))).await.unwrap(), retried(0, 0), "it waits already");
    assert_eq!(outbox.retry(None).await.unwrap(), retried(19, 10));
    let counts = outbox.counts();
    assert_eq!((counts.waiting, counts.refused, counts.expired), (20, 10, 0));

    // The same event again is known, and a new one has its own place.
    let db = Db::new(outbox.clone());
    assert_eq!(db.send(events[29].clone()).await.unwrap().ack, Ack::Stored);
    db.send(event(100)).await.unwrap();
    let counts = outbox.counts();
    assert_eq!(counts.waiting, 21);
    outbox.close().await;
    let outbox = kept.open().await;
    assert_eq!(outbox.counts(), counts, "as it is found at the next start");
    let replayer = Replayer::new(outbox.clone(), db_only(&file).await.stack().clone());
    assert_eq!(replayer.once().await.replayed, 21);
    assert_exactly_once(&file, 21).await;
    assert_eq!(outbox.discard(Which::Refused).await.unwrap(), 10);
    assert!(outbox.counts().is_empty());
}

#[tokio::test]
async fn on_the_command_line_one_is_named_by_its_id_or_all_are_meant() {
    let (kept, file) = (OutboxFile::new(), DbFile::new());
    let (outbox, events) = refused(&kept, 30).await;
    kept.change(TOO_OLD).await;
    let program = |arguments: &[&str]| {
        outcome(rosey(kept.dir.path()).args(["outbox", "--outbox", "test.outbox"]).args(arguments))
    };
    let (code, text) = program(&["--retry-refused"]);
    assert!(code == Some(5) && text.contains("is held by another process"), "{text}");
    outbox.close().await;

    let last = events[29].head.id.to_string();
    let (code, text) = program(&["--retry", &last]);
    assert!(code == Some(0) && text.starts_with("1 operation waits again: the next start"), "{text}");
    let (code, text) = program(&["--retry", &last, "--retry", "nonsense"]);
    assert!(code == Some(1) && text.contains("nonsense: no refused operation has this id"), "{text}");
    let (code, text) = program(&["--retry-refused", "--json"]);
    let said: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!((code, &said["waiting"], &said["too_old"]), (Some(1), &19.into(), &10.into()), "{text}");
    let (code, text) = program(&["--retry-refused", "--drop", "--yes"]);
    assert!(code == Some(2) && text.contains("cannot be used with"), "{text}");

    file.open().await.close().await;
    let (code, text) = program(&["--replay", "--no-nats", "--database-url", &file.url()]);
    assert!(code == Some(0) && text.starts_with("20 replayed"), "{text}");
    assert_exactly_once(&file, 20).await;
}
