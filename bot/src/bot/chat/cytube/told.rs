//! What a server tells beside the channel's events. What is something else is nothing.

use std::time::Duration;

use parking_lot::Mutex;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::super::Unsent;
use super::super::link::pace::Bucket;
use super::voice::Voice;
use super::{BURST, EVERY};

/// The longest reason that is told, in characters.
const LONGEST_REASON: usize = 200;
/// The longest wait after a line that the server has dropped.
const LONGEST_COOLDOWN: Duration = Duration::from_secs(10);

/// What a server tells of what is said, and how fast it may be. Returns whether the event was that.
pub(in crate::bot::chat) fn of_voice(
    event: &str,
    data: &str,
    voice: &mut Voice,
    bucket: &Mutex<Bucket>,
    now: Instant,
) -> bool {
    match event {
        "errorMsg" if voice.whispers() => {
            voice.refuse(Unsent::transient(printable(&read::<Told>(data).msg)));
        }
        "noflood" => voice.refuse(Unsent::transient(printable(&read::<Told>(data).msg))),
        "spamFiltered" => voice.refuse(Unsent::permanent(printable(&read::<Told>(data).reason))),
        "cooldown" => {
            let millis = read::<f64>(data).clamp(0.0, LONGEST_COOLDOWN.as_millis() as f64);
            if voice.dropped(Duration::from_millis(millis as u64), now) {
                bucket.lock().drain(now);
            }
        }
        "channelOpts" => {
            let (burst, every) = read::<Options>(data).pace();
            bucket.lock().set(burst, every);
        }
        _ => return false,
    }
    true
}

/// The data of an event, or nothing if it is something else.
pub(in crate::bot::chat) fn read<T: DeserializeOwned + Default>(data: &str) -> T {
    serde_json::from_str(data).unwrap_or_default()
}

/// What a server says, for the log: short, and on one line.
pub(in crate::bot::chat) fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LONGEST_REASON).collect()
}

/// Why something does not work.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(in crate::bot::chat) struct Told {
    pub(in crate::bot::chat) reason: String,
    pub(in crate::bot::chat) msg: String,
}

/// How fast one may speak in the channel.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(in crate::bot::chat) struct Options {
    chat_antiflood: bool,
    chat_antiflood_params: Pace,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pace {
    burst: f64,
    sustained: f64,
}

impl Options {
    /// So many lines at once, then one in this time.
    pub(in crate::bot::chat) fn pace(&self) -> (u32, Duration) {
        let Pace { burst, sustained } = self.chat_antiflood_params;
        if !self.chat_antiflood || burst < 1.0 || sustained <= 0.0 {
            return (BURST, EVERY);
        }
        // A little slower than allowed: clocks and ways differ.
        let every = Duration::from_secs_f64((1.1 / sustained).clamp(EVERY.as_secs_f64(), 60.0));
        ((burst as u32).min(BURST), every)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_that_of_the_channel_and_never_faster_than_the_server_allows() {
        let pace = |options: &str| read::<Options>(options).pace();
        let strict =
            r#"{"chat_antiflood":true,"chat_antiflood_params":{"burst":4,"sustained":1,"cooldown":4}}"#;
        assert_eq!(pace(strict), (4, Duration::from_millis(1100)));
        let lax = r#"{"chat_antiflood":true,"chat_antiflood_params":{"burst":1000,"sustained":1000}}"#;
        assert_eq!(pace(lax), (BURST, EVERY));
        for odd in [
            "null",
            "{}",
            r#"{"chat_antiflood":false,"chat_antiflood_params":{"burst":1,"sustained":0.1}}"#,
            r#"{"chat_antiflood":true,"chat_antiflood_params":{"burst":0,"sustained":1}}"#,
            r#"{"chat_antiflood":true,"chat_antiflood_params":{"burst":4,"sustained":-1}}"#,
        ] {
            assert_eq!(pace(odd), (BURST, EVERY), "{odd}");
        }
        let slow = r#"{"chat_antiflood":true,"chat_antiflood_params":{"burst":4,"sustained":1e-300}}"#;
        assert_eq!(pace(slow), (4, Duration::from_secs(60)));
    }
}
