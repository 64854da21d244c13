//! The services of a network, as far as they know accounts: linked to a real inspircd, they answer to SASL PLAIN.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::task::JoinHandle;

use super::super::wait_until;
use super::IrcServer;

/// What they are called, and the password of the link.
pub(super) const NAME: &str = "services.irc.test";
pub(super) const PASSWORD: &str = "link";
/// Their id, and that of the one who answers.
const ID: &str = "00S";
const AGENT: &str = "00SAAAAAA";

/// The accounts, and who has tried to be one of them.
#[derive(Default)]
struct Known {
    /// `account password`, of the one there is.
    right: String,
    /// The same as it was said, in this order.
    tried: Vec<String>,
    linked: bool,
}

/// They are linked until they are dropped.
pub(crate) struct Services {
    known: Arc<Mutex<Known>>,
    link: JoinHandle<()>,
}

impl Services {
    /// Links them. There is one account; its password is that of the last [`Self::accepts`].
    pub(crate) async fn link(server: &IrcServer) -> Self {
        let known = Arc::<Mutex<Known>>::default();
        let (input, output) = TcpStream::connect(("127.0.0.1", server.links())).await.unwrap().into_split();
        let link = tokio::spawn(serve(BufReader::new(input), output, Arc::clone(&known)));
        wait_until("the services are linked", || async { known.lock().unwrap().linked }).await;
        Self { known, link }
    }

    /// From now on, this password of this account is right.
    pub(crate) fn accepts(&self, account: &str, password: &str) {
        self.known.lock().unwrap().right = format!("{account} {password}");
    }

    /// Accounts and passwords that were tried.
    pub(crate) fn tried(&self) -> Vec<String> {
        self.known.lock().unwrap().tried.clone()
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        self.link.abort();
    }
}

async fn serve(
    input: BufReader<tokio::net::tcp::OwnedReadHalf>,
    mut output: OwnedWriteHalf,
    known: Arc<Mutex<Known>>,
) {
    let hello = format!(
        "CAPAB START 1205\r\nCAPAB CAPABILITIES :PROTOCOL=1205\r\nCAPAB END\r\nSERVER {NAME} {PASSWORD} 0 {ID} :services\r\n"
    );
    output.write_all(hello.as_bytes()).await.unwrap();
    let mut lines = input.lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let words: Vec<&str> = line.split(' ').collect();
        let answer = match words[..] {
            ["SERVER", ..] => {
                let now = eitherway::clock::now() / 1000;
                let burst = format!(
                    ":{ID} BURST {now}\r\n:{ID} METADATA * saslmechlist :PLAIN\r\n:{ID} ENDBURST\r\n"
                );
                // When that is answered, all of it is taken.
                format!("{burst}:{ID} PING 001\r\n")
            }
            [_, "PING", ..] => format!(":{ID} PONG 001\r\n"),
            [_, "PONG", ..] => {
                known.lock().unwrap().linked = true;
                continue;
            }
            [_, "ENCAP", _, "SASL", user, _, "S", ..] => {
                format!(":{ID} ENCAP 001 SASL {AGENT} {user} C +\r\n")
            }
            [_, "ENCAP", _, "SASL", user, _, "C", said] => {
                let said = BASE64_STANDARD.decode(said.trim_start_matches(':')).unwrap();
                let said = String::from_utf8(said).unwrap().trim_start_matches('\0').replace('\0', " ");
                let mut known = known.lock().unwrap();
                let is_right = said == known.right;
                known.tried.push(said.clone());
                let outcome = if is_right { "S" } else { "F" };
                format!(":{ID} ENCAP 001 SASL {AGENT} {user} D {outcome}\r\n")
            }
            _ => continue,
        };
        output.write_all(answer.as_bytes()).await.unwrap();
    }
}
