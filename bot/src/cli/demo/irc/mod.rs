//! `rosey demo --irc`: the bot in a channel of an IRC server, for any client that joins; if none does, guests play a scene.

mod guest;
mod kept;
mod ngircd;
mod scene;

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time;
use tokio_util::sync::CancellationToken;

use self::guest::{Guest, Heard};
use self::kept::Kept;
use self::ngircd::Ngircd;
use super::database::Database;
use super::env::{self, Env};
use crate::cli::args::DemoArgs;
use crate::cli::console;
use crate::cli::exit::{Exit, Failure};

const CHANNEL: &str = "#lounge";
const BOT: &str = "rosey";
/// The guest through whose eyes the channel is shown.
const OBSERVER: &str = "observer";
/// Those of the scene.
const GUESTS: [&str; 3] = ["alice", "bob", "carol"];

/// How long the demo waits for a person; `--fast` does not.
const COME: Duration = Duration::from_secs(20);
/// How long the bot may take to answer.
const ANSWER: Duration = Duration::from_secs(40);

/// What is seen of the channel; all of it is shown.
struct Channel {
    hears: mpsc::Receiver<Heard>,
    /// What people have said, as `name: text`.
    said: Vec<String>,
    /// People who are no guests of the scene.
    visitors: Vec<String>,
}

impl Channel {
    /// The next thing that happens.
    async fn next(&mut self) -> Result<Heard, Failure> {
        let gone = || Failure::new(Exit::Failed, "the observer is no longer on ngircd; see ngircd.log");
        let heard = self.hears.recv().await.ok_or_else(gone)?;
        match &heard {
            Heard::Joined(nick) => {
                console::say(format!("       * {nick} has joined"));
                if nick != BOT && nick != OBSERVER && !GUESTS.contains(&nick.as_str()) {
                    self.visitors.push(nick.clone());
                }
            }
            Heard::Left(nick) => {
                console::say(format!("       * {nick} has left"));
                self.visitors.retain(|visitor| visitor != nick);
            }
            Heard::Said(nick, text) => {
                console::say(format!("       <{nick}> {text}"));
                if nick != BOT {
                    self.said.push(format!("{nick}: {text}"));
                }
            }
        }
        Ok(heard)
    }

    /// Goes on until this has happened.
    async fn until(&mut self, what: &str, wanted: impl Fn(&Heard) -> bool) -> Result<(), Failure> {
        let happens = async {
            while !wanted(&self.next().await?) {}
            Ok(())
        };
        let late = |_| Failure::new(Exit::Failed, format!("{what}: not within {} s", ANSWER.as_secs()));
        time::timeout(ANSWER, happens).await.map_err(late)?
    }

    /// Goes on until the bot says something with this text.
    async fn answered(&mut self, with: &str) -> Result<(), Failure> {
        let is_it =
            |heard: &Heard| matches!(heard, Heard::Said(nick, text) if nick == BOT && text.contains(with));
        self.until(&format!("no answer of the bot with {with:?}"), is_it).await
    }
}

/// Plays in this directory, until those who came have left, or `end`; returns how it ended, and what there is to print: for
/// machines, and for people.
pub(super) async fn play(
    args: &DemoArgs,
    dir: PathBuf,
    end: &CancellationToken,
) -> Result<(Exit, serde_json::Value, String), Failure> {
    let program = ngircd::find(args.ngircd.as_deref())?;
    let mut env = Env::new(dir.clone(), Database::file(&dir.join(env::DATABASE)), super::server(args, &dir)?);
    env.is_new()?;
    let irc = Ngircd::start(&program, &dir).await?;
    let (_observer, hears) = Guest::join(OBSERVER, irc.port()).await?;
    let mut channel = Channel { hears, said: Vec::new(), visitors: Vec::new() };
    env.open().await?;
    let mut bot = env.bot_in(&format!("irc://{BOT}@127.0.0.1:{}/{CHANNEL}", irc.port()))?;
    tokio::select! {
        joined = channel.until("the bot is not in the channel", |heard| *heard == Heard::Joined(BOT.to_owned())) => joined?,
        ended = bot.ended() => {
            return Err(Failure::new(Exit::Failed, format!("the bot ended: {}; see bot.log", ended?)));
        }
    }
    invite(irc.port(), args.fast);
    let visited = if args.fast { false } else { comes(&mut channel, end).await? };
    if visited {
        visit(&mut channel, end).await?;
    } else if !end.is_cancelled() {
        tokio::select! {
            played = scene::play(&mut env, &mut channel, irc.port()) => played?,
            () = end.cancelled() => console::say("The scene is stopped."),
        }
    }
    let ended = bot.terminate().await?;
    env.close_service().await?;
    let kept = Kept::find(&channel.said, &env).await?;
    env.close().await?;
    let exit = if kept.is_good() && ended.success() { Exit::Ok } else { Exit::Failed };
    Ok((exit, kept.json(), kept.text()))
}

/// Says how to come.
fn invite(port: u16, fast: bool) {
    let wait = match fast {
        true => "Guests play a scene at once.".to_owned(),
        false => format!("If no one joins within {} s, guests play a scene.", COME.as_secs()),
    };
    console::say(format!(
        "\nThe bot is in {CHANNEL} on an IRC server of this machine. Come with any client:\n\
         \n    irssi -c 127.0.0.1 -p {port}         then: /join {CHANNEL}\
         \n    weechat irc://127.0.0.1:{port}/{CHANNEL}\n\
         \nand say: !help. {wait}\n"
    ));
}

/// Whether a client joins in time.
async fn comes(channel: &mut Channel, end: &CancellationToken) -> Result<bool, Failure> {
    let joined = async {
        while channel.visitors.is_empty() {
            channel.next().await?;
        }
        Ok(true)
    };
    tokio::select! {
        came = joined => came,
        () = time::sleep(COME) => Ok(false),
        () = end.cancelled() => Ok(false),
    }
}

/// Shows the channel until those who came have left, or the demo is ended.
async fn visit(channel: &mut Channel, end: &CancellationToken) -> Result<(), Failure> {
    console::say("       Welcome. The demo ends when the last one leaves, or with Ctrl-C.");
    while !channel.visitors.is_empty() {
        tokio::select! {
            heard = channel.next() => drop(heard?),
            () = end.cancelled() => break,
        }
    }
    Ok(())
}
