//! The file is written to while it is open, by a program that is not SQLite; or its tables are edited by hand.

use super::*;

const OVERWRITTEN: &str = "overwritten by another program";

/// Writes over a file as it is: the same file, as `cp` and `dd` leave it. `cut`: emptied before, as `cp` does.
fn overwrite(path: &Path, bytes: &[u8], cut: bool) {
    let mut file = fs::File::options().write(true).truncate(cut).open(path).unwrap();
    file.write_all(bytes).unwrap();
}

impl World {
    async fn say_many(&mut self, number: usize) {
        for _ in 0..number {
            self.say().await.unwrap();
        }
    }

    /// Moves the log into the file, as any program with the file open may.
    async fn checkpoint(&self) {
        wait_until("the log is moved", || async {
            self.file.number("PRAGMA wal_checkpoint(TRUNCATE)").await == 0
        })
        .await;
    }
}

#[tokio::test]
async fn a_file_that_is_overwritten_under_its_log_acknowledges_nothing_and_goes_on_when_it_is_back() {
    let mut world = World::core().await;
    let path = world.file.path();
    let other = path.with_extension("other");
    let foreign = format!("sqlite://{}", other.display());
    let line = r#"{"username":"eve","message":"elsewhere"}"#;
    let made = run(rosey().args(["send", "message_log", line, "--no-nats", "--database-url", &foreign]));
    assert_eq!(made.0, Some(0), "{}", made.1);
    world.say_many(5).await;
    world.checkpoint().await;
    let older = fs::read(&path).unwrap();
    for (round, what) in
        ["cp of an older copy", "dd of one", "zeros", "text", "foreign", "emptied and an older copy"]
            .into_iter()
            .enumerate()
    {
        world.say_many(5).await;
        world.checkpoint().await;
        let right = fs::read(&path).unwrap();
        // What is new is in the log.
        world.say_many(3).await;
        let zeros = vec![0; right.len()];
        match what {
            "zeros" => overwrite(&path, &zeros, false),
            "text" => overwrite(&path, b"this is no database", false),
            "foreign" => overwrite(&path, &fs::read(&other).unwrap(), true),
            "dd of one" => overwrite(&path, &older, false),
            _ => overwrite(&path, &older, true),
        }
        // The very next one. Perhaps it is in the log.
        let refused = world.say().await;
        let perhaps = world.next;
        assert!(refused.is_err_and(|code| code.is_some_and(|code| code >= 500)), "{what}: {refused:?}");
        world.nothing_is_taken().await;
        world.noticed(OVERWRITTEN).await;
        overwrite(&path, &right, false);
        if what == "foreign" {
            fs::File::options().write(true).open(&path).unwrap().set_len(right.len() as u64).unwrap();
        }
        world.all_is_well().await;
        assert_eq!(world.offer(perhaps).await.refusal(), None);
        world.acknowledged += 1;
        world.goes_on().await;
        let log = world.serve.log();
        let said = log.lines().filter(|line| line.contains("ERROR") && line.contains(OVERWRITTEN)).count();
        assert_eq!(said, round + 1, "{what}: once each time\n{log}");
    }
}

#[tokio::test]
async fn the_log_is_not_moved_into_a_file_that_was_overwritten_when_the_service_ends() {
    let mut world = World::core().await;
    let path = world.file.path();
    world.say_many(5).await;
    world.checkpoint().await;
    let older = fs::read(&path).unwrap();
    world.say_many(5).await;
    world.checkpoint().await;
    let right = fs::read(&path).unwrap();
    world.say_many(3).await;
    overwrite(&path, &older, false);
    world.noticed(OVERWRITTEN).await;
    let World { serve, file, acknowledged, .. } = world;
    assert_eq!(serve.terminate().await, Some(0));
    assert_eq!(fs::read(&path).unwrap()[..older.len()], older[..], "it is as it was put there");
    assert!(fs::metadata(beside(&path, "-wal")).unwrap().len() > 0, "what was acknowledged is in the log");
    fs::write(&path, right).unwrap();
    assert_eq!(file.number(LINES).await, acknowledged);
    file.assert_verified().await;
}

#[tokio::test]
async fn a_file_that_is_touched_or_read_goes_on() {
    let mut world = World::core().await;
    let path = world.file.path();
    for _ in 0..3 {
        world.say_many(5).await;
        fs::File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(std::time::SystemTime::now())
            .unwrap();
        fs::copy(&path, path.with_extension("backup")).unwrap();
        world.say_many(5).await;
        world.checkpoint().await;
        world.say_many(5).await;
    }
    assert_eq!(world.notices().await, "[]");
    assert!(!world.serve.log().contains("ERROR"), "{}", world.serve.log());
    world.nothing_is_lost().await;
}

#[tokio::test]
async fn rows_that_are_deleted_by_hand_are_no_older_copy() {
    let mut world = World::core().await;
    world.say_many(5).await;
    world.file.execute("DELETE FROM ledger").await;
    world.checkpoint().await;
    wait_until("it is said", || async {
        world.serve.log().contains("another program has changed its tables")
    })
    .await;
    world.say_many(5).await;
    assert_eq!(world.notices().await, "[]");
    let log = world.serve.log();
    assert!(!log.contains("older copy") && !log.contains("ERROR"), "{log}");

    world.file.execute("UPDATE meta SET value = value || 'x' WHERE key = 'database_id'").await;
    world.checkpoint().await;
    world.noticed("database_id").await;
    assert!(world.say().await.is_err());
    world
        .file
        .execute("UPDATE meta SET value = substr(value, 1, length(value) - 1) WHERE key = 'database_id'")
        .await;
    world.all_is_well().await;
    world.say_many(5).await;
    assert_eq!(world.file.number(LINES).await, world.acknowledged);
}

