//! `cargo xtask session`: an invented recording of a chat room that watches two old films together.
//!
//! This module uses neither a clock nor the system's randomness nor floating point, so that it yields the
//! same bytes on every machine.

mod film;
mod people;
mod record;
mod rng;
mod room;
mod voice;
mod words;

use std::process::ExitCode;

use crate::failure::Failure;
use crate::paths::Paths;

/// The seed of the whole recording.
const SEED: u64 = 0x0001_0B57_E12B_01DE;

/// Writes the file, or with `--check` only compares it.
pub(crate) fn write(paths: &Paths, args: &[String]) -> Result<ExitCode, Failure> {
    let check = match args {
        [] => false,
        [arg] if arg == "--check" => true,
        _ => return Err(Failure::usage("`session` takes nothing but --check")),
    };
    let file = paths.session();
    let text = room::recording(SEED)?;
    if check {
        let there = std::fs::read(&file).map_err(|e| Failure::io("read examples/data/session.jsonl", &e))?;
        if there != text.as_bytes() {
            return Err(Failure::new(
                "examples/data/session.jsonl differs; `cargo xtask session` writes it anew",
            ));
        }
        println!("examples/data/session.jsonl is as it should be");
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(dir) = file.parent() {
        std::fs::create_dir_all(dir).map_err(|e| Failure::io("create examples/data", &e))?;
    }
    std::fs::write(&file, &text).map_err(|e| Failure::io("write examples/data/session.jsonl", &e))?;
    println!("examples/data/session.jsonl: {} events, {} bytes", text.lines().count(), text.len());
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests;
