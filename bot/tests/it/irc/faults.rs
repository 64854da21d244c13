use super::*;

#[tokio::test]
async fn a_server_that_is_killed_is_entered_again_and_nothing_is_counted_twice() {
    let (mut world, mut observer) = World::with_observer(IrcServer::inspircd().await).await;
    let mut people = Vec::new();
    for name in ["ann", "bob"] {
        people.push(Person::join(world.irc.port(), name).await);
    }
    people[0].tell("before the fault").await;
    people[0].settle().await;
    world.agrees_with(&mut observer).await;
    let first = Record::of(&observer);

    world.irc.kill();
    world.nats.kill();
    world.bot.running.says("trying again in").await;
    drop(people);
    world.irc.restart().await;
    world.nats.restart().await;
    let _observer = Person::join(world.irc.port(), "observer").await;
    let mut ann = Person::join(world.irc.port(), "ann").await;
    world.bot.running.says_times("in #lounge as rosey", 2).await;
    ann.tell("after the fault").await;
    let expected = [&first.lines[..], &["ann: after the fault".to_owned()]].concat();
    wait_until("the line is written", || async { world.file.texts(LINES).await == expected }).await;
    // Who is not there any more has left when the server was lost. Who is has stayed, or come again if the bot was there before.
    let told = || async {
        let moves = world.moves().await;
        let is_here = |name: &str| moves.get(name).is_some_and(|moves| matches!(moves.as_str(), "+" | "+-+"));
        moves["bob"] == "+-" && ["ann", "observer", "rosey"].into_iter().all(is_here)
    };
    assert!(holds_within(crate::support::LIMIT, told).await, "{:?}", world.moves().await);
    world.finish().await;
}

#[tokio::test]
async fn a_name_that_another_one_has_is_taken_when_he_has_gone() {
    let irc = IrcServer::ngircd().await;
    let ghost = Person::join(irc.port(), "rosey").await;
    let (nats, file) = (NatsServer::start().await, DbFile::new());
    let _service = ServeProcess::start(&nats, &file).await;
    let bot = Bot::start(&irc.chat("rosey"), &nats.url(), &file);
    bot.running.says("in #lounge as rosey_").await;
    let observer = Person::join(irc.port(), "observer").await;
    ghost.quit().await;
    observer.hears(":rosey_!~rosey@127.0.0.1 NICK :rosey").await;
}

#[tokio::test]
async fn a_kick_is_taken_once_and_the_second_one_is_meant() {
    let (mut world, mut observer) = World::with_observer(IrcServer::ngircd().await).await;
    observer.say("KICK #lounge rosey :once").await;
    world.bot.running.says("thrown out of #lounge by observer: once").await;
    observer.hears_times(":rosey!~rosey@127.0.0.1 JOIN", 2).await;
    observer.say("KICK #lounge rosey :twice").await;
    let status = world.bot.running.ended_by_itself().await;
    assert_eq!(status.code(), Some(1));
    let log = world.bot.running.log();
    assert!(log.contains("127.0.0.1: thrown out of #lounge twice, at last by observer: twice"), "{log}");
    let details = world.file.texts("SELECT status FROM current_status").await;
    assert_eq!(details, ["offline"]);
}

#[tokio::test]
async fn a_channel_that_is_closed_to_the_bot_ends_it_with_a_sentence() {
    let irc = IrcServer::ngircd().await;
    let mut owner = Person::join(irc.port(), "owner").await;
    owner.say("MODE #lounge +k secret").await;
    owner.settle().await;
    let (nats, file) = (NatsServer::start().await, DbFile::new());
    let _service = ServeProcess::start(&nats, &file).await;
    let mut bot = Bot::start(&irc.chat("rosey"), &nats.url(), &file);
    assert_eq!(bot.running.ended_by_itself().await.code(), Some(1));
    let log = bot.running.log();
    assert!(log.contains("the server does not let us into #lounge"), "{log}");
    // With the key, it is let in.
    let key = file.dir().join("key");
    std::fs::write(&key, "secret\n").unwrap();
    let bot = Bot::start(&format!("{}?key={}", irc.chat("rosey"), key.display()), &nats.url(), &file);
    bot.running.says("in #lounge as rosey").await;
}

#[tokio::test]
async fn a_bot_says_goodbye_when_it_is_told_to_end() {
    let (world, observer) = World::with_observer(IrcServer::ngircd().await).await;
    world.finish().await;
    observer.hears(":rosey!~rosey@127.0.0.1 QUIT :\"bye\"").await;
}

#[tokio::test]
async fn a_server_is_trusted_by_its_certificate_alone() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let irc = IrcServer::with_tls(&made.cert.pem(), &made.signing_key.serialize_pem()).await;
    let (nats, file) = (NatsServer::start().await, DbFile::new());
    let _service = ServeProcess::start(&nats, &file).await;
    let ca = file.dir().join("ca.pem");
    std::fs::write(&ca, made.cert.pem()).unwrap();
    let chat = |host: &str| format!("irc+tls://rosey@{host}:{}/#lounge?ca={}", irc.tls(), ca.display());
    let wrong = Bot::start(&chat("127.0.0.1"), &nats.url(), &file);
    wrong.running.says("certificate not valid for name").await;
    let right = Bot::start(&chat("localhost"), &nats.url(), &file);
    right.running.says("in #lounge as rosey").await;
}
