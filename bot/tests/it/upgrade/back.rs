//! And back: a backup of before is what the program of before goes back to.

use super::*;

/// How many lines there are of these users.
async fn lines(file: &DbFile) -> i64 {
    file.number("SELECT count(*) FROM recent_chat").await
}

/// Writes lines through this program.
async fn say(program: &Path, file: &DbFile, words: &[&str]) {
    for word in words {
        let line = format!(r#"{{"username":"ann","message":"{word}"}}"#);
        let send = ["send", "message_log", &line, "--no-nats", "--database-url", &file.url()];
        let Ran { code, out, err } = ran(program, file.dir(), &send).await;
        assert_eq!(code, Some(0), "{out}{err}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the program of before"]
async fn the_program_of_before_refuses_the_file_of_now_and_goes_back_to_a_backup_of_either_program() {
    let (server, file, before) = (NatsServer::start().await, DbFile::new(), before());
    let url = file.url();
    serve(&before, file.dir(), &server, &url, &[]).await.terminate_and_log().await;
    say(&before, &file, &["one", "two", "three"]).await;
    // Made by the program of before, and by that of now, before anything of now has opened the database.
    let schema = file.number("SELECT max(version) FROM _sqlx_migrations").await;
    for (program, name) in [(before.as_path(), "of-before.db"), (now(), "of-now.db")] {
        let Ran { code, out, err } =
            ran(program, file.dir(), &["backup", name, "--database-url", &url]).await;
        assert_eq!(code, Some(0), "{out}{err}");
    }
    assert_eq!(
        file.number("SELECT max(version) FROM _sqlx_migrations").await,
        schema,
        "a backup changes nothing"
    );

    serve(now(), file.dir(), &server, &url, &[]).await.terminate_and_log().await;
    let upgraded = file.number("SELECT max(version) FROM _sqlx_migrations").await;
    say(now(), &file, &["four"]).await;
    assert_eq!(lines(&file).await, 4);
    if upgraded == schema {
        // The same schema: the program of before goes on by itself.
        serve(&before, file.dir(), &server, &url, &[]).await.terminate_and_log().await;
        return;
    }
    for command in [&["serve"][..], &["bot", "--chat", "jsonl:-"], &["up", "--chat", "jsonl:-"]] {
        let paths = ["--nats-url", &server.url(), "--database-url", &url];
        let Ran { code, err, .. } = ran(&before, file.dir(), &[command, &paths].concat()).await;
        assert!(code == Some(5) && err.contains("newer than this program"), "{command:?}: {code:?}: {err}");
    }
    assert_eq!(lines(&file).await, 4, "nothing is changed");

    let mut kept = None;
    for name in ["of-before.db", "of-now.db"] {
        let restore = ["restore", name, "--no-nats", "--json", "--database-url", &url];
        let Ran { code, out, err } = ran(&before, file.dir(), &restore).await;
        assert_eq!(code, Some(0), "{name}: {out}{err}");
        let told = program::json_lines(&out).remove(0);
        kept = kept.or_else(|| told["before"].as_str().map(str::to_owned));
        assert_eq!(lines(&file).await, 3, "{name}");
        serve(&before, file.dir(), &server, &url, &[]).await.terminate_and_log().await;
    }
    say(&before, &file, &["five"]).await;
    // What was said meanwhile stands in the file that was kept, and the program of now puts it back.
    let restore = ["restore", &kept.unwrap(), "--no-nats", "--database-url", &url];
    let Ran { code, out, err } = ran(now(), file.dir(), &restore).await;
    assert_eq!(code, Some(0), "{out}{err}");
    assert_eq!(lines(&file).await, 4);
    file.assert_verified().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the program of before"]
async fn the_program_of_now_restores_a_backup_of_before_and_goes_on_with_it() {
    let (server, file, before) = (NatsServer::start().await, DbFile::new(), before());
    let url = file.url();
    serve(&before, file.dir(), &server, &url, &[]).await.terminate_and_log().await;
    say(&before, &file, &["one", "two", "three"]).await;
    let Ran { code, out, err } =
        ran(&before, file.dir(), &["backup", "copy.db", "--database-url", &url]).await;
    assert_eq!(code, Some(0), "{out}{err}");
    serve(now(), file.dir(), &server, &url, &[]).await.terminate_and_log().await;
    say(now(), &file, &["four"]).await;
    let restore = ["restore", "copy.db", "--no-nats", "--database-url", &url];
    let Ran { code, out, err } = ran(now(), file.dir(), &restore).await;
    assert_eq!(code, Some(0), "{out}{err}");
    assert_eq!(lines(&file).await, 3);
    file.assert_verified().await;
    say(now(), &file, &["five"]).await;
    assert_eq!(lines(&file).await, 4);
}
