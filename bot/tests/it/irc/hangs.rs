//! Two bots in one room, and the connection of one of them hangs without an end.

use std::net::{Ipv4Addr, SocketAddr};

use super::*;
use eitherway_testkit::{BOTH, Proxy};

const ROOM: &str = "irc:#lounge";

#[tokio::test]
async fn a_bot_whose_connection_hangs_gives_the_lead_up_while_it_still_waits_for_the_server() {
    let irc = IrcServer::ngircd().await;
    let mut ann = Person::join(irc.port(), "ann").await;
    let (nats, file) = (NatsServer::start().await, DbFile::new());
    let _service = ServeProcess::start(&nats, &file).await;
    let proxy = Proxy::to(SocketAddr::from((Ipv4Addr::LOCALHOST, irc.port()))).await;
    let chat = format!("irc://rosey@{}/#lounge", proxy.address());
    let bot = Bot::sharing(&chat, &nats.url(), &file);
    bot.running.says("in #lounge as rosey").await;
    ann.tell("both hear this").await;
    wait_until("it leads", || async { file.texts(LINES).await == ["ann: both hear this"] }).await;
    let twin = Bot::sharing(&irc.chat("twin"), &nats.url(), &file);
    twin.running.says(&format!("rosey leads in {ROOM}: this bot watches")).await;

    proxy.stall(BOTH);
    ann.tell("the other one hears this").await;
    bot.running.says(&format!("nothing is heard of {ROOM}: the lead is given up")).await;
    twin.running.says(&format!("leads in {ROOM} from now on")).await;
    let both = ["ann: both hear this", "ann: the other one hears this"];
    wait_until("it is written", || async { file.texts(LINES).await == both }).await;
    ann.tell("!seen nobody").await;
    ann.hears(":twin!~twin@127.0.0.1 PRIVMSG #lounge :ann: I have never seen nobody").await;
    assert!(!bot.running.log().contains("trying again"), "{}", bot.running.log());

    // Heard again, it watches, and writes nothing of what has come late.
    proxy.heal().await;
    bot.running.says(&format!("twin leads in {ROOM}: this bot watches")).await;
    // Who asks it in private is told so.
    ann.say("PRIVMSG rosey :!seen nobody").await;
    ann.hears(":rosey!~rosey@127.0.0.1 PRIVMSG ann :twin answers here at present: ask that one").await;
    ann.tell("the end").await;
    let all = ["ann: both hear this", "ann: the other one hears this", "ann: !seen nobody", "ann: the end"];
    wait_until("all is written once", || async { file.texts(LINES).await == all }).await;
}