#[tokio::test]
async fn tables_that_are_changed_by_hand_fail_what_needs_them_and_nothing_else() {
    let mut world = World::core().await;
    world.say_many(3).await;
    let table = world
        .file
        .texts("SELECT sql FROM sqlite_schema WHERE tbl_name = 'recent_chat' AND sql NOT NULL")
        .await;
    let recent = async || world.peer.request("rosey.db.stats.recent_chat.get", "{}").await;
    assert_eq!(recent().await.refusal(), None);
    world.file.execute("ALTER TABLE recent_chat RENAME TO elsewhere").await;
    for name in ["bob", "eve", "joe"] {
        // Each statement is taken up again after it has failed.
        for _ in 0..2 {
            let refused = world.offer(1000).await;
            assert!(refused.refusal().is_some_and(|code| code >= 500), "{refused:?}");
            assert!(recent().await.refusal().is_some_and(|code| code >= 500));
        }
        let joined = world.peer.request("rosey.db.user.joined", format!(r#"{{"username":"{name}"}}"#)).await;
        assert_eq!(joined.refusal(), None, "it needs another table");
    }
    let (code, text) = run(rosey().args(["verify", "--database-url", &world.file.url()]));
    assert!(code != Some(0) && text.contains("lacks the table recent_chat"), "{text}");
    world.file.execute("ALTER TABLE elsewhere RENAME TO recent_chat").await;
    assert_eq!(
        world
            .file
            .texts("SELECT sql FROM sqlite_schema WHERE tbl_name = 'recent_chat' AND sql NOT NULL")
            .await
            .len(),
        table.len()
    );
    assert_eq!(world.offer(1000).await.refusal(), None);
    assert_eq!(recent().await.refusal(), None);
    let log = world.serve.log();
    assert!(!log.contains("panicked"), "{log}");
    assert_eq!(world.file.number("SELECT count(*) FROM ledger").await, 3 + 3 + 1);
}

#[tokio::test]
async fn a_ledger_that_is_changed_by_hand_is_no_fault_of_the_operations() {
    let store = tempfile::tempdir().unwrap();
    let world = World::on(NatsServer::with_jetstream(store.path()).await, DbFile::new()).await;
    for (number, (change, undo)) in [
        (
            "ALTER TABLE ledger RENAME TO elsewhere; CREATE TABLE ledger (id TEXT)",
            "DROP TABLE ledger; ALTER TABLE elsewhere RENAME TO ledger",
        ),
        ("ALTER TABLE ledger RENAME COLUMN hash TO print", "ALTER TABLE ledger RENAME COLUMN print TO hash"),
    ]
    .into_iter()
    .enumerate()
    {
        let first = 1 + 4 * number as u64;
        world.file.execute(change).await;
        for line in first..first + 4 {
            assert_eq!(world.offer(line).await.refusal(), None, "the stream has it");
        }
        // A call is answered by the service itself.
        let enqueue = r#"{"content":"hello"}"#;
        let refused = world.peer.request("rosey.db.messages.outbound.enqueue", enqueue).await.refusal();
        assert!(refused.is_some_and(|code| code >= 500), "{refused:?}");
        world.noticed("not applied").await;
        assert_eq!(world.file.dead_letters().await, 0);
        world.file.execute(undo).await;
        let all = i64::try_from(first + 3).unwrap();
        wait_until("all are applied", || async { world.file.number(LINES).await == all }).await;
        assert_eq!(world.file.dead_letters().await, 0, "{}", world.serve.log());
    }
}

#[tokio::test]
async fn an_older_copy_of_all_three_files_that_is_written_over_them_is_refused() {
    let mut world = World::core().await;
    let path = world.file.path();
    world.say_many(10).await;
    let [older, right] = [0, 1].map(|_| tempfile::tempdir().unwrap());
    let all = |from: &Path, to: &Path| {
        for end in ["", "-wal", "-shm"] {
            fs::copy(beside(from, end), beside(to, end)).unwrap();
        }
    };
    all(&path, &older.path().join("db"));
    world.say_many(10).await;
    all(&path, &right.path().join("db"));
    // As `cp` does it, but without the moment in which what a process has mapped is not there.
    for (end, cut) in [("", false), ("-shm", false), ("-wal", true)] {
        overwrite(&beside(&path, end), &fs::read(beside(&older.path().join("db"), end)).unwrap(), cut);
    }
    fs::File::options().write(true).open(&path).unwrap().set_modified(std::time::SystemTime::now()).unwrap();
    assert!(world.say().await.is_err());
    let perhaps = world.next;
    wait_until("the file, or its log, is named: whichever is looked at first", || async {
        let notices = world.notices().await;
        notices.contains("is not the file that was opened") || notices.contains("was overwritten")
    })
    .await;
    world.nothing_is_taken_with(&[]).await;
    for (end, cut) in [("", false), ("-shm", false), ("-wal", true)] {
        overwrite(&beside(&path, end), &fs::read(beside(&right.path().join("db"), end)).unwrap(), cut);
    }
    world.all_is_well().await;
    assert_eq!(world.offer(perhaps).await.refusal(), None);
    world.acknowledged += 1;
    world.goes_on().await;
}
