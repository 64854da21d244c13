use super::*;

#[tokio::test]
async fn what_was_said_while_the_bot_was_away_is_written_once_and_not_answered() {
    let world = World::with(CyTube::start().await).await;
    world.cytube.room().join("ann");
    world.cytube.room().say("ann", "before");
    world.cytube.room().say_twice("ann", "twice before");
    world.agrees_on_lines().await;
    {
        let mut room = world.cytube.room();
        room.closed = true;
        room.cut("rosey");
        room.say_twice("ann", "twice meanwhile");
        room.say("ann", "!seen nobody");
        room.join("bob");
        room.leave("ann");
    }
    world.bot.running.says("the site answers 502").await;
    world.cytube.room().closed = false;
    world.bot.running.says_times("in lounge as rosey", 2).await;
    world.cytube.room().say("bob", "after");
    world.cytube.room().say("bob", "!seen somebody");
    world.agrees_on_lines().await;
    let answered =
        || async { world.cytube.room().lines.iter().any(|line| line.contains("bob: I have never")) };
    wait_until("the later question is answered", answered).await;
    let lines = world.cytube.room().lines.clone();
    assert!(!lines.iter().any(|line| line.contains("ann: I have never")), "{lines:?}");
    let told = || async {
        let moves = world.moves().await;
        moves.get("ann").is_some_and(|moves| moves == "+-")
            && moves.get("bob").is_some_and(|moves| moves == "+")
    };
    wait_until("who went and who came meanwhile is told", told).await;
    world.finish().await;
}

#[tokio::test]
async fn servers_that_are_killed_are_entered_again_and_nothing_is_counted_twice() {
    let mut world = World::with(CyTube::start().await).await;
    for name in ["ann", "bob"] {
        world.cytube.room().join(name);
        world.cytube.room().say(name, "before the fault");
    }
    world.agrees_on_lines().await;
    world.nats.kill();
    world.cytube.room().say("ann", "while NATS is away");
    world.cytube.kill();
    world.bot.running.says("trying again in").await;
    world.cytube.restart().await;
    world.nats.restart().await;
    world.cytube.room().join("ann");
    world.bot.running.says_times("in lounge as rosey", 2).await;
    world.cytube.room().say("ann", "after the fault");
    world.agrees_on_lines().await;
    // Who is not there any more has left when the server was lost. Who is has stayed, or come again if the bot was there before;
    // who comes in the second of the list of users is not told from those who stayed.
    let told = || async {
        let moves = world.moves().await;
        let is_here =
            |name: &str| moves.get(name).is_some_and(|moves| matches!(moves.as_str(), "+" | "+-+" | "++"));
        moves.get("bob").is_some_and(|moves| moves == "+-") && is_here("ann") && is_here("rosey")
    };
    assert!(holds_within(crate::support::LIMIT, told).await, "{:?}", world.moves().await);
    world.finish().await;
}

#[tokio::test]
async fn a_kick_is_taken_once_and_the_second_one_is_meant() {
    let mut world = World::with(CyTube::start().await).await;
    world.cytube.room().kick("rosey", "once");
    world.bot.running.says("thrown out of lounge: once").await;
    world.bot.running.says_times("in lounge as rosey", 2).await;
    world.cytube.room().kick("rosey", "twice");
    assert_eq!(world.bot.running.ended_by_itself().await.code(), Some(1));
    let log = world.bot.running.log();
    assert!(log.contains("127.0.0.1: thrown out of lounge twice, at last: twice"), "{log}");
    assert_eq!(world.file.texts("SELECT status FROM current_status").await, ["offline"]);
}

#[tokio::test]
async fn a_refusal_that_is_final_ends_the_bot_with_a_sentence() {
    let cytube = CyTube::start().await;
    cytube.room().accounts.insert("rosey".to_owned(), "secret".to_owned());
    let (nats, file) = (NatsServer::start().await, DbFile::new());
    let _service = ServeProcess::start(&nats, &file).await;
    let password = file.dir().join("password");
    let with = |option: &str| format!("{}?{option}={}", cytube.chat("rosey"), password.display());
    let ends = async |chat: &str, sentence: &str| {
        let mut bot = Bot::start(chat, &nats.url(), &file);
        assert_eq!(bot.running.ended_by_itself().await.code(), Some(1));
        let log = bot.running.log();
        assert!(log.contains(sentence), "{log}");
        assert!(!log.contains("wrong password here"), "{log}");
    };
    std::fs::write(&password, "wrong password here\n").unwrap();
    ends(&with("login"), "does not log rosey in: Invalid username/password combination").await;
    ends(&cytube.chat("rosey"), "does not log rosey in: That username is registered.").await;
    ends(&cytube.chat("other").replace("/lounge", "/nowhere"), "the site has no channel `nowhere`").await;
    cytube.room().key = Some("open".to_owned());
    ends(&cytube.chat("other"), "lounge wants a password: key=FILE").await;
    ends(&with("key"), "lounge wants another password").await;
    cytube.room().key = None;
    std::fs::write(&password, "secret\n").unwrap();
    let mut bot = Bot::start(&with("login"), &nats.url(), &file);
    bot.running.says("in lounge as rosey").await;
    // A second one of the same account throws the first one out, which does not come back.
    let second = Bot::start(&with("login"), &nats.url(), &file);
    second.running.says("in lounge as rosey").await;
    assert_eq!(bot.running.ended_by_itself().await.code(), Some(1));
    assert!(bot.running.log().contains("Duplicate login"), "{}", bot.running.log());
    cytube.room().kick("rosey", "You're banned!");
    let mut second = second;
    assert_eq!(second.running.ended_by_itself().await.code(), Some(1));
}

#[tokio::test]
async fn a_name_that_a_ghost_has_is_taken_when_it_has_gone() {
    let cytube = CyTube::start().await;
    cytube.room().join("Rosey");
    let (nats, file) = (NatsServer::start().await, DbFile::new());
    let _service = ServeProcess::start(&nats, &file).await;
    let bot = Bot::start(&cytube.chat("rosey"), &nats.url(), &file);
    bot.running.says("already in use on this channel").await;
    cytube.room().say("Rosey", "not a line of others");
    cytube.room().join("ann");
    cytube.room().say("ann", "heard meanwhile");
    let heard = || async { file.texts(LINES).await == ["ann: heard meanwhile"] };
    wait_until("the bot listens meanwhile", heard).await;
    cytube.room().leave("Rosey");
    bot.running.says("in lounge as rosey").await;
}
