//! The file of the outbox is deleted, moved or replaced while a bot has it open.

use super::*;

/// A bot whose database is away: all it hears goes to its outbox. `kept`: how many of its lines were.
struct Bot {
    chat: Chat,
    file: DbFile,
    outbox: OutboxFile,
    kept: u64,
}

impl Bot {
    async fn start() -> Self {
        let (file, outbox) = (DbFile::new(), OutboxFile::new());
        let mut chat = Chat::start(&file, &outbox.path());
        chat.say();
        wait_until("the first line", || async { file.path().exists() && lines(&file).await == Some(1) })
            .await;
        file.move_away();
        Self { chat, file, outbox, kept: 0 }
    }

    async fn keeps_one(&mut self) {
        self.chat.say();
        self.kept += 1;
        let line = format!("\"line {}\"", self.chat.lines);
        wait_until("it is kept", || async { self.outbox.holds(&line).await == Some(true) }).await;
    }

    /// How often it has said that it keeps nothing.
    fn refusals(&self) -> usize {
        self.chat.log().lines().filter(|line| line.contains("ERROR the outbox ")).count()
    }

    /// Ends it with the database back; what it said.
    async fn ends(mut self) -> (Option<i32>, String, i64) {
        self.file.move_back();
        let all = i64::try_from(self.kept).unwrap() + 1;
        wait_until("all that was kept is applied", || async { lines(&self.file).await >= Some(all) }).await;
        (self.chat.ends(), self.chat.log(), lines(&self.file).await.unwrap())
    }
}

#[tokio::test]
async fn no_event_is_kept_in_an_outbox_that_is_not_at_its_path_and_it_goes_on_when_it_is_back() {
    let mut bot = Bot::start().await;
    let (path, away) = (bot.outbox.path(), bot.outbox.path().with_extension("away"));
    bot.keeps_one().await;
    for replaced in [false, true] {
        fs::rename(&path, &away).unwrap();
        if replaced {
            fs::write(&path, "this is no outbox").unwrap();
        }
        bot.chat.say();
        // The next one is kept only after this one was answered.
        wait_until("it is refused", || async { bot.refusals() == 1 + usize::from(replaced) }).await;
        fs::rename(&away, &path).unwrap();
        bot.keeps_one().await;
    }
    // What SQLite keeps beside it.
    for ends in [&["-wal"][..], &["-shm"], &["-wal", "-shm"]] {
        remove(&path, ends);
        bot.keeps_one().await;
    }
    // The log, in place.
    let log = fs::read(beside(&path, "-wal")).unwrap();
    fs::File::options().write(true).truncate(true).open(beside(&path, "-wal")).unwrap();
    bot.chat.say();
    wait_until("it is refused", || async { bot.refusals() == 3 }).await;
    fs::write(beside(&path, "-wal"), log).unwrap();
    bot.keeps_one().await;
    let kept = bot.kept;
    let (code, said, lines) = bot.ends().await;
    assert_eq!(code, Some(1), "three were lost, and it says so: {said}");
    assert_eq!(
        said.lines().filter(|line| line.contains("ERROR the outbox ")).count(),
        3,
        "once each time: {said}"
    );
    assert_eq!(lines.unsigned_abs(), kept + 1);
}

#[tokio::test]
async fn what_a_deleted_outbox_held_is_still_offered() {
    let mut bot = Bot::start().await;
    for _ in 0..3 {
        bot.keeps_one().await;
    }
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(beside(&bot.outbox.path(), end));
    }
    bot.chat.say();
    wait_until("it is refused", || async { bot.refusals() == 1 }).await;
    assert!(!bot.outbox.path().exists(), "nothing is created by accident");
    let (code, said, lines) = bot.ends().await;
    assert_eq!((code, lines), (Some(1), 4), "{said}");
}
