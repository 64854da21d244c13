//! A process that opens a copy of the file which the service has open.

use super::*;

/// The same statements, committed: what a bot wrote to this file.
async fn written(file: &DbFile) -> i64 {
    file.number("SELECT count(*) FROM ledger").await
}

/// Copies a file, with its log or without.
fn copied(from: &DbFile, log: bool) -> DbFile {
    let to = DbFile::new();
    fs::copy(from.path(), to.path()).unwrap();
    if log {
        fs::copy(beside(&from.path(), "-wal"), beside(&to.path(), "-wal")).unwrap();
    }
    to
}

/// A bot that hears of chat lines on its input, over NATS and on this file.
struct Bot {
    child: Child,
    lines: u64,
    outbox: OutboxFile,
    log: PathBuf,
}

impl Bot {
    fn start(server: &NatsServer, file: &Path) -> Self {
        let outbox = OutboxFile::new();
        let log = outbox.path().with_extension("log");
        let database = format!("sqlite://{}", file.display());
        let child = rosey()
            .args([
                "bot",
                "--nats-url",
                &server.url(),
                "--chat",
                "jsonl:-",
                "--database-url",
                &database,
                "--outbox",
            ])
            .arg(outbox.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { child, lines: 0, outbox, log }
    }

    fn say(&mut self) {
        self.lines += 1;
        let event = json!({"event": "message", "user": "alice", "content": format!("line {}", self.lines)});
        writeln!(self.child.stdin.as_mut().unwrap(), "{event}").unwrap();
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until this many events are in the outbox.
    async fn keeps(&self, events: i64) {
        wait_until("they wait in the outbox", || async { self.outbox.waiting().await == Some(events) }).await;
    }
}

impl Drop for Bot {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the log of the bot:\n{}", self.log());
        }
    }
}

#[tokio::test]
async fn a_new_process_on_a_copy_writes_nothing_to_it_while_the_service_runs_on_the_file() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let made = ["--no-nats", "--database-url", &file.url()];
    let line = r#"{"username":"ann","message":"before"}"#;
    assert_eq!(run(rosey().args(["send", "message_log", line]).args(made)).0, Some(0));
    let before = copied(&file, false);
    let mut world = World::on(server, file).await;
    for _ in 0..5 {
        world.say().await.unwrap();
    }
    let [with_log, without] = [true, false].map(|log| copied(&world.file, log));
    // The service is there, and cannot serve: each of these has only the path to its copy.
    let held = world.file.hold().await;
    for copy in [&before, &with_log, &without] {
        let had = written(copy).await;
        let (code, text) = world.send_with("to a copy", &["--database-url", &copy.url()]);
        assert_eq!(code, Some(4), "{text}");
        assert!(
            text.contains(&copy.path().display().to_string()) && text.contains("is not the file"),
            "{text}"
        );
        let mut bot = Bot::start(&world.server, &copy.path());
        bot.say();
        bot.keeps(1).await;
        assert_eq!(written(copy).await, had, "{}", bot.log());
    }
    held.release().await;
}

#[tokio::test]
async fn a_bot_that_was_on_a_copy_before_the_service_came_stays_off_it() {
    let (mut server, file) = (NatsServer::start().await, DbFile::new());
    let made = ["--no-nats", "--database-url", &file.url()];
    let line = r#"{"username":"ann","message":"before"}"#;
    assert_eq!(run(rosey().args(["send", "message_log", line]).args(made)).0, Some(0));
    let copy = copied(&file, false);
    let mut bot = Bot::start(&server, &copy.path());
    bot.say();
    wait_until("nothing is known against it", || async { written(&copy).await == 2 }).await;
    let mut serve = ServeProcess::start(&server, &file).await;
    wait_until("it is noticed", || async { bot.log().contains("one is a copy of the other") }).await;
    let held = file.hold().await;
    bot.say();
    bot.keeps(1).await;
    held.release().await;
    wait_until("it goes to the service", || async { written(&file).await == 2 }).await;
    // Its answer is here, too: else it would be sent again, beside the next.
    bot.keeps(0).await;
    // Without the service, and without the server, what is known of the copy is still known.
    serve.kill();
    bot.say();
    bot.keeps(1).await;
    server.kill();
    bot.say();
    bot.keeps(2).await;
    assert_eq!(written(&copy).await, 2, "{}", bot.log());
}

#[tokio::test]
async fn no_file_is_created_where_the_service_has_a_database() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let missing = DbFile::new();
    {
        // A bot comes first, and no service is there: it has to begin.
        let mut bot = Bot::start(&server, &missing.path());
        bot.say();
        wait_until("it is created", || async { missing.path().exists() && lines(&missing).await == Some(1) })
            .await;
    }
    let missing = DbFile::new();
    let world = World::on(server, file).await;
    let mut bot = Bot::start(&world.server, &missing.path());
    bot.say();
    wait_until("the service takes it", || async { world.file.number(LINES).await == 1 }).await;
    let held = world.file.hold().await;
    bot.say();
    bot.keeps(1).await;
    assert!(!missing.path().exists(), "{}", bot.log());
    assert!(bot.log().contains("nothing is created"), "{}", bot.log());
    held.release().await;
    wait_until("it is replayed", || async { world.file.number(LINES).await == 2 }).await;
}
