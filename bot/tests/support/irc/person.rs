//! A user of an IRC server: says what a test tells it to, and keeps every line that it hears.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::Mutex as AsyncMutex;
use tokio::task::JoinHandle;

use super::super::wait_until;

pub(crate) struct Person {
    pub(crate) nick: String,
    output: Arc<AsyncMutex<OwnedWriteHalf>>,
    heard: Arc<Mutex<Vec<String>>>,
    reader: JoinHandle<()>,
    questions: u32,
}

impl Person {
    /// Comes to the server, and into the channel.
    pub(crate) async fn join(port: u16, nick: &str) -> Self {
        let mut person = Self::connect(port, nick).await;
        person.say("JOIN #lounge").await;
        person.hears(" 366 ").await;
        person
    }

    /// Comes to the server.
    pub(crate) async fn connect(port: u16, nick: &str) -> Self {
        let (input, output) = TcpStream::connect(("127.0.0.1", port)).await.unwrap().into_split();
        let (output, heard) = (Arc::new(AsyncMutex::new(output)), Arc::<Mutex<Vec<String>>>::default());
        let (answers, said) = (Arc::clone(&output), Arc::clone(&heard));
        let reader = tokio::spawn(async move {
            let mut input = BufReader::new(input).split(b'\n');
            while let Ok(Some(line)) = input.next_segment().await {
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                if let Some(token) = line.strip_prefix("PING ") {
                    let _ = answers.lock().await.write_all(format!("PONG {token}\r\n").as_bytes()).await;
                }
                said.lock().unwrap().push(line);
            }
        });
        let mut person = Self { nick: nick.to_owned(), output, heard, reader, questions: 0 };
        person.say(&format!("NICK {nick}\r\nUSER {nick} 0 * :{nick}")).await;
        wait_until("the server accepts the user", || async {
            person.heard(" 376 ") || person.heard(" 422 ")
        })
        .await;
        person
    }

    /// Sends a line to the server.
    pub(crate) async fn say(&mut self, line: &str) {
        self.bytes(format!("{line}\r\n").as_bytes()).await;
    }

    /// Sends these bytes.
    pub(crate) async fn bytes(&mut self, bytes: &[u8]) {
        self.output.lock().await.write_all(bytes).await.unwrap();
    }

    /// Says something in the channel.
    pub(crate) async fn tell(&mut self, text: &str) {
        self.say(&format!("PRIVMSG #lounge :{text}")).await;
    }

    /// Takes another name.
    pub(crate) async fn rename(&mut self, nick: &str) {
        self.say(&format!("NICK {nick}")).await;
        nick.clone_into(&mut self.nick);
    }

    /// Returns when the server has done everything that it was told.
    pub(crate) async fn settle(&mut self) {
        self.questions += 1;
        let question = format!("settled-{}", self.questions);
        self.say(&format!("PING :{question}")).await;
        self.hears(&question).await;
    }

    /// Leaves the server; it has told the others when this returns.
    pub(crate) async fn quit(mut self) {
        self.say("QUIT :bye").await;
        let reader = &mut self.reader;
        tokio::time::timeout(super::super::LIMIT, reader)
            .await
            .expect("the server closes the connection")
            .unwrap();
    }

    /// Everything that the user has received.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    pub(crate) fn heard(&self, text: &str) -> bool {
        self.heard.lock().unwrap().iter().any(|line| line.contains(text))
    }

    /// How many lines with this text were received.
    pub(crate) fn times(&self, text: &str) -> usize {
        self.heard.lock().unwrap().iter().filter(|line| line.contains(text)).count()
    }

    /// Waits for a line with this text.
    pub(crate) async fn hears(&self, text: &str) {
        self.hears_times(text, 1).await;
    }

    /// Waits for so many of them.
    pub(crate) async fn hears_times(&self, text: &str, times: usize) {
        let heard =
            super::super::holds_within(super::super::LIMIT, || async { self.times(text) >= times }).await;
        assert!(heard, "{} does not hear {times} times {text:?}:\n{}", self.nick, self.lines().join("\n"));
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        self.reader.abort();
    }
}
