//! What a server offers beyond the old protocol is used: encryption that it wants, and the lines from before.

use super::*;

#[tokio::test]
async fn a_server_that_wants_encryption_is_told_name_and_channel_over_tls_alone() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let irc = IrcServer::wanting_tls(&made.cert.pem(), &made.signing_key.serialize_pem()).await;
    let (nats, file) = (NatsServer::start().await, DbFile::new());
    let _service = ServeProcess::start(&nats, &file).await;
    let chat = format!("irc://rosey@localhost:{}/#lounge", irc.port());
    let strange = Bot::start(&chat, &nats.url(), &file);
    strange
        .running
        .says(&format!("the server wants an encrypted connection, to port {} (STS)", irc.tls()))
        .await;
    strange.running.says("invalid peer certificate").await;
    let ca = file.dir().join("ca.pem");
    std::fs::write(&ca, made.cert.pem()).unwrap();
    let trusting = Bot::start(&format!("{chat}?ca={}", ca.display()), &nats.url(), &file);
    trusting.running.says("in #lounge as rosey").await;
    assert!(
        !strange.running.log().contains("in #lounge"),
        "it does not come without encryption: {}",
        strange.running.log()
    );
}

#[tokio::test]
async fn what_was_said_while_the_bot_was_away_is_logged_once_and_not_answered() {
    let (mut world, mut observer) = World::with_observer(IrcServer::repeating().await).await;
    observer.say("MODE #lounge +H 20:1h").await;
    observer.hears(" MODE #lounge +H ").await;
    let mut ann = Person::join(world.irc.port(), "ann").await;
    ann.tell("while it is here").await;
    world.agrees_on_lines(&mut observer).await;
    world.bot.running.kill();
    observer.hears(":rosey!").await;
    ann.tell("while it is away").await;
    ann.tell("!seen nobody").await;
    ann.settle().await;
    world.bot = Bot::start(&world.irc.chat("rosey"), &world.nats.url(), &world.file);
    world.agrees_on_lines(&mut observer).await;
    ann.tell("!help").await;
    observer.hears("PRIVMSG #lounge :ann: !help").await;
    assert!(!observer.heard("I have never seen"), "a command from before is not answered");
    world.finish().await;
}
