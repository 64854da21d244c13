//! What people ask the bot in the channel, on real servers.

use super::*;

const UNSAID: &str = "SELECT message FROM outbound_messages WHERE sent = 0";
const UNANSWERED: &str = "SELECT message FROM outbound_messages WHERE sent = 0 AND sender IS NULL";

/// Waits until the channel hears this, and no answer is in the queue any more.
async fn said(world: &World, observer: &Person, text: &str) {
    observer.hears(&format!("PRIVMSG #lounge :{text}")).await;
    wait_until("it is marked", || async { world.file.texts(UNANSWERED).await.is_empty() }).await;
}

#[tokio::test]
async fn what_the_channel_asks_is_answered_from_the_database_and_a_message_waits_for_its_recipient() {
    let (mut world, observer) = World::with_observer(IrcServer::ngircd().await).await;
    let mut ann = Person::join(world.irc.port(), "ann").await;
    let mut carl = Person::join(world.irc.port(), "carl").await;
    carl.tell("it works on my machine").await;
    wait_until("the line is written", || async { !world.file.texts(LINES).await.is_empty() }).await;
    carl.quit().await;
    observer.hears(":carl!~carl@127.0.0.1 QUIT").await;
    wait_until("carl has left", || async { world.moves().await.get("carl").is_some_and(|m| m == "+-") })
        .await;

    ann.tell("!seen CARL").await;
    said(&world, &observer, "ann: carl was here").await;
    ann.tell("!quote add carl").await;
    said(&world, &observer, "ann: kept as #1").await;
    ann.tell("!quote").await;
    said(&world, &observer, "ann: #1 <carl> it works on my machine").await;
    // Four at once may be asked; the others ask the rest.
    let mut dora = Person::join(world.irc.port(), "dora").await;
    dora.tell("!last carl").await;
    said(&world, &observer, "dora: <carl> it works on my machine").await;
    dora.tell("!stats").await;
    said(&world, &observer, "dora: dora: ").await;
    world.nats.kill();
    dora.tell("!tell Carl the door is open").await;
    said(&world, &observer, "dora: I will tell Carl").await;
    world.nats.restart().await;
    dora.say("PRIVMSG rosey :!help").await;
    dora.hears("PRIVMSG dora :!help · !seen NICK").await;

    let mut carl = Person::join(world.irc.port(), "carl").await;
    observer.hears("PRIVMSG #lounge :carl: dora said ").await;
    wait_until("all is marked", || async { world.file.texts(UNSAID).await.is_empty() }).await;
    carl.tell("thanks").await;
    carl.say("PRIVMSG rosey :!inbox").await;
    carl.hears("PRIVMSG carl :nothing waits for you").await;
    wait_until("all is marked", || async { world.file.texts(UNSAID).await.is_empty() }).await;
    assert_eq!(observer.times("the door is open"), 2, "once by her, and once by the bot");
    for answer in ["ann: carl was here", "ann: kept as", "dora: <carl>", "dora: I will tell", ": dora said"] {
        assert_eq!(observer.times(answer), 1, "{answer}:\n{}", observer.lines().join("\n"));
    }
    world.finish().await;
}

#[tokio::test]
async fn two_bots_in_one_room_answer_once_where_the_network_has_ids() {
    let (world, observer) = World::with_observer(IrcServer::inspircd().await).await;
    let mut second = Bot::start(&world.irc.chat("rosey2"), &world.nats.url(), &world.file);
    second.running.says("in #lounge as rosey2").await;
    let mut ann = Person::join(world.irc.port(), "ann").await;
    for asked in ["!help", "!tell Late come in", "!seen nobody"] {
        ann.tell(asked).await;
    }
    said(&world, &observer, "ann: I have never seen nobody").await;
    // When both have reported a user who joins after the lines, both have read the lines.
    let marker = Person::join(world.irc.port(), "marker").await;
    let told = || async { world.moves().await.get("marker").is_some_and(|moves| moves == "++") };
    wait_until("both bots have seen the marker", told).await;
    let late = Person::join(world.irc.port(), "late").await;
    late.hears("PRIVMSG #lounge :late: ann said ").await;
    assert_eq!(second.running.terminate().await, Some(0), "{}", second.running.log());
    wait_until("all is marked", || async { world.file.texts(UNSAID).await.is_empty() }).await;
    let queued = world.file.texts("SELECT message FROM outbound_messages ORDER BY id").await;
    assert_eq!(queued.len(), 4, "three answers and what was left: {queued:?}");
    for answer in ["ann: !help", "ann: I will tell", "ann: I have never", "late: ann said"] {
        assert_eq!(
            observer.times(&format!("PRIVMSG #lounge :{answer}")),
            1,
            "{}",
            observer.lines().join("\n")
        );
    }
    drop(marker);
    world.finish().await;
}

#[tokio::test]
async fn somebody_who_floods_the_bot_with_questions_is_answered_a_few_times() {
    let (world, observer) = World::with_observer(IrcServer::ngircd().await).await;
    let mut ann = Person::join(world.irc.port(), "ann").await;
    for _ in 0..12 {
        ann.tell("!help").await;
    }
    ann.settle().await;
    let mut bob = Person::join(world.irc.port(), "bob").await;
    bob.tell("!seen nobody").await;
    said(&world, &observer, "bob: I have never seen nobody").await;
    let answers = "SELECT count(*) FROM outbound_messages WHERE message LIKE 'ann: %'";
    let answers = world.file.number(answers).await;
    // A server slows her down, so that she may ask anew meanwhile.
    assert!((4..9).contains(&answers), "{answers}");
    world.finish().await;
}
