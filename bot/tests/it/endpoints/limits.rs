//! What a peer of the endpoints may not do: hold up the process, or the next one who asks.

use std::time::Duration;

use reqwest::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Endpoints, serve};
use crate::support::*;

/// More than are served at once.
const MANY: usize = 100;

async fn endpoints() -> (NatsServer, DbFile, ServeProcess, Endpoints) {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let (process, endpoints) = serve(&server, &file, &[]).await;
    endpoints.are_ready().await;
    (server, file, process, endpoints)
}

impl Endpoints {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.url.strip_prefix("http://").unwrap()).await.unwrap()
    }

    /// What is answered to these bytes until the connection ends.
    async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        // It may end before it has read everything.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let read = tokio::time::timeout(LIMIT, stream.read_to_end(&mut answer)).await;
        assert!(read.is_ok(), "the connection does not end");
        String::from_utf8_lossy(&answer).into_owned()
    }
}

#[tokio::test]
async fn nothing_can_be_changed_there() {
    let (_server, _file, _process, endpoints) = endpoints().await;
    for path in ["/", "/livez", "/readyz", "/metrics", "/status.json"] {
        let (code, _) = endpoints.get(path).await;
        assert_eq!(code, StatusCode::OK, "{path}");
        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            let asked = endpoints.client.request(method.parse().unwrap(), format!("{}{path}", endpoints.url));
            let refused = asked.body("{}").send().await.unwrap();
            assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            assert_eq!(refused.headers()["allow"], "GET, HEAD", "{method} {path}");
        }
    }
    let (code, text) = endpoints.get("/nothing").await;
    assert!(code == StatusCode::NOT_FOUND && text.contains("/readyz"), "{code}: {text}");
}

#[tokio::test]
async fn what_is_told_is_of_the_type_it_says_and_not_kept_on_the_way() {
    let (_server, _file, _process, endpoints) = endpoints().await;
    for (path, kind) in [
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8"),
        ("/readyz", "application/json"),
        ("/status.json", "application/json"),
    ] {
        let answer = endpoints.client.get(format!("{}{path}", endpoints.url)).send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], kind, "{path}");
        assert_eq!(answer.headers()["cache-control"], "no-store", "{path}");
    }
}

#[tokio::test]
async fn peers_that_say_nothing_keep_nobody_from_an_answer() {
    let (_server, _file, mut process, endpoints) = endpoints().await;
    let mut silent = Vec::new();
    for n in 0..MANY {
        let mut stream = endpoints.connect().await;
        if n % 2 == 0 {
            stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").await.unwrap();
        }
        silent.push(stream);
    }
    let (code, _) = tokio::time::timeout(LIMIT, endpoints.get("/livez")).await.expect("an answer");
    assert_eq!(code, StatusCode::OK);
    for mut stream in silent {
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(LIMIT, stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "it is ended by the process");
    }
    assert!(process.runs());
}

#[tokio::test]
async fn a_request_that_is_too_long_is_refused_and_a_body_is_not_read() {
    let (_server, _file, mut process, endpoints) = endpoints().await;
    let long = format!("GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n", "a".repeat(1 << 20));
    let answer = endpoints.raw(long.as_bytes()).await;
    assert!(!answer.contains(" 200 "), "{answer}");
    let many: String = (0..1000).map(|n| format!("X-{n}: 1\r\n")).collect();
    let answer =
        endpoints.raw(format!("GET /livez HTTP/1.1\r\nHost: localhost\r\n{many}\r\n").as_bytes()).await;
    assert!(!answer.contains(" 200 "), "{answer}");
    // It says that ten gigabytes follow; the answer comes before them.
    let body = b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10737418240\r\n\r\nbegin";
    let answer = endpoints.raw(body).await;
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    let answer =
        endpoints.raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 no request at all\r\n\r\n").await;
    assert!(!answer.contains(" 200 "), "{answer}");
    assert!(process.runs());
    endpoints.are_ready().await;
}

#[tokio::test]
async fn a_peer_that_does_not_read_its_answer_is_left() {
    let (_server, _file, _process, endpoints) = endpoints().await;
    let mut streams = Vec::new();
    for _ in 0..MANY {
        let mut stream = endpoints.connect().await;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        streams.push(stream);
    }
    let answered = tokio::time::timeout(LIMIT, endpoints.get("/livez")).await;
    assert_eq!(answered.expect("an answer").0, StatusCode::OK);
}

#[tokio::test]
async fn a_process_that_is_frozen_and_thawed_is_alive_again() {
    let (_server, _file, process, endpoints) = endpoints().await;
    process.freeze();
    let asked = tokio::time::timeout(Duration::from_millis(500), endpoints.get("/livez")).await;
    assert!(asked.is_err(), "a frozen process does not answer");
    process.thaw();
    endpoints.are_ready().await;
}
