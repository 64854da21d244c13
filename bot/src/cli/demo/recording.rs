//! The recording, read and moved in time: what is as old as a recording would be removed as such.

use std::borrow::Cow;
use std::path::Path;

use serde_json::Value;

use super::super::exit::{Exit, Failure};
use eitherway::clock;

/// The usual recording: part of the program, which may be installed without its sources.
const USUAL: &str = include_str!("../../../data/session.jsonl");

/// With fewer events, the bot's heartbeats alone would carry the scenario to its end.
const AT_LEAST: usize = 1000;

/// Reads the events of this file, or the usual ones, moved so that the last one happens now.
pub(super) fn read(file: Option<&Path>) -> Result<Vec<Value>, Failure> {
    let wrong = |why: String| {
        let name = file.map_or_else(|| "within this program".to_owned(), |file| file.display().to_string());
        Failure::new(Exit::Usage, format!("the recording {name}: {why}; --session names another"))
    };
    let text = match file {
        Some(file) => Cow::Owned(std::fs::read_to_string(file).map_err(|e| wrong(e.to_string()))?),
        None => Cow::Borrowed(USUAL),
    };
    let mut events = Vec::<Value>::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        events.push(serde_json::from_str(line).map_err(|e| wrong(format!("line {}: {e}", number + 1)))?);
    }
    if events.len() < AT_LEAST {
        return Err(wrong(format!(
            "{} events are too few for the scenario, it needs {AT_LEAST}",
            events.len()
        )));
    }
    let last = events.iter().filter_map(|event| event["timestamp"].as_f64()).fold(0.0, f64::max);
    // Whole seconds: what is between two events stays as it is.
    #[allow(clippy::cast_precision_loss)] // exact for another thousand centuries
    let by = clock::seconds(clock::now()) as f64 - last.ceil();
    for event in &mut events {
        if let Some(at) = event["timestamp"].as_f64() {
            event["timestamp"] = Value::from(at + by);
        }
    }
    Ok(events)
}
