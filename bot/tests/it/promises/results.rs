//! What a command prints, and how it ends: what cannot be written is no success, and what is not there is said in one way.

use std::fs::File;

use serde_json::json;

use crate::support::program::{Ran, dir_of, json_lines, rosey, shell};
use crate::support::*;

#[test]
fn results_that_cannot_be_written_are_no_success() {
    let file = DbFile::new();
    let (dir, url) = (dir_of(&file), file.url());
    let db = ["--no-nats", "--database-url", &url];
    let join = ["send", "user_joined", r#"{"username":"alice"}"#];
    assert_eq!(Ran::of(rosey(&dir).args(join).args(db)).code, Some(0));
    let own = ["--database-url", &url];
    for line in [
        &[&join[..], &db].concat()[..],
        &[&["stats"][..], &db].concat(),
        &[&["recent"][..], &db].concat(),
        &[&["tell", "alice", "hi"][..], &db].concat(),
        &[&["verify"][..], &own].concat(),
        &[&["dead", "list"][..], &own].concat(),
        &["outbox"],
        &["config"],
        &["completions", "bash"],
        &["--help"],
        &["--version"],
    ] {
        for json in [false, true] {
            let mut command = rosey(&dir);
            command.args(json.then_some("--json")).args(line);
            let ran = Ran::of(command.stdout(File::options().write(true).open("/dev/full").unwrap()));
            assert_eq!(ran.code, Some(1), "{line:?}: {}", ran.err);
            assert!(
                ran.err.contains("could not be written to stdout: No space left"),
                "{line:?}: {}",
                ran.err
            );
            if json && !line[0].starts_with("--") {
                assert_eq!(json_lines(&ran.err)[0]["code"], "failed", "{}", ran.err);
            }
        }
    }
    // A reader that has seen enough is no failure.
    let script = r#"(sleep 0.2; rosey stats --no-nats --database-url "$0"; echo "ended: $?" >&2) | true"#;
    let ran = Ran::of(shell(script, &dir).arg(&url));
    assert!(ran.err.contains("ended: 0"), "{}", ran.all());
}

#[test]
fn a_dead_letter_that_is_not_there_is_said_alike_by_every_command() {
    let file = DbFile::new();
    let (dir, url) = (dir_of(&file), file.url());
    let own = ["--database-url", &url];
    let join = ["send", "user_joined", r#"{"username":"alice"}"#, "--no-nats"];
    assert_eq!(Ran::of(rosey(&dir).args(join).args(own)).code, Some(0));
    for command in ["show", "retry", "drop"] {
        let ran = Ran::of(rosey(&dir).args(["dead", command, "9"]).args(own));
        assert_eq!(ran.code, Some(1), "{command}: {}", ran.all());
        assert_eq!(ran.err, "rosey: there is no dead letter 9\n", "{command}");
        let ran = Ran::of(rosey(&dir).args(["dead", command, "abc"]).args(own));
        assert_eq!(ran.code, Some(2), "{command}: {}", ran.all());
        assert!(ran.err.contains("expected the number of a dead letter"), "{command}: {}", ran.err);
    }
    let ran = Ran::of(rosey(&dir).args(["recent", "-n", "0", "--no-nats"]).args(own));
    assert!(ran.code == Some(0) && ran.out == "no lines were asked for\n", "{}", ran.all());
}

#[test]
fn a_chat_that_is_not_there_is_refused_before_anything_is_created() {
    let dir = tempfile::tempdir().unwrap();
    for command in ["bot", "up"] {
        let line = [command, "--chat", "jsonl:/nonexistent", "--no-nats", "--database-url", "rosey.db"];
        let ran = Ran::of(rosey(dir.path()).args(line));
        assert_eq!(ran.code, Some(2), "{}", ran.all());
        assert!(ran.err.contains("cannot read /nonexistent"), "{}", ran.err);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "{command}: nothing was created");
    }
}

#[test]
fn config_reads_its_file_once_and_shows_the_defaults_in_force() {
    let dir = tempfile::tempdir().unwrap();
    let script =
        "mkfifo pipe; echo 'log = \"debug\"' > pipe & timeout 20 rosey config --json --config pipe serve";
    let ran = Ran::of(&mut shell(script, dir.path()));
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    let options = json_lines(&ran.out).remove(0)["options"].take();
    assert_eq!(options["log"], json!({"value": "debug", "from": "pipe:1"}));
    let usual = |value: &str| json!({"value": value, "from": "default"});
    assert_eq!(options["database-url"], usual("sqlite://rosey.db"));
    assert_eq!(options["keep"], usual("chat=150h,forgotten=30d,history=30d,kv=30d,ledger=14d,sent=7d"));
    assert_eq!(options["nats-credentials"]["value"], json!(null));
    let bot = Ran::of(rosey(dir.path()).args(["config", "--json", "bot", "--chat", "jsonl:-"]));
    let options = json_lines(&bot.out).remove(0)["options"].take();
    assert_eq!(options["outbox"], usual("rosey.outbox"));
    assert_eq!((&options["log"], &options["database-url"]["value"]), (&usual("info"), &json!(null)));
}
