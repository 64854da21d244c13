//! A terminal, or an output, that is closed.

use super::*;

#[tokio::test]
async fn a_closed_terminal_ends_a_command_that_answers_once_and_the_demo_with_its_processes() {
    let dir = tempfile::tempdir().unwrap();
    let mut send = Running::start(rosey(dir.path()).args(["send", "user_joined", "-"]).stdin(Stdio::piped()));
    let input = send.input();
    send.signal("-HUP");
    let (code, signal, err) = send.ends().await;
    assert_eq!((code, signal), (None, Some(1)), "{err}");
    drop(input);

    let mut demo = rosey(dir.path());
    demo.args(["demo", "--no-nats", "--fast"]).env("TMPDIR", dir.path()).stdout(Stdio::null());
    let demo = Running::start(&mut demo);
    demo.says("1/").await;
    demo.signal("-HUP");
    let (code, signal, err) = demo.ends().await;
    assert_eq!((code, signal), (Some(1), None), "{err}");
    assert!(err.contains("its processes are ended"), "{err}");
}

/// Starts it with an output that is read up to this line, and closed then.
fn closed_after(command: &mut Command, text: &str) -> std::process::Child {
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains(text)));
    child
}

#[tokio::test]
async fn an_output_that_is_closed_ends_no_service() {
    for format in ["text", "json"] {
        let (mut server, dir) = (NatsServer::start().await, tempfile::tempdir().unwrap());
        let mut child = closed_after(
            serve(dir.path(), &server, "log = \"debug\"\n").args(["--log-format", format]),
            "serving",
        );
        // Everything that is said now is read by none: of each operation, of losses, of signals.
        for _ in 0..2 {
            let peer = Peer::connect(&server).await;
            wait_until("it answers", || async {
                let asked =
                    peer.client.request("rosey.db.user.joined", r#"{"username":"alice"}"#.into()).await;
                asked.is_ok()
            })
            .await;
            server.restart().await;
        }
        let id = child.id().to_string();
        for signal in ["-HUP", "-TERM"] {
            assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        }
        wait_until("it ends", || {
            let ended = child.try_wait().unwrap().is_some();
            async move { ended }
        })
        .await;
        assert_eq!(child.wait().unwrap().code(), Some(0), "{format}");
    }
}

#[test]
fn an_output_that_is_closed_changes_no_exit_code() {
    let file = DbFile::new();
    let url = file.url();
    let dir = file.path().parent().unwrap().to_owned();
    let database = ["--no-nats", "--database-url", &url];
    let send = ["send", "user_joined", r#"{"username":"alice"}"#];
    assert_eq!(Ran::of(rosey(&dir).args(send).args(database)).code, Some(0));
    for (arguments, code) in [
        (vec!["stats", "--no-nats", "--database-url", &url], 0),
        (vec!["stats", "alice", "--json", "--no-nats", "--database-url", &url], 0),
        (vec!["stats", "--no-nats", "--database-url", "sqlite://none.db"], 2),
        (vec!["stats", "--json", "--no-nats", "--database-url", "sqlite://none.db"], 2),
        (vec!["nonsense"], 2),
        (vec!["nonsense", "--json"], 2),
        (vec!["--help"], 0),
        (vec!["config"], 0),
    ] {
        let mut child = rosey(&dir).args(&arguments).spawn().unwrap();
        drop((child.stdout.take(), child.stderr.take()));
        assert_eq!(child.wait().unwrap().code(), Some(code), "{arguments:?}");
    }
    assert_eq!(json_lines(&Ran::of(rosey(&dir).args(["stats", "--json"]).args(database)).out).len(), 1);
}
