use super::*;
use crate::support::program::finished;

/// `rosey tell` for this user, or for the channel.
async fn tell(world: &World, user: Option<&str>, text: &str) {
    let dir = tempfile::tempdir().unwrap();
    let (url, nats) = (world.file.url(), world.nats.url());
    let payload = match user {
        Some(user) => serde_json::json!({ "username": user, "content": text }),
        None => serde_json::json!({ "content": text }),
    };
    let mut command = rosey(dir.path());
    command.args([
        "send",
        "outbound_enqueue",
        &payload.to_string(),
        "--nats-url",
        &nats,
        "--database-url",
        &url,
    ]);
    let ran = finished(&mut command).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

const LEFT: &str = "SELECT message FROM outbound_messages WHERE sent = 0";

#[tokio::test]
async fn what_waits_is_said_once_and_whole_at_the_pace_of_the_network() {
    for irc in [IrcServer::ngircd().await, IrcServer::inspircd().await] {
        let (world, observer) = World::with_observer(irc).await;
        let long = "wörd 🦀 ".repeat(100);
        tell(&world, Some("late"), &long).await;
        for n in 0..5 {
            tell(&world, Some("late"), &format!("message {n}")).await;
        }
        tell(&world, None, "to all\r\nQUIT :of you").await;
        observer.hears("PRIVMSG #lounge :to all").await;
        observer.hears("PRIVMSG #lounge :QUIT :of you").await;
        let late = Person::join(world.irc.port(), "late").await;
        late.hears("message 4").await;
        wait_until("all is marked", || async { world.file.texts(LEFT).await.is_empty() }).await;
        let lines = late.lines();
        let said: Vec<_> = lines
            .iter()
            .filter_map(|line| line.split_once(" PRIVMSG late :").map(|(_, text)| text))
            .collect();
        assert!(lines.iter().all(|line| line.len() <= 510));
        let whole = |text: &str| text.split_whitespace().collect::<String>();
        let expected: String = std::iter::once(long).chain((0..5).map(|n| format!("message {n}"))).collect();
        assert_eq!(whole(&said.concat()), whole(&expected), "in order, each once, nothing cut");
        world.finish().await;
    }
}

#[tokio::test]
async fn a_message_for_somebody_who_has_gone_is_kept() {
    let (world, mut observer) = World::with_observer(IrcServer::inspircd().await).await;
    tell(&world, Some("nobody"), "are you there?").await;
    tell(&world, None, "one").await;
    observer.hears(":one").await;
    observer.settle().await;
    wait_until("one is marked", || async { world.file.texts(LEFT).await == ["are you there?"] }).await;
    world.finish().await;
}
