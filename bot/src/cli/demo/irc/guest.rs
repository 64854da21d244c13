//! A user in the channel: says what the scenario tells, and hears what is said.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time;
use tokio_util::task::AbortOnDropHandle;

use crate::cli::console;
use crate::cli::exit::{Exit, Failure};

/// How long the server may take to answer.
const LIMIT: Duration = Duration::from_secs(10);
/// How many lines wait to be read, and how many to be said.
const WAITING: usize = 100;

/// What happens in the channel, as a guest sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Joined(String),
    Left(String),
    Said(String, String),
}

impl Heard {
    /// What a line of the server tells of the channel.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let (source, rest) = line.strip_prefix(':')?.split_once(' ')?;
        let nick = source.split('!').next()?.to_owned();
        let (verb, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        match verb {
            "JOIN" => Some(Self::Joined(nick)),
            "PART" | "QUIT" => Some(Self::Left(nick)),
            "KICK" => Some(Self::Left(rest.split(' ').nth(1)?.to_owned())),
            "PRIVMSG" => {
                let text = rest.strip_prefix(super::CHANNEL)?.strip_prefix(" :")?;
                Some(Self::Said(nick, text.to_owned()))
            }
            _ => None,
        }
    }

    /// Whether a user says this.
    pub(super) fn says(&self, what: &str) -> bool {
        matches!(self, Self::Said(_, text) if text == what)
    }
}

/// A guest. It is gone when this is dropped.
pub(super) struct Guest {
    nick: &'static str,
    says: mpsc::Sender<String>,
    _talks: AbortOnDropHandle<()>,
}

impl Guest {
    /// Comes to the server, and into the channel; also returns what it hears from then on.
    pub(super) async fn join(
        nick: &'static str,
        port: u16,
    ) -> Result<(Self, mpsc::Receiver<Heard>), Failure> {
        let failed = |e: std::io::Error| Failure::new(Exit::Failed, format!("{nick} on ngircd: {e}"));
        let server = TcpStream::connect(("127.0.0.1", port)).await.map_err(failed)?;
        let ((says, said), (tell, mut heard)) = (mpsc::channel(WAITING), mpsc::channel(WAITING));
        let talks = AbortOnDropHandle::new(tokio::spawn(async move {
            if let Err(e) = talk(server, nick, said, tell).await {
                console::say(format!("{nick} has lost the connection to ngircd: {e}"));
            }
        }));
        let arrives = async {
            while let Some(heard) = heard.recv().await {
                if heard == Heard::Joined(nick.to_owned()) {
                    return Ok(());
                }
            }
            Err(failed(std::io::ErrorKind::UnexpectedEof.into()))
        };
        time::timeout(LIMIT, arrives).await.map_err(|_| failed(std::io::ErrorKind::TimedOut.into()))??;
        Ok((Self { nick, says, _talks: talks }, heard))
    }

    /// Says something in the channel.
    pub(super) async fn say(&self, text: &str) -> Result<(), Failure> {
        let line = format!("PRIVMSG {} :{text}", super::CHANNEL);
        let gone = |_| Failure::new(Exit::Failed, format!("{} is no longer on ngircd", self.nick));
        self.says.send(line).await.map_err(gone)
    }
}

/// Is on the server until the connection or the guest is gone. What is not read is forgotten.
async fn talk(
    mut server: TcpStream,
    nick: &str,
    mut said: mpsc::Receiver<String>,
    tell: mpsc::Sender<Heard>,
) -> std::io::Result<()> {
    let (input, mut output) = server.split();
    let mut lines = BufReader::new(input).lines();
    output.write_all(format!("NICK {nick}\r\nUSER {nick} 0 * :{nick}\r\n").as_bytes()).await?;
    loop {
        let answer = tokio::select! {
            text = said.recv() => match text {
                Some(text) => Some(text),
                None => return Ok(()),
            },
            line = lines.next_line() => {
                let Some(line) = line? else { return Err(std::io::ErrorKind::UnexpectedEof.into()) };
                if let Some(heard) = Heard::parse(&line) {
                    let _ = tell.send(heard).await;
                }
                match line.strip_prefix("PING ") {
                    Some(token) => Some(format!("PONG {token}")),
                    None => (line.split(' ').nth(1) == Some("001")).then(|| format!("JOIN {}", super::CHANNEL)),
                }
            }
        };
        if let Some(answer) = answer {
            output.write_all(format!("{answer}\r\n").as_bytes()).await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_channel_is_heard_and_one_in_private_is_not() {
        let said = Heard::Said("ann".to_owned(), "a: b :c".to_owned());
        assert_eq!(Heard::parse(":ann!a@host PRIVMSG #lounge :a: b :c"), Some(said));
        assert_eq!(Heard::parse(":ann!a@host PRIVMSG guest :secret"), None);
        assert_eq!(Heard::parse(":ann!a@host JOIN :#lounge"), Some(Heard::Joined("ann".to_owned())));
        assert_eq!(Heard::parse(":op!a@host KICK #lounge ann :out"), Some(Heard::Left("ann".to_owned())));
        for other in ["", ":", ":ann", "PING :x", ":ann KICK #lounge"] {
            assert_eq!(Heard::parse(other), None, "{other:?}");
        }
    }
}
