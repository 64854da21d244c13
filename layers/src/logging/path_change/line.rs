//! One line: which path serves now, and what came before.

use super::super::level_callsite::TARGET;
use std::{
    fmt::{self, Display},
    sync::OnceLock,
    time::Duration,
};

/// An interruption shorter than this is not logged if the same path serves afterwards.
pub(super) const OUTAGE: Duration = Duration::from_secs(1);

/// The number of paths that are told apart. Further ones count as one, [`OTHERS`].
pub(super) const PATHS: usize = 8;

/// The tag of all paths beyond the first [`PATHS`] that served.
const OTHERS: &str = "[OTHERS]";

/// The content of a line.
pub(super) struct Line<'a> {
    pub(super) tags: &'a [OnceLock<&'static str>],
    pub(super) path: usize,
    pub(super) what: &'a str,
    pub(super) again: bool,
    pub(super) calls: [u64; PATHS + 1],
    pub(super) failed: u64,
    pub(super) before: Duration,
    pub(super) outage: Duration,
}

impl Line<'_> {
    pub(super) fn tell(&self) {
        tracing::info!(target: TARGET, "{self}");
    }
}

impl Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tag = |path: usize| self.tags.get(path).and_then(OnceLock::get).copied().unwrap_or(OTHERS);
        write!(f, "{} is serving", tag(self.path))?;
        if !self.what.is_empty() {
            write!(f, " {}", self.what)?;
        }
        if self.again {
            f.write_str(" again")?;
        }
        let mut parts = (0..=PATHS).filter(|path| self.calls[*path] > 0).peekable();
        if parts.peek().is_none() && self.failed == 0 {
            return Ok(());
        }
        write!(f, " after {:.1}s (", self.before.as_secs_f64())?;
        let mut comma = "";
        for path in parts {
            let requests = if self.calls[path] == 1 { "request" } else { "requests" };
            write!(f, "{comma}{} {requests} served by {}", self.calls[path], tag(path))?;
            comma = ", ";
        }
        if self.failed > 0 {
            write!(f, "{comma}{} failed", self.failed)?;
        }
        if self.outage >= OUTAGE && self.outage < self.before {
            write!(f, ", nothing served for {:.1}s", self.outage.as_secs_f64())?;
        }
        f.write_str(")")
    }
}
