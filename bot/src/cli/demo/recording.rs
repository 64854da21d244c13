//! The recording, read or made up, and moved in time: what is as old as a recording would be removed as such.

use std::path::Path;

use serde_json::Value;

use super::super::exit::{Exit, Failure};
use super::session;
use eitherway::clock;

/// With fewer events, the bot's heartbeats alone would carry the scenario to its end.
const AT_LEAST: usize = 1000;

/// The events of this file, or a session that is made up, moved so that the last one happens now.
pub(super) fn read(file: Option<&Path>) -> Result<Vec<Value>, Failure> {
    let mut events = file.map_or_else(|| Ok(session::events()), of_file)?;
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

fn of_file(file: &Path) -> Result<Vec<Value>, Failure> {
    let wrong = |why: String| {
        Failure::new(Exit::Usage, format!("the recording {}: {why}; --session names another", file.display()))
    };
    let text = std::fs::read_to_string(file).map_err(|e| wrong(e.to_string()))?;
    let mut events = Vec::<Value>::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        events.push(serde_json::from_str(line).map_err(|e| wrong(format!("line {}: {e}", number + 1)))?);
    }
    if events.len() < AT_LEAST {
        let few = format!("{} events are too few for the scenario, it needs {AT_LEAST}", events.len());
        return Err(wrong(few));
    }
    Ok(events)
}
