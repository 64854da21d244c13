//! A message of the stream as it lies there, whatever it is: JetStream hands it over in JSON, header and payload in base64, so
//! that nothing in it meets the parser of the connection.

use async_nats::{HeaderMap, Message};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::future::try_join_all;
use serde::Deserialize;
use serde_json::{Value, json};

use super::ack::AckInfo;
use super::api::{Api, ApiError, MESSAGE_NOT_FOUND};
use super::declare::CONSUMER;
use crate::nats::unreadable;
use crate::rfc3339;

/// How many are read at once, and how many bytes of them, by what the ones before had.
const WIDTH: usize = 32;
const BYTES: usize = 4 << 20;

#[derive(Debug, Deserialize)]
struct Answer {
    message: Stored,
}

#[derive(Debug, Deserialize)]
struct Stored {
    subject: String,
    seq: u64,
    #[serde(default)]
    hdrs: String,
    #[serde(default)]
    data: String,
    time: String,
}

/// A message of the stream.
#[derive(Debug)]
pub(super) struct Raw {
    pub(super) subject: String,
    pub(super) place: AckInfo,
    pub(super) header: Vec<u8>,
    pub(super) payload: Vec<u8>,
}

impl Raw {
    fn of(stream: &str, stored: Stored) -> Result<Self, ApiError> {
        let decode = |text: &str| BASE64.decode(text).map_err(|e| ApiError::Silent(e.to_string()));
        let time = rfc3339::nanos(&stored.time)
            .ok_or_else(|| ApiError::Silent(format!("the time {:?}", stored.time)))?;
        Ok(Self {
            header: decode(&stored.hdrs)?,
            payload: decode(&stored.data)?,
            subject: stored.subject,
            // As one that may have been taken before.
            place: AckInfo {
                stream: stream.to_owned(),
                consumer: CONSUMER.to_owned(),
                delivered: 2,
                sequence: stored.seq,
                delivery: 0,
                stored: time,
            },
        })
    }

    pub(super) fn length(&self) -> usize {
        self.subject.len() + self.header.len() + self.payload.len()
    }

    /// Whether the client library could read it.
    ///
    /// # Errors
    /// Why it could not.
    pub(super) fn readable(&self) -> Result<Option<HeaderMap>, String> {
        // What is no UTF-8 comes as this in JSON.
        if self.subject.contains(|c: char| c.is_whitespace() || c == char::REPLACEMENT_CHARACTER) {
            return Err("its subject is not UTF-8, or has blanks".to_owned());
        }
        if self.header.is_empty() {
            return Ok(None);
        }
        unreadable::read(&self.header).map(Some)
    }

    /// The message as the consumer would have delivered it.
    pub(super) fn message(self, headers: Option<HeaderMap>) -> Message {
        let AckInfo { stream, consumer, delivered, sequence, delivery, stored } = &self.place;
        let reply = format!("$JS.ACK.{stream}.{consumer}.{delivered}.{sequence}.{delivery}.{stored}.0");
        Message {
            length: self.length(),
            subject: self.subject.into(),
            reply: Some(reply.into()),
            payload: self.payload.into(),
            headers,
            status: None,
            description: None,
        }
    }
}

/// Reads a stream from one end to the other, some messages at once.
#[derive(Debug)]
pub(super) struct Reader {
    next: u64,
    width: usize,
}

impl Reader {
    pub(super) const fn new(from: u64) -> Self {
        Self { next: from, width: 4 }
    }

    /// Where it goes on.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    /// The next messages up to this place; none when it is reached.
    pub(super) async fn read(&mut self, api: &Api, stream: &str, until: u64) -> Result<Vec<Raw>, ApiError> {
        if self.next > until {
            return Ok(Vec::new());
        }
        // Gaps are leapt over: a work queue is full of them.
        let first = api.message_from(stream, self.next).await?;
        let Some(first) = first.filter(|first| first.place.sequence <= until) else {
            self.next = until + 1;
            return Ok(Vec::new());
        };
        let sequence = first.place.sequence;
        let last = until.min(sequence + self.width as u64 - 1);
        let others = (sequence + 1..=last).map(|sequence| api.message(stream, sequence));
        let mut read = vec![first];
        read.extend(try_join_all(others).await?.into_iter().flatten());
        self.next = last + 1;
        let largest = read.iter().map(Raw::length).max().unwrap_or_default();
        self.width = (BYTES / largest.max(1)).clamp(1, WIDTH).min(self.width * 2);
        Ok(read)
    }
}

impl Api {
    /// A message that the stream holds; nothing, if it does not hold it any more.
    pub(super) async fn message(&self, stream: &str, sequence: u64) -> Result<Option<Raw>, ApiError> {
        self.raw(stream, &json!({ "seq": sequence })).await
    }

    /// The first message from this place on.
    async fn message_from(&self, stream: &str, sequence: u64) -> Result<Option<Raw>, ApiError> {
        self.raw(stream, &json!({"seq": sequence, "next_by_subj": ">"})).await
    }

    async fn raw(&self, stream: &str, which: &Value) -> Result<Option<Raw>, ApiError> {
        match self.ask(&format!("STREAM.MSG.GET.{stream}"), which).await {
            Ok(answer) => {
                let answer: Answer =
                    serde_json::from_value(answer).map_err(|e| ApiError::Silent(e.to_string()))?;
                Raw::of(stream, answer.message).map(Some)
            }
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Takes everything up to this place out of the stream.
    pub(super) async fn purge(&self, stream: &str, up_to: u64) -> Result<(), ApiError> {
        self.ask(&format!("STREAM.PURGE.{stream}"), &json!({ "seq": up_to + 1 })).await.map(drop)
    }

    /// Takes a message out of the stream. One that is not there any more was taken out by another instance.
    pub(super) async fn remove(&self, stream: &str, sequence: u64) -> Result<(), ApiError> {
        let which = json!({"seq": sequence, "no_erase": true});
        match self.ask(&format!("STREAM.MSG.DELETE.{stream}"), &which).await {
            // Older servers say "not found" in other numbers.
            Ok(_) => Ok(()),
            Err(ApiError::Refused { code, description })
                if code != MESSAGE_NOT_FOUND && !description.contains("not found") =>
            {
                Err(ApiError::Refused { code, description })
            }
            Err(ApiError::Refused { .. }) => Ok(()),
            Err(e) => Err(e),
        }
    }
}

/// Bytes as text.
pub(super) fn encode(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_was_read_here_has_the_place_it_would_have_had() {
        let stored = Stored {
            subject: "shop.db.user.joined".to_owned(),
            seq: 42,
            hdrs: String::new(),
            data: "e30=".to_owned(),
            time: "2023-11-14T22:13:20.123456789Z".to_owned(),
        };
        let raw = Raw::of("SHOP", stored).unwrap_or_else(|e| panic!("{e}"));
        let place = raw.place.clone();
        let headers = raw.readable().unwrap_or_else(|e| panic!("{e}"));
        let message = raw.message(headers);
        assert_eq!(message.reply.and_then(|reply| AckInfo::read(&reply)), Some(place));
        assert_eq!(message.payload.as_ref(), b"{}");
    }
}
