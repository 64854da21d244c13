//! A peer that sends whatever bytes it likes: no client library between them and the server.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::{LIMIT, Url};

/// A connection on which a test writes what it likes.
#[derive(Debug)]
pub struct BytesPeer {
    reader: BufReader<TcpStream>,
}

impl BytesPeer {
    /// Connects, and says who it is.
    pub fn connect(server: &impl Url) -> Self {
        let address = server.url().trim_start_matches("nats://").to_owned();
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let mut peer = Self { reader: BufReader::new(stream) };
        let hello =
            r#"CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":false,"protocol":1}"#;
        peer.line(hello.as_bytes());
        peer.flush();
        peer
    }

    /// Publishes with this header block, to be answered nowhere.
    pub fn publish(&mut self, subject: &str, header: &[u8], payload: &[u8]) {
        self.publish_with_reply(subject, b"", header, payload);
    }

    /// The same, to be answered there.
    pub fn publish_with_reply(&mut self, subject: &str, reply: &[u8], header: &[u8], payload: &[u8]) {
        let verb = if header.is_empty() { "PUB" } else { "HPUB" };
        let mut bytes = format!("{verb} {subject} ").into_bytes();
        bytes.extend_from_slice(reply);
        bytes.push(b' ');
        if !header.is_empty() {
            bytes.extend_from_slice(format!("{} ", header.len()).as_bytes());
        }
        bytes.extend_from_slice(format!("{}\r\n", header.len() + payload.len()).as_bytes());
        bytes.extend_from_slice(header);
        bytes.extend_from_slice(payload);
        self.line(&bytes);
    }

    /// Waits until the server has read all of it, and has complained of none.
    pub fn flush(&mut self) {
        self.line(b"PING");
        loop {
            let mut line = String::new();
            assert!(self.reader.read_line(&mut line).unwrap() > 0, "the server has closed the connection");
            match line.trim_end() {
                "PONG" => return,
                "PING" => self.line(b"PONG"),
                complaint if complaint.starts_with("-ERR") => panic!("{complaint}"),
                _ => {}
            }
        }
    }

    fn line(&mut self, bytes: &[u8]) {
        let stream = self.reader.get_mut();
        stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(bytes).unwrap();
        stream.write_all(b"\r\n").unwrap();
    }
}
