//! The scene that guests play: they talk, ask the bot, and nats-server is killed meanwhile.

use std::time::Duration;

use tokio::time;

use super::super::env::Env;
use super::super::scenario::Fault;
use super::{Channel, GUESTS, Guest};
use crate::cli::console;
use crate::cli::exit::Failure;

/// Between two lines, so that people can read them.
const PAUSE: Duration = Duration::from_millis(900);

/// Plays it; the bot must answer every question.
pub(super) async fn play(env: &mut Env, channel: &mut Channel, port: u16) -> Result<(), Failure> {
    let [alice, bob, carol] = GUESTS;
    let (alice, _) = Guest::join(alice, port).await?;
    let (bob, _) = Guest::join(bob, port).await?;
    told("All is well: the bot writes through NATS.");
    says(channel, &alice, "hello! who is the bot?").await?;
    asks(channel, &alice, "!help", "!seen").await?;
    asks(channel, &bob, "!tell carol the film starts at eight", "carol").await?;

    env.act(Fault::KillServer).await?;
    told("nats-server is killed. The bot writes to the database itself, and answers from it.");
    says(channel, &alice, "does it still know what we say?").await?;
    asks(channel, &bob, "!seen alice", "alice").await?;
    asks(channel, &bob, "!quote add alice", "1").await?;
    let (carol, _) = Guest::join(carol, port).await?;
    channel.answered("the film starts at eight").await?;

    env.act(Fault::StartServer).await?;
    told("nats-server is back.");
    says(channel, &carol, "thanks. I am in!").await?;
    asks(channel, &carol, "!top", "alice").await?;
    asks(channel, &alice, "!quote", "does it still know").await
}

fn told(what: &str) {
    console::say(format!("\n  {what}"));
}

async fn says(channel: &mut Channel, guest: &Guest, text: &str) -> Result<(), Failure> {
    guest.say(text).await?;
    channel.until("a line does not come back", |heard| heard.says(text)).await?;
    time::sleep(PAUSE).await;
    Ok(())
}

/// Asks the bot, and goes on until it has answered with this.
async fn asks(channel: &mut Channel, guest: &Guest, question: &str, answer: &str) -> Result<(), Failure> {
    guest.say(question).await?;
    channel.answered(answer).await?;
    time::sleep(PAUSE).await;
    Ok(())
}
