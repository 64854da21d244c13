//! The file has a second name: a hard link, or a mount of the file alone. SQLite's log lies beside the name.

use super::*;

const ANOTHER_NAME: &str = "hard links";

/// The same file in another folder.
fn link(path: &Path) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir_in(path.parent().unwrap()).unwrap();
    let link = folder.path().join(path.file_name().unwrap());
    fs::hard_link(path, &link).unwrap();
    (folder, link)
}

#[tokio::test]
async fn a_file_with_a_second_name_is_refused_under_both_until_the_second_one_is_gone() {
    let mut world = World::core().await;
    world.say().await.unwrap();
    let (_folder, link) = link(&world.file.path());
    world.noticed(ANOTHER_NAME).await;
    world.nothing_is_taken().await;
    let (code, text) = world.send_with("by its other name", &["--no-nats", "--database-url", &url(&link)]);
    assert!(code == Some(4) && text.contains(ANOTHER_NAME), "{text}");
    assert!(!beside(&link, "-wal").exists(), "nothing is written beside the other name");
    let (code, text) = run(rosey().args(["verify", "--database-url", &url(&link)]));
    assert!(
        code != Some(0) && text.contains(ANOTHER_NAME),
        "what is in the log is not seen from here: {text}"
    );
    fs::remove_file(&link).unwrap();
    world.goes_on().await;

    // A link that is there for a moment only.
    let path = world.file.path();
    let away = path.with_extension("away");
    fs::hard_link(&path, &away).unwrap();
    fs::remove_file(&path).unwrap();
    fs::rename(&away, &path).unwrap();
    world.all_is_well().await;
    world.say().await.unwrap();
    world.nothing_is_lost().await;
}

fn url(path: &Path) -> String {
    format!("sqlite://{}", path.display())
}

#[tokio::test]
async fn an_outbox_with_a_second_name_keeps_nothing_until_that_is_gone() {
    let (file, outbox) = (DbFile::new(), OutboxFile::new());
    let mut chat = Chat::start(&file, &outbox.path());
    chat.say();
    wait_until("the first line", || async { file.path().exists() && lines(&file).await == Some(1) }).await;
    let (_folder, link) = link(&outbox.path());
    let (code, text) = run(rosey().args(["outbox", "list", "--outbox"]).arg(&link));
    assert!(code != Some(0) && text.contains(ANOTHER_NAME), "{text}");
    file.move_away();
    wait_until("it is refused", || {
        chat.say();
        let said = chat.log().contains(ANOTHER_NAME);
        async move { said }
    })
    .await;
    let mut second = rosey();
    second
        .args(["bot", "--no-nats", "--chat", "jsonl:-", "--database-url", &file.url(), "--outbox"])
        .arg(&link);
    let (code, text) = run(&mut second);
    assert!(code != Some(0) && text.contains(ANOTHER_NAME), "{text}");
    fs::remove_file(&link).unwrap();
    let before = outbox.waiting().await.unwrap_or_default();
    wait_until("it keeps again", || {
        chat.say();
        async { outbox.waiting().await.unwrap_or_default() > before }
    })
    .await;
    file.move_back();
    chat.ends();
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_is_mounted_alone_is_refused_and_its_folder_is_not() {
    let file = DbFile::new();
    let line = r#"{"username":"ann","message":"hello"}"#;
    let send = ["send", "message_log", line, "--no-nats", "--database-url"];
    assert_eq!(run(rosey().args(send).arg(file.url())).0, Some(0));
    let place = tempfile::Builder::new().prefix("a b").tempdir().unwrap();
    let (folder, alone) = (place.path().join("folder"), place.path().join("alone.db"));
    fs::create_dir(&folder).unwrap();
    fs::write(&alone, "").unwrap();
    let within = |from: &Path, to: &Path, at: &Path| {
        let mut command = Command::new("unshare");
        command.args([
            "-rm",
            "sh",
            "-c",
            "mount --bind \"$1\" \"$2\" || exit 99; shift 2; exec \"$@\"",
            "sh",
        ]);
        command.args([from, to]).arg(env!("CARGO_BIN_EXE_rosey")).args(send).arg(url(at));
        run(command.stdin(Stdio::null()))
    };
    let (code, text) = within(&file.path(), &alone, &alone);
    if code == Some(99) || code == Some(1) && text.contains("unshare") {
        eprintln!("nothing can be mounted here: {text}");
        return;
    }
    assert!(code == Some(4) && text.contains("Mount the folder"), "{text}");
    let (code, text) = within(file.dir(), &folder, &folder.join("rosey.db"));
    assert_eq!(code, Some(0), "{text}");
}
