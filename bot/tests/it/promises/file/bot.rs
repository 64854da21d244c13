//! A bot whose file cannot be written.

use super::*;

/// A bot without NATS, which reads lines of a chat from its input.
pub(super) struct Chat {
    pub(super) bot: Child,
    pub(super) lines: u64,
    pub(super) log: PathBuf,
}

impl Chat {
    pub(super) fn start(file: &DbFile, outbox: &Path) -> Self {
        let log = outbox.with_extension("log");
        let bot = rosey()
            .args(["bot", "--no-nats", "--chat", "jsonl:-", "--database-url", &file.url(), "--outbox"])
            .arg(outbox)
            .stdin(Stdio::piped())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { bot, lines: 0, log }
    }

    /// What it has said.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Ends its input; how it ends.
    pub(super) fn ends(&mut self) -> Option<i32> {
        drop(self.bot.stdin.take());
        self.bot.wait().unwrap().code()
    }

    pub(super) fn say(&mut self) {
        self.lines += 1;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let content = format!("line {}", self.lines);
        let event = json!({"event": "message", "user": "alice", "content": content, "timestamp": now});
        writeln!(self.bot.stdin.as_mut().unwrap(), "{event}").unwrap();
    }
}

#[tokio::test]
async fn what_a_bot_cannot_write_to_its_file_waits_in_the_outbox() {
    let (file, kept) = (DbFile::new(), OutboxFile::new());
    let mut chat = Chat::start(&file, &kept.path());
    chat.say();
    wait_until("the first line", || async { file.path().exists() && lines(&file).await == Some(1) }).await;
    let away = file.path().with_extension("away");
    fs::rename(file.path(), &away).unwrap();
    for _ in 0..20 {
        chat.say();
    }
    // The first line waits as well if its file was moved before the writer had looked for it again.
    wait_until("they wait in the outbox", || async {
        kept.number("SELECT count(*) FROM waiting").await >= 20
    })
    .await;
    assert!(!file.path().exists());
    fs::rename(&away, file.path()).unwrap();
    wait_until("they are replayed", || async { lines(&file).await == Some(21) }).await;
    let (code, said) = (chat.ends(), chat.log());
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("deleted or moved away"), "{said}");
    assert_eq!(file.number(COUNTED).await, 21);
}
