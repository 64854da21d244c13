use super::*;
use crate::support::program::finished;

/// `rosey send outbound_enqueue` for this user, or for the channel.
async fn tell(world: &World, user: Option<&str>, text: &str) {
    let dir = tempfile::tempdir().unwrap();
    let (url, nats) = (world.file.url(), world.nats.url());
    let payload = match user {
        Some(user) => serde_json::json!({ "username": user, "content": text }),
        None => serde_json::json!({ "content": text }),
    };
    let mut command = rosey(dir.path());
    let (payload, paths) = (payload.to_string(), ["--nats-url", &nats, "--database-url", &url]);
    let ran = finished(command.args(["send", "outbound_enqueue", &payload]).args(paths)).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

const LEFT: &str = "SELECT message FROM outbound_messages WHERE sent = 0";

#[tokio::test]
async fn what_a_strict_channel_drops_is_said_again_until_it_is_shown_once() {
    let cytube = CyTube::start().await;
    // It does not tell how strict it is.
    cytube.room().flood = Some((2.0, 4.0));
    let world = World::with(cytube).await;
    for n in 0..6 {
        tell(&world, None, &format!("message {n} with *looks* and <signs>")).await;
    }
    tell(&world, None, "/clear the channel").await;
    wait_until("all is marked", || async { world.file.texts(LEFT).await.is_empty() }).await;
    let expected = (0..6).map(|n| format!("rosey: message {n} with *looks* and <signs>"));
    let expected: Vec<_> = expected.chain(["rosey: /clear the channel".to_owned()]).collect();
    assert_eq!(world.cytube.room().lines, expected, "in order, each once");
    world.finish().await;
}

#[tokio::test]
async fn a_message_is_marked_when_the_channel_has_shown_it() {
    let world = World::with(CyTube::start().await).await;
    world.cytube.room().mute = true;
    tell(&world, None, "can you hear me?").await;
    world.bot.running.says("the channel has not shown it").await;
    world.cytube.room().mute = false;
    tell(&world, None, "and now?").await;
    let left = || async { world.file.texts(LEFT).await == ["can you hear me?"] };
    wait_until("what was shown is marked, and what was not is kept", left).await;
    assert_eq!(world.cytube.room().lines, ["rosey: and now?"]);
    world.ends_with(1).await; // one message is not delivered
}

#[tokio::test]
async fn what_was_left_for_somebody_is_told_when_he_comes_and_a_private_question_is_answered_in_private() {
    let world = World::with(CyTube::start().await).await;
    world.cytube.room().join("ann");
    world.cytube.room().say("ann", "!tell Late come in");
    let said = |text: &'static str| {
        let world = &world;
        move || async move { world.cytube.room().lines.iter().any(|line| line.contains(text)) }
    };
    wait_until("the bot has understood", said("ann: I will tell")).await;
    world.cytube.room().join("late");
    wait_until("he is told", said("rosey: late: ann said")).await;
    world.cytube.room().pm("ann", "rosey", "!seen nobody");
    let answered = || async { !world.cytube.room().whispers.is_empty() };
    wait_until("she is answered", answered).await;
    assert!(world.cytube.room().whispers[0].starts_with("rosey > ann: I have never"));
    assert!(!said("nobody")().await, "in private alone");
    world.finish().await;
}
