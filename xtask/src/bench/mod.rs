//! `cargo xtask bench`: one bench, two results side by side, or all benches in one sitting.

mod compare;
mod one;
mod page;
pub(crate) mod record;
mod report;

use std::path::Path;
use std::process::ExitCode;

use crate::failure::Failure;
use crate::paths::Paths;

/// Runs what the arguments say.
pub(crate) fn run(paths: &Paths, args: &[String]) -> Result<ExitCode, Failure> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["--compare", old, new] => compare::compare(Path::new(old), Path::new(new)),
        ["--compare", ..] => Err(Failure::usage("`bench --compare` wants two results: OLD NEW")),
        ["--report", options @ ..] => report::report(paths, options),
        _ => one::bench(paths, args),
    }
}
