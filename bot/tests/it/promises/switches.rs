//! Options that are on or off: the words for that are obeyed wherever they stand, and any other word is refused by name.

use crate::support::DbFile;
use crate::support::program::{Ran, rosey, write};

/// `(command with what it needs, option, variable)`
const SWITCHES: [(&[&str], &str, &str); 5] = [
    (&["config", "stats"], "json", "ROSEY_JSON"),
    (&["config", "stats"], "no-nats", "ROSEY_NO_NATS"),
    (&["config", "serve"], "takeover", "ROSEY_TAKEOVER"),
    (&["config", "serve"], "trust-clock", "ROSEY_TRUST_CLOCK"),
    (&["config", "outbox"], "yes", "ROSEY_YES"),
];

/// What looks like one of the words.
const JUNK: [&str; 12] =
    ["2", "-1", "10", "maybe", "yess", "truefalse", "ja", "enabled", "nil", "null", "yes no", "0x1"];

fn config(dir: &std::path::Path, words: &[&str]) -> Ran {
    let mut command = rosey(dir);
    command.args(words);
    Ran::of(&mut command)
}

#[test]
fn the_words_for_on_and_off_are_obeyed_in_a_variable_and_in_the_file() {
    let words = [
        ("yes", true),
        ("On", true),
        ("1", true),
        ("TRUE", true),
        ("no", false),
        ("off", false),
        ("0", false),
    ];
    for (word, on) in words.into_iter().chain([("False", false), ("", false)]) {
        for (command, option, variable) in SWITCHES {
            let dir = tempfile::tempdir().unwrap();
            let mut by_variable = rosey(dir.path());
            by_variable.args(command).env(variable, word);
            let by_variable = Ran::of(&mut by_variable);
            write(&dir.path().join("rosey.toml"), &format!("{option} = \"{word}\"\n"));
            for ran in [by_variable, config(dir.path(), command)] {
                assert_eq!(ran.code, Some(0), "{option} {word:?}: {ran:?}");
                // This one is seen at once.
                let is_json = ran.out.starts_with('{');
                assert_eq!(is_json, option == "json" && on, "{option} {word:?}: {ran:?}");
            }
        }
        // And this one when something is sent: without NATS it is stored at once, else no path is found.
        let file = DbFile::new();
        let mut send = rosey(file.dir());
        send.args(["send", "user_joined", r#"{"username":"ann"}"#, "--database-url", &file.url()]);
        send.args(["--nats-url", "nats://127.0.0.1:1", "--log", "info"]).env("ROSEY_NO_NATS", word);
        let ran = Ran::of(&mut send);
        assert_eq!(ran.code, Some(0), "{word:?}: {ran:?}");
        assert_eq!(!ran.err.contains("NATS"), on, "{word:?}: {ran:?}");
    }
}

#[test]
fn any_other_word_is_refused_and_the_option_named_whether_it_is_said_by_variable_file_or_flag() {
    for (command, option, variable) in SWITCHES {
        // The command itself, and what shows its settings.
        for command in [&command[1..], command] {
            for junk in JUNK {
                let dir = tempfile::tempdir().unwrap();
                let refused = |ran: &Ran, by: &str| {
                    let said = ran.all();
                    assert_eq!(ran.code, Some(2), "{by} {junk:?}, {command:?}: {said}");
                    assert!(said.contains(option) || said.contains(variable), "{by} {junk:?}: {said}");
                };
                let mut by_variable = rosey(dir.path());
                by_variable.args(command).env(variable, junk);
                refused(&Ran::of(&mut by_variable), "variable");
                refused(&config(dir.path(), &[command, &[&format!("--{option}={junk}")]].concat()), "flag");
                write(&dir.path().join("rosey.toml"), &format!("{option} = \"{junk}\"\n"));
                refused(&config(dir.path(), command), "file");
            }
            for junk in ["2", "-1", "1.5", "[true]", "2024-01-01"] {
                let dir = tempfile::tempdir().unwrap();
                write(&dir.path().join("rosey.toml"), &format!("{option} = {junk}\n"));
                let ran = config(dir.path(), command);
                assert!(ran.code == Some(2) && ran.all().contains(option), "{junk}: {ran:?}");
            }
        }
    }
}
