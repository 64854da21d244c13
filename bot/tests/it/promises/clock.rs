//! Times that cannot be.

/// What others say of the future.
mod future_times {
    use std::time::{SystemTime, UNIX_EPOCH};

    use async_nats::HeaderMap;

    use crate::support::program::rosey;
    use crate::support::*;

    fn now() -> i64 {
        i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
    }

    /// A status that claims to be of a time this many seconds ahead.
    async fn status(peer: &Peer, ahead: i64, text: &str) -> Said {
        let payload = format!(r#"{{"status":"{text}","timestamp":{}}}"#, now() + ahead);
        peer.request("rosey.db.status.update", payload).await
    }

    #[tokio::test]
    async fn what_claims_to_come_from_the_future_does_not_hide_what_comes_after_it() {
        let (server, file) = (NatsServer::start().await, DbFile::new());
        let service = ServeProcess::start_with(&server, &file, &["--jetstream", "off"]).await;
        let peer = Peer::connect(&server).await;
        for ahead in [86_390, 3_600, 320] {
            assert_eq!(status(&peer, ahead, "tomorrow").await.refusal(), Some(422), "{ahead} s");
            let mut headers = HeaderMap::new();
            headers.insert("Eitherway-Occurred-At", ((now() + ahead) * 1000).to_string().as_str());
            let said = peer.request_with("rosey.db.status.update", headers, r#"{"status":"tomorrow"}"#).await;
            assert_eq!(said.refusal(), Some(422), "{ahead} s, in a header");
            let millis = format!(r#"{{"status":"tomorrow","timestamp":{}}}"#, (now() + ahead) * 1000);
            assert_eq!(peer.request("rosey.db.status.update", millis).await.refusal(), Some(422));
        }
        assert_eq!(status(&peer, 0, "now").await.refusal(), None);
        assert_eq!(file.texts("SELECT status FROM current_status").await, ["now"]);
        assert_eq!(status(&peer, 240, "soon").await.refusal(), None, "clocks differ");
        assert_eq!(file.texts("SELECT DISTINCT code FROM dead_letters").await, ["clock"]);
        assert_eq!(service.terminate().await, Some(0));
    }

    fn send(options: &[&str], at: i64) -> Option<i32> {
        let payload = format!(r#"{{"username":"u{at}","timestamp":{at}}}"#);
        Ran::of(rosey(&std::env::temp_dir()).args(["send", "user_joined", &payload]).args(options)).code
    }

    /// A service with these options, over which and beside which an event of the first time is taken, and one of the second is
    /// refused before it is sent.
    async fn taken_and_refused(mode: &str, tolerance: &[&str], times: [i64; 2]) -> (Durable, ServeProcess) {
        let w = Durable::new().await;
        let service =
            ServeProcess::start_with(&w.server, &w.file, &[&["--jetstream", mode], tolerance].concat()).await;
        let (nats, database) = (w.server.url(), w.file.url());
        for path in [&["--nats-url", &*nats][..], &["--no-nats", "--database-url", &database]] {
            let options = [path, tolerance].concat();
            let codes = times.map(|at| send(&options, now() + at));
            assert_eq!(codes, [Some(0), Some(3)], "{tolerance:?} {mode} {path:?}");
        }
        w.emptied_if(mode).await;
        assert_eq!(w.file.dead_letters().await, 0, "it was refused before it was sent");
        (w, service)
    }

    #[tokio::test]
    async fn how_far_ahead_is_taken_is_one_option_for_every_path() {
        for (millis, times) in [("1000", [0, 60]), ("7200000", [3_600, 7_300])] {
            for mode in ["off", "on"] {
                let (_w, service) = taken_and_refused(mode, &["--future-tolerance-ms", millis], times).await;
                assert_eq!(service.terminate().await, Some(0));
            }
        }
    }

    #[tokio::test]
    async fn how_long_ago_is_taken_is_one_option_for_every_path() {
        const DAY: i64 = 86_400;
        let thirty = ["--past-tolerance-days", "30"];
        for (tolerance, days) in [(&[][..], [-3_000, -4_000]), (&thirty, [-29, -31])] {
            for mode in ["off", "on"] {
                let (w, service) = taken_and_refused(mode, tolerance, days.map(|days| days * DAY)).await;
                // A peer that checks nothing, and whose clock was never set.
                let peer = Peer::connect(&w.server).await;
                let said =
                    peer.request("rosey.db.user.joined", r#"{"username":"old","timestamp":86400}"#).await;
                assert_eq!(said.refusal(), (mode == "off").then_some(422), "{said:?}");
                w.emptied_if(mode).await;
                assert_eq!(w.file.texts("SELECT code FROM dead_letters").await, ["clock"]);
                let reason = w.file.texts("SELECT reason FROM dead_letters").await.remove(0);
                assert!(reason.contains("--past-tolerance-days"), "{reason}");
                assert_eq!(
                    w.file.number("SELECT count(*) FROM user_stats_now WHERE username = 'old'").await,
                    0
                );
                assert_eq!(service.terminate().await, Some(0));
            }
        }
    }

    #[tokio::test]
    async fn what_has_waited_in_a_stream_has_not_become_too_old_there() {
        const DAY: i64 = 86_400;
        let w = Durable::new().await;
        let days = ["--jetstream", "on", "--past-tolerance-days", "30"];
        assert_eq!(
            ServeProcess::start_with(&w.server, &w.file, &days).await.terminate().await,
            Some(0),
            "the stream is there"
        );
        let peer = Peer::connect(&w.server).await;
        let joined =
            |name: &str, ago: i64| format!(r#"{{"username":"{name}","timestamp":{}}}"#, now() - ago * DAY);
        for event in [joined("in time", 29), joined("too late", 31)] {
            assert_eq!(
                peer.request("rosey.db.user.joined", event).await.refusal(),
                None,
                "the stream has it"
            );
        }
        // It is applied ten days later.
        let (nats, database) = (w.server.url(), w.file.url());
        let paths = ["serve", "--nats-url", &nats, "--database-url", &database];
        let late = (10 * DAY * 1000).to_string();
        let arguments = [&paths[..], &days].concat();
        let mut service = Program::start(&arguments, &[("EITHERWAY_TEST_CLOCK_OFFSET_MS", late.as_str())]);
        service.says("serving").await;
        w.emptied().await;
        assert_eq!(w.file.texts("SELECT username FROM user_stats_now").await, ["in time"]);
        assert_eq!(w.file.texts("SELECT code FROM dead_letters").await, ["clock"]);
        assert_eq!(service.terminate().await, Some(0));
    }

    impl Durable {
        async fn emptied_if(&self, mode: &str) {
            if mode == "on" {
                self.emptied().await;
            }
        }
    }
}

mod sweeps {
    //! Nothing is removed, and no id forgotten, on the word of one clock.

    use crate::support::program::rosey;
    use crate::support::*;

    const DAY: i64 = 86_400_000;

    /// A file with a line that is too old to be kept, and one of now.
    async fn written() -> DbFile {
        let file = DbFile::new();
        let old = (eitherway::clock::now() - 10 * DAY).to_string();
        for (id, at) in [("old", Some(&old)), ("new", None)] {
            let mut command = rosey(file.dir());
            command.args(["send", "message_log", r#"{"username":"ann","message":"hi"}"#, "--id", id]);
            command.args(["--no-nats", "--database-url", &file.url()]);
            command.args(at.iter().flat_map(|at| ["--at", at]));
            assert_eq!(Ran::of(&mut command).code, Some(0));
        }
        assert_eq!(lines(&file).await, 2);
        file
    }

    async fn lines(file: &DbFile) -> i64 {
        file.number("SELECT count(*) FROM recent_chat").await
    }

    fn serve(server: &NatsServer, file: &DbFile, days_off: i64, more: &[&str]) -> Program {
        let (nats, database, offset) = (server.url(), file.url(), (days_off * DAY).to_string());
        let paths = ["serve", "--nats-url", &nats, "--database-url", &database];
        let arguments: Vec<&str> = paths.iter().chain(more).copied().collect();
        let environment =
            [("EITHERWAY_TEST_CLOCK_OFFSET_MS", offset.as_str()), ("ROSEY_SWEEP_EVERY_MS", "50")];
        Program::start(&arguments, &environment)
    }

    #[tokio::test]
    async fn nothing_is_removed_while_the_clock_disagrees_and_all_goes_on_when_it_is_right() {
        for days in [400, -400] {
            let w = Durable::new().await;
            let file = written().await;
            let mut wrong = serve(&w.server, &file, days, &["--jetstream", "off"]);
            wrong.says("serving").await;
            let peer = Peer::connect(&w.server).await;
            wait_until("it is noticed", || async { notices(&peer).await.contains("--trust-clock") }).await;
            let said = notices(&peer).await;
            assert!(said.contains("400 days") && said.contains("no operation id is forgotten"), "{said}");
            // More rounds than enough.
            let gone =
                holds_within(std::time::Duration::from_millis(500), || async { lines(&file).await < 2 });
            assert!(!gone.await, "removed:\n{}", wrong.log());
            assert_eq!(file.applied().await, 2, "the ledger knows both ids");
            assert_eq!(wrong.terminate().await, Some(0));
            assert_eq!(wrong.log().matches("retention removes nothing").count(), 1, "said once in the log");

            let mut right = serve(&w.server, &file, 0, &["--jetstream", "off"]);
            // Either may come first.
            right.says("serving").await;
            right.says("retention removed: chat 1").await;
            assert_eq!((lines(&file).await, file.applied().await), (1, 2));
            assert_eq!(notices(&peer).await, "[]");
            assert_eq!(right.terminate().await, Some(0));
            file.assert_clean().await;
        }
    }

    #[tokio::test]
    async fn the_time_of_the_server_and_the_word_of_an_operator_count() {
        let w = Durable::new().await;
        // Nothing is known but the server's time.
        let mut wrong = serve(&w.server, &w.file, 400, &["--jetstream", "on"]);
        wrong.says("400 days ahead of the time of the NATS server").await;
        assert_eq!(wrong.terminate().await, Some(0));

        let (server, file) = (NatsServer::start().await, written().await);
        let mut trusted = serve(&server, &file, 400, &["--jetstream", "off", "--trust-clock"]);
        trusted.says("retention removed").await;
        wait_until("all is old", || async { lines(&file).await == 0 && file.applied().await == 0 }).await;
        assert_eq!(trusted.terminate().await, Some(0));
    }

    #[tokio::test]
    async fn what_was_applied_by_a_clock_that_was_behind_is_not_old_when_it_is_right() {
        let w = Durable::new().await;
        let file = written().await;
        let mut behind = serve(&w.server, &file, -400, &["--jetstream", "off"]);
        behind.says("serving").await;
        let peer = Peer::connect(&w.server).await;
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Nats-Msg-Id", "while-behind");
        let line = r#"{"username":"ann","message":"ho"}"#;
        let said = peer.request_with("rosey.db.message.log", headers, line).await;
        assert_eq!(said.refusal(), None, "{said:?}");
        assert_eq!(behind.terminate().await, Some(0));
        let mut right = serve(&w.server, &file, 0, &["--jetstream", "off"]);
        right.says("retention removed: chat").await;
        assert_eq!(file.applied().await, 3, "no id is forgotten");
        assert_eq!(right.terminate().await, Some(0));
    }

    #[tokio::test]
    async fn a_ledger_that_began_anew_forgets_nothing_before_its_time_has_passed_since_then() {
        for (anew, left) in [(true, 2), (false, 0)] {
            let (server, file) = (NatsServer::start().await, written().await);
            file.execute(
                "INSERT INTO meta (key, value) VALUES ('known_time', (strftime('%s') * 1000) || ' 0 x'),
                     ('ledger_from', (strftime('%s') - 86400) * 1000);
                 UPDATE ledger SET applied_at = (strftime('%s') - 20 * 86400) * 1000;",
            )
            .await;
            if !anew {
                file.execute("DELETE FROM meta WHERE key = 'ledger_from'").await;
            }
            let mut service = serve(&server, &file, 0, &["--jetstream", "off"]);
            service.says("retention removed").await;
            wait_until("the old line is removed", || async { lines(&file).await == 1 }).await;
            assert_eq!(file.applied().await, left, "{}", service.log());
            assert_eq!(service.terminate().await, Some(0));
        }
    }

    #[tokio::test]
    async fn what_waits_in_an_outbox_is_not_too_old_by_a_clock_that_has_leapt_ahead() {
        let dir = tempfile::tempdir().unwrap();
        let (input, outbox) = (dir.path().join("in.jsonl"), dir.path().join("outbox"));
        let joined = r#"{"event":"user_join","user":"ann","user_data":{"username":"ann","rank":0}}"#;
        std::fs::write(&input, joined).unwrap();
        let run = |chat: &str, nats: &str, database: Option<&str>, days_off: i64| {
            let mut command = rosey(dir.path());
            command.args(["bot", "--chat", chat, "--nats-url", nats, "--outbox", outbox.to_str().unwrap()]);
            command.args(database.iter().flat_map(|url| ["--database-url", url]));
            command.env("EITHERWAY_TEST_CLOCK_OFFSET_MS", (days_off * DAY).to_string());
            Ran::of(&mut command).err
        };
        let waiting = || {
            let arguments = ["outbox", "--json", "--outbox", outbox.to_str().unwrap()];
            let listing = Ran::of(rosey(dir.path()).args(arguments)).out;
            let listing: serde_json::Value = serde_json::from_str(&listing).unwrap();
            (listing["waiting"].as_u64().unwrap(), listing["expired"].as_u64().unwrap())
        };
        let (nowhere, chat) = (NOWHERE, format!("jsonl:{}", input.display()));
        let log = run(&chat, nowhere, None, 0);
        let kept = waiting().0;
        assert!(kept > 0, "{log}");
        // Nothing but a look at what waits.
        std::fs::write(&input, "").unwrap();
        let file = DbFile::new();
        let url = file.url();
        let log = run(&chat, nowhere, Some(&url), 400);
        assert_eq!(waiting(), (kept, 0), "{log}");
        let log = run(&chat, nowhere, Some(&url), 0);
        assert_eq!(waiting(), (0, 0), "{log}");
        assert!(file.applied().await >= kept, "{log}");
    }
}
