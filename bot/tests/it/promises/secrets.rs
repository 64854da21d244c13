//! No password is shown: not in an error, not in the log, not in the help, wherever it was given.

use crate::support::program::{Ran, dir_of, rosey, write};
use crate::support::*;

const SECRET: &str = "hunter2";

#[test]
fn what_is_wrong_with_a_configuration_is_said_by_its_place_and_never_by_its_text() {
    let dir = tempfile::tempdir().unwrap();
    for (config, place) in [
        ("\nnats-url = \"nats://me:hunter2@host\n", "rosey.toml:2:"),
        ("\nnats-url = nats://me:hunter2@host\n", "rosey.toml:2:"),
        ("nats-url = 'nats://me:hunter2@host' hunter2\n", "rosey.toml:1:"),
        ("\n\n  nats-urk = \"nats://me:hunter2@host\"\n", "rosey.toml:3:3: nats-urk"),
        ("nats-url = [\"nats://me:hunter2@host\"]\n", "rosey.toml:1:1: nats-url"),
        ("nats-url = { password = \"hunter2\" }\n", "rosey.toml:1:1: "),
        ("nats-url = 1979-05-27 # hunter2\n", "rosey.toml:1:1: nats-url"),
        ("json = false\nsynchronous = \"hunter2\"\n", "rosey.toml:2:1: synchronous: expected one of "),
        ("nats-timeout-ms = \"hunter2\"\n", "rosey.toml:1:1: nats-timeout-ms"),
        ("log-format = \"hunter2\"\n", "rosey.toml:1:1: log-format"),
        ("nats-url = \"a\"\nnats-url = \"nats://me:hunter2@host\"\n", "rosey.toml:2:"),
        ("[serve]\nnats-urk = \"nats://me:hunter2@host\"\n", "rosey.toml:2:1: nats-urk in [serve]"),
        ("[serve]\njetstream = \"hunter2\"\n", "rosey.toml:2:1: jetstream: expected one of "),
        ("[serf]\nnats-url = \"nats://me:hunter2@host\"\n", "rosey.toml:1:2: [serf]"),
        ("[serve.deep]\nnats-url = \"nats://me:hunter2@host\"\n", "rosey.toml:1:"),
        ("[[serve]]\nnats-url = \"nats://me:hunter2@host\"\n", "rosey.toml:1:"),
        ("hunter2\n", "rosey.toml:1:"),
    ] {
        write(&dir.path().join("rosey.toml"), config);
        for more in [&[][..], &["--json"], &["--log-format", "json"]] {
            let ran = Ran::of(rosey(dir.path()).args(["stats"]).args(more));
            assert!(ran.code == Some(2) && ran.err.contains(place), "{config}: {}", ran.all());
            assert!(!ran.all().contains(SECRET), "{config}: {}", ran.all());
        }
    }
}

/// What holds a password, or a token, in every form that an operator may write.
const LOGINS: [&str; 16] = [
    "nats://me:hunter2@127.0.0.1:1",
    "nats://me:hunter2 @127.0.0.1:1",
    "nats://me: hunter2@127.0.0.1:1",
    "nats://me:x y hunter2@127.0.0.1:1",
    "nats://me:'hunter2\"@127.0.0.1:1",
    "nats://me:p@hunter2@127.0.0.1:1",
    "nats://me:a/hunter2?x#y@127.0.0.1:1",
    "nats://me:hunter%32@127.0.0.1:1",
    "nats://hunter2@127.0.0.1:1",
    "tls://me:hunter2@[::1]:1",
    "me:hunter2@127.0.0.1:1",
    "me:x hunter2@127.0.0.1:1",
    "nats://127.0.0.1:1,nats://me:hunter2@127.0.0.1:2",
    "me:hunter2@127.0.0.1:1, you:x-hunter2@127.0.0.1:2",
    "nats://me:hunter2@a b",
    "postgres://me:hunter2@host/db",
];

/// Whether a text shows the password, as it was written or as it is meant.
fn shows(text: &str) -> bool {
    text.contains(SECRET) || text.contains("hunter%32")
}

#[test]
fn no_password_is_shown_wherever_it_stands_on_the_command_line_in_the_environment_or_the_file() {
    let file = DbFile::new();
    let dir = dir_of(&file);
    for (turn, login) in LOGINS.into_iter().enumerate() {
        let mut commands = Vec::new();
        let mut add = |words: &[&str], variables: &[(&str, &str)]| {
            let forms = [&[][..], &["--json"], &["--log-format", "json"]];
            let mut command = rosey(&dir);
            command.args(forms[commands.len() % forms.len()]).args(words).envs(variables.iter().copied());
            commands.push(command);
        };
        let send = ["send", "user_joined", r#"{"username":"alice"}"#];
        add(&[&send[..], &["--nats-url", login, "--log", "debug,async_nats=trace"]].concat(), &[]);
        add(&[&send[..], &["--json", "--log", "trace"]].concat(), &[("NATS_URL", login)]);
        for option in
            ["--database-url", "--log", "--log-format", "--config", "--nats-timeout-ms", "--synchronous"]
        {
            add(&["stats", option, login, "--no-nats"], &[]);
        }
        add(&["serve", "--jetstream", login], &[]);
        add(&["config", "serve", "--reply-prefix", login], &[]);
        add(&["serve", "--keep", login], &[]);
        add(&["bot", "--no-nats", "--database-url", "rosey.db", "--chat", login], &[]);
        add(&["stats", "--log-file", &format!("none/{login}"), "--no-nats"], &[]);
        add(&["verify", login], &[]);
        add(&[login], &[]);
        add(&["serve", &format!("--{login}")], &[]);
        add(&["outbox", "--outbox", &format!("none/{login}"), "--replay"], &[]);
        for variable in ["ROSEY_LOG", "ROSEY_SYNCHRONOUS", "ROSEY_KEEP", "ROSEY_CONFIG", "ROSEY_JSON"] {
            add(&["serve", "--database-url", "none/x.db"], &[(variable, login)]);
            add(&["config", "serve"], &[(variable, login)]);
        }
        add(&["verify"], &[("DATABASE_URL", login)]);
        add(
            &["serve", "--database-url", "none/x.db", "--help"],
            &[("NATS_URL", login), ("ROSEY_LOG", login)],
        );
        add(&["config", "serve", "--nats-url", login], &[]);
        add(&["config", "bot", "--name", login, "--database-url", login], &[("NATS_URL", login)]);
        // Every second one: each place sees half of the forms.
        for command in commands.iter_mut().skip(turn % 2).step_by(2) {
            let ran = Ran::of(command);
            assert!(!shows(&ran.all()), "{command:?}: {}", ran.all());
        }
        let quoted = serde_json::to_string(login).unwrap();
        for line in [
            format!("nats-url = {quoted}"),
            format!("database-url = {quoted}"),
            format!("log = {quoted}"),
            format!("[serve]\nkeep = {quoted}"),
            format!("{quoted} = 1"),
            format!("nats-url = {login}"),
            format!("nats-url = {quoted} x"),
            format!("nats-url = [{quoted}]"),
        ] {
            write(&dir.join("rosey.toml"), &line);
            let words: [&[&str]; 3] =
                [&["config", "serve"], &["verify"], &["serve", "--nats-timeout-ms", "1"]];
            let words = words[turn % words.len()];
            let ran = Ran::of(rosey(&dir).args(words));
            assert!(!shows(&ran.all()), "{words:?} {line}: {}", ran.all());
        }
        std::fs::remove_file(dir.join("rosey.toml")).unwrap();
    }
}
