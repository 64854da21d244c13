//! Times that cannot be.

/// What others say of the future.
mod future_times {
    use std::process::{Command, Stdio};
    use std::time::{SystemTime, UNIX_EPOCH};

    use async_nats::HeaderMap;

    use crate::support::*;

    fn now() -> i64 {
        i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
    }

    /// A status that claims to be of a time so many seconds ahead.
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
            headers.insert("Rosey-Occurred-At", ((now() + ahead) * 1000).to_string().as_str());
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

    #[tokio::test]
    async fn on_a_stream_it_is_set_aside() {
        let w = Durable::new().await;
        let service = ServeProcess::start_with(&w.server, &w.file, &["--jetstream", "on"]).await;
        let peer = Peer::connect(&w.server).await;
        status(&peer, 86_390, "tomorrow").await;
        status(&peer, 0, "now").await;
        w.emptied().await;
        assert_eq!(w.file.texts("SELECT status FROM current_status").await, ["now"]);
        assert_eq!(w.file.texts("SELECT code FROM dead_letters").await, ["clock"]);
        assert_eq!(service.terminate().await, Some(0));
    }

    fn send(options: &[&str], at: i64) -> Option<i32> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rosey"));
        command.current_dir(std::env::temp_dir()).env_remove("NATS_URL").env_remove("DATABASE_URL");
        let payload = format!(r#"{{"username":"u{at}","timestamp":{at}}}"#);
        command.args(["send", "user_joined", &payload]).args(options);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().code()
    }

    #[tokio::test]
    async fn how_far_ahead_is_taken_is_one_option_for_every_path() {
        for (millis, taken, refused) in [("1000", 0, 60), ("7200000", 3_600, 7_300)] {
            for mode in ["off", "on"] {
                let w = Durable::new().await;
                let tolerance = ["--future-tolerance-ms", millis];
                let options = [&["--jetstream", mode], &tolerance[..]].concat();
                let service = ServeProcess::start_with(&w.server, &w.file, &options).await;
                let (nats, database) = (w.server.url(), w.file.url());
                let over_nats = ["--nats-url", &nats];
                let direct = ["--no-nats", "--database-url", &database];
                for path in [&over_nats[..], &direct[..]] {
                    let options = [path, &tolerance[..]].concat();
                    assert_eq!(send(&options, now() + taken), Some(0), "{millis} {mode} {path:?}");
                    assert_eq!(send(&options, now() + refused), Some(3), "{millis} {mode} {path:?}");
                }
                w.emptied_if(mode).await;
                assert_eq!(w.file.buried().await, 0, "it was refused before it was sent");
                assert_eq!(service.terminate().await, Some(0));
            }
        }
    }

    impl Durable {
        async fn emptied_if(&self, mode: &str) {
            if mode == "on" {
                self.emptied().await;
            }
        }
    }
}
