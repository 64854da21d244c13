//! Two bots in one room of a server that gives no ids: one leads, and everything has one effect.

use super::*;

const ROOM: &str = "irc:#lounge";

/// The lines of people that the observer has heard when the server has taken all of theirs, sorted.
async fn heard(observer: &mut Person, people: &mut [&mut Person]) -> Vec<String> {
    for person in people {
        person.settle().await;
    }
    observer.settle().await;
    let lines = Record::of(observer).lines;
    let is_bot = |line: &&String| ["rosey: ", "twin: "].iter().any(|bot| line.starts_with(bot));
    sorted(&lines.iter().filter(|line| !is_bot(line)).cloned().collect::<Vec<_>>())
}

/// What people said is in the database, each line once, and nothing else.
async fn agrees(world: &World, twin: &Bot, observer: &mut Person, people: &mut [&mut Person]) {
    let heard = heard(observer, people).await;
    if !holds_within(crate::support::LIMIT, || async { world.sorted_lines().await == heard }).await {
        let logs = format!("{}\n{}", world.bot.running.log(), twin.running.log());
        assert_eq!(world.sorted_lines().await, heard, "{logs}");
    }
}

/// Nothing is left that `verify` would find. What a bot had on its way when it was frozen may have failed.
pub(super) async fn ended(world: World, mut bot: Bot) {
    assert!(bot.running.terminate().await.is_some(), "{}", bot.running.log());
    let _ = world.service.terminate_and_log().await;
    world.file.assert_clean().await;
}

/// Who came and went, without what two bots may have told of the same move.
async fn present(world: &World) -> BTreeMap<String, bool> {
    world.moves().await.into_iter().map(|(name, moves)| (name, moves.ends_with('+'))).collect()
}

#[tokio::test]
async fn on_a_server_without_ids_each_line_is_written_once_whoever_of_two_bots_dies_or_freezes() {
    let (mut world, mut observer) = World::shared_with_observer(IrcServer::ngircd().await).await;
    let twin = Bot::sharing(&world.irc.chat("twin"), &world.nats.url(), &world.file);
    twin.running.says(&format!("rosey leads in {ROOM}: this bot watches")).await;
    let mut ann = Person::join(world.irc.port(), "ann").await;
    let mut bob = Person::join(world.irc.port(), "bob").await;
    for n in 0..3 {
        ann.tell(&format!("both are well {n}")).await;
        bob.tell("hi").await;
    }
    agrees(&world, &twin, &mut observer, &mut [&mut ann, &mut bob]).await;

    // The one who leads dies, between two lines that it never hears of.
    world.bot.running.kill();
    let mut carl = Person::join(world.irc.port(), "carl").await;
    carl.tell("nobody leads").await;
    bob.tell("hi").await;
    bob.quit().await;
    ann.tell("!seen nobody").await;
    twin.running.says(&format!("leads in {ROOM} from now on")).await;
    observer.hears("PRIVMSG #lounge :ann: I have never seen nobody").await;
    agrees(&world, &twin, &mut observer, &mut [&mut ann, &mut carl]).await;
    let told = || async {
        let present = present(&world).await;
        present.get("carl") == Some(&true) && present.get("bob") == Some(&false)
    };
    assert!(
        holds_within(crate::support::LIMIT, told).await,
        "{:?}\n{}",
        world.moves().await,
        twin.running.log()
    );

    // It comes back, and watches; then the other one freezes, and is thawed when it leads no more.
    world.bot = Bot::sharing(&world.irc.chat("rosey"), &world.nats.url(), &world.file);
    world.bot.running.says(&format!("twin leads in {ROOM}: this bot watches")).await;
    ann.tell("the other way round").await;
    agrees(&world, &twin, &mut observer, &mut [&mut ann]).await;
    // Not while it has the file for itself: then nobody could write.
    let held = world.file.hold().await;
    twin.running.freeze();
    drop(held);
    carl.tell("hi").await;
    carl.tell("!seen somebody").await;
    world.bot.running.says(&format!("leads in {ROOM} from now on")).await;
    observer.hears("PRIVMSG #lounge :carl: I have never seen somebody").await;
    ann.tell("it sleeps").await;
    agrees(&world, &twin, &mut observer, &mut [&mut ann, &mut carl]).await;
    twin.running.thaw();
    twin.running.says_times(&format!("rosey leads in {ROOM}: this bot watches"), 2).await;
    ann.tell("!stats").await;
    observer.hears("PRIVMSG #lounge :ann: ann: ").await;
    agrees(&world, &twin, &mut observer, &mut [&mut ann]).await;
    for answer in ["ann: I have never seen nobody", "carl: I have never seen somebody", "ann: ann: "] {
        assert_eq!(
            observer.times(&format!("PRIVMSG #lounge :{answer}")),
            1,
            "{}",
            observer.lines().join("\n")
        );
    }

    // The one who leads goes in order: the other one need not wait for the end of its time.
    assert_eq!(world.bot.running.terminate().await, Some(0), "{}", world.bot.running.log());
    ann.tell("one is left").await;
    twin.running.says_times(&format!("leads in {ROOM} from now on"), 2).await;
    agrees(&world, &twin, &mut observer, &mut [&mut ann]).await;
    ended(world, twin).await;
}
