//! A new operator's first hour: docs/first-hour.md, and the commands of the README, as they stand there, in an empty folder.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::support::page::{Session, blocks, follow, read, steps};
use crate::support::program::program_in;
use crate::support::*;

/// The client of NATS, as far as the page uses it.
const NATS: &str = r#"#!/usr/bin/env python3
import os, socket, sys
_, word, subject, payload = sys.argv
assert word == "pub"
host, port = os.environ["ROSEY_NATS_URL"].split("//")[1].split(":")
server = socket.create_connection((host, int(port)))
server.recv(65536)
text = f'CONNECT {{"verbose":false}}\r\nPUB {subject} {len(payload)}\r\n{payload}\r\nPING\r\n'
server.sendall(text.encode())
while b"PONG" not in server.recv(65536):
    pass
"#;

/// The ports that the pages name, and free ones instead.
struct Ports([(&'static str, Port); 3]);

impl Ports {
    fn reserve() -> Self {
        Self(["4222", "7677", "7678"].map(|named| (named, Port::reserve())))
    }

    fn put(&self, text: &str) -> String {
        let put = |text: String, (named, port): &(&str, Port)| text.replace(named, &port.number.to_string());
        self.0.iter().fold(text.to_owned(), put)
    }
}

/// A terminal in an empty folder, in which `rosey`, `nats-server` and `nats` are installed, with these ports as the usual ones.
fn terminal(dir: &Path, tools: &Path, ports: &Ports) -> Command {
    let nats = tools.join("nats");
    std::fs::write(&nats, NATS).unwrap();
    std::fs::set_permissions(&nats, PermissionsExt::from_mode(0o755)).unwrap();
    symlink(eitherway_testkit::nats_server().unwrap(), tools.join("nats-server")).unwrap();
    symlink(program::PROGRAM, tools.join("rosey")).unwrap();
    let path = std::env::var("PATH").unwrap();
    let mut command = program_in(Path::new("sh"), dir);
    command.env("PATH", format!("{}:{path}", tools.display()));
    command.env("ROSEY_NATS_URL", ports.put("nats://127.0.0.1:4222"));
    command.env("ROSEY_CONNECT", ports.put("127.0.0.1:7677"));
    command
}

#[test]
fn the_page_of_the_first_hour_is_followed_word_for_word() {
    let (dir, tools, ports) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), Ports::reserve());
    let mut session = Session::start(&mut terminal(dir.path(), tools.path(), &ports), LIMIT).unwrap();
    let steps = steps(&read("docs/first-hour.md").unwrap()).unwrap();
    assert!(steps.len() > 50, "{}", steps.len());
    follow(&steps, &mut session, |text| ports.put(text)).unwrap_or_else(|why| panic!("{why}"));
}

/// How the commands of the README begin that do not end by themselves, or want something that is not here, and what is typed instead.
const INSTEAD: [(&str, &str); 4] = [
    ("rosey serve --listen", "{} 2> serve.log & serve=$!; until rosey top --once; do sleep 1; done"),
    ("rosey serve", "{} 2> other.log & other=$!"),
    ("rosey top", "{} --once"),
    ("rosey up --database-url postgres:", "rosey config${}"),
];

/// What they say.
const SAYS: [(&str, &str); 10] = [
    ("rosey send", "via=nats ack=committed"),
    ("rosey tell", "waits for alice"),
    ("rosey stats", "first seen"),
    ("rosey outbox", "0 waiting"),
    ("rosey serve --listen", "All is well"),
    ("rosey top", "All is well"),
    ("rosey doctor", "0 failures"),
    ("rosey backup", "is a backup"),
    ("rosey verify", "clean"),
    ("rosey dead list", "no dead letters"),
];

/// The commands of a block, without what is said of them.
fn commands(block: &str) -> impl Iterator<Item = &str> {
    let lines = block.lines().map(|line| line.split(" # ").next().unwrap());
    lines.flat_map(|line| line.split(';')).map(str::trim)
}

#[test]
fn each_command_of_the_readme_does_what_it_says() {
    let (dir, tools, ports) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), Ports::reserve());
    let mut session = Session::start(&mut terminal(dir.path(), tools.path(), &ports), LIMIT).unwrap();
    let readme = read("README.md").unwrap();
    let commands =
        blocks(&readme, "sh").into_iter().flat_map(commands).filter(|line| line.starts_with("rosey "));
    let commands: Vec<&str> = commands.collect();
    assert!(commands.len() > 12, "{commands:?}");
    let mut run = |command: &str| {
        let (code, output) = session.run(&ports.put(command)).unwrap();
        eprintln!("$ {command}\n{output}");
        assert_eq!(code, 0, "{command}\n{output}");
        output
    };
    // The service is there from the beginning; its line stands further down.
    let listening = commands.iter().find(|command| command.starts_with("rosey serve --listen")).unwrap();
    run("nats-server -p 4222 2> nats.log & nats=$!");
    for command in std::iter::once(listening).chain(commands.iter().filter(|command| *command != listening)) {
        let instead = INSTEAD.iter().find(|(begin, _)| command.starts_with(begin));
        let rest = command.strip_prefix("rosey").unwrap();
        let typed = instead
            .map_or((*command).to_owned(), |(_, typed)| typed.replace("${}", rest).replace("{}", command));
        let output = run(&typed);
        if let Some((_, line)) = SAYS.iter().find(|(begin, _)| command.starts_with(begin)) {
            assert!(output.contains(line), "{line:?} is not in what `{command}` says:\n{output}");
        }
    }
    run("kill $serve $other; wait $serve && wait $other");
}
