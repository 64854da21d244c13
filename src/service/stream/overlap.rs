//! The moment in which events are listened to already, and the stream takes them still: what it took in that moment has
//! come both ways.

use std::collections::HashMap;

use async_nats::{HeaderMap, Message};

use super::api::Api;
use crate::nats::wire;

/// Messages without an id that the stream has taken since it was looked at first. Those with one need no care: the ledger
/// knows them.
#[derive(Debug, Default)]
pub(in crate::service) struct Overlap(HashMap<(String, Vec<u8>), usize>);

impl Overlap {
    /// Reads what the stream has taken behind this place.
    pub(in crate::service) async fn read(api: &Api, stream: &str, behind: u64) -> Self {
        let last = match api.stream(stream).await {
            Ok(info) => info.state.last(),
            Err(e) => {
                tracing::debug!("the stream cannot be looked at: {e}");
                behind
            }
        };
        let mut messages = HashMap::new();
        for sequence in behind + 1..=last {
            // One that is gone was applied already; it cannot be told from one that came once, and is not dropped.
            if let Ok(Some(message)) = api.message(stream, sequence).await
                && message.readable().is_ok_and(|headers| !has_id(headers.as_ref()))
            {
                *messages.entry((message.subject, message.payload)).or_default() += 1;
            }
        }
        Self(messages)
    }

    /// Whether this message is in the stream too, and so is done from there. Each of the stream's stands for one.
    pub(in crate::service) fn takes(&mut self, message: &Message) -> bool {
        if has_id(message.headers.as_ref()) {
            return false;
        }
        let key = (message.subject.to_string(), message.payload.to_vec());
        match self.0.get_mut(&key) {
            Some(left) if *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }
}

fn has_id(headers: Option<&HeaderMap>) -> bool {
    wire::names_id(headers)
}
