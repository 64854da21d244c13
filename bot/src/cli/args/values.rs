//! How the values of options are read.

use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use tracing_subscriber::EnvFilter;

use eitherway::sql::Synchronous;

/// Reads one of these names as what it stands for.
pub(in crate::cli) fn one_of<T: Copy + Send + Sync + 'static, const N: usize>(
    values: [(&'static str, T); N],
) -> impl TypedValueParser<Value = T> {
    let known = move |name: String| values.into_iter().find(|(known, _)| *known == name);
    PossibleValuesParser::new(values.map(|(name, _)| name))
        .try_map(move |name| known(name).map(|(_, value)| value).ok_or("an unknown name"))
}

pub(in crate::cli) fn synchronous() -> impl TypedValueParser<Value = Synchronous> {
    one_of([("normal", Synchronous::Normal), ("full", Synchronous::Full)])
}

/// A mode as chmod takes it. The owner must be able to read and write.
pub(in crate::cli) fn file_mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text.trim_start_matches("0o"), 8) {
        Ok(mode) if mode <= 0o666 && mode & 0o111 == 0 && mode & 0o600 == 0o600 => Ok(mode),
        _ => {
            Err("an octal mode for files that their owner reads and writes, such as 0600 or 0660".to_owned())
        }
    }
}

/// In milliseconds.
const YEAR: u64 = 31_536_000_000;

pub(in crate::cli) fn millis(text: &str) -> Result<Duration, String> {
    match text.parse::<u64>() {
        Ok(millis @ 1..=YEAR) => Ok(Duration::from_millis(millis)),
        _ => Err(format!("a whole number of milliseconds, from 1 to {YEAR}, which is a year")),
    }
}

/// What an operation that NATS has not answered waits for before it starts on the database as well.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) enum HedgeAfter {
    Off,
    /// As long as NATS usually takes, and some.
    Auto,
    Fixed(Duration),
}

/// Reads `--hedge-after`.
pub(in crate::cli) fn hedge_after(text: &str) -> Result<HedgeAfter, String> {
    match text {
        "auto" => Ok(HedgeAfter::Auto),
        text => millis_or_off(text).map_err(|others| format!("`auto`, {others}")),
    }
}

/// Reads `--outbox-after`.
pub(in crate::cli) fn millis_or_off(text: &str) -> Result<HedgeAfter, String> {
    match text {
        "off" => Ok(HedgeAfter::Off),
        text => millis(text).map(HedgeAfter::Fixed).map_err(|number| format!("`off`, or {number}")),
    }
}

impl HedgeAfter {
    /// The time, if it is one.
    pub(in crate::cli) const fn fixed(self) -> Option<Duration> {
        match self {
            Self::Fixed(time) => Some(time),
            Self::Off | Self::Auto => None,
        }
    }
}

/// Reads a number of things of which there is at least one.
pub(in crate::cli) fn count(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count > 0).ok_or_else(|| "a whole number, at least 1".to_owned())
}

/// Reads the number of copies of a stream: with an even one a cluster loses no more servers than with one less.
pub(in crate::cli) fn replicas(text: &str) -> Result<u8, String> {
    text.parse().ok().filter(|count| matches!(count, 1 | 3 | 5)).ok_or_else(|| "1, 3 or 5".to_owned())
}

/// Reads a number of days.
pub(in crate::cli) fn days(text: &str) -> Result<Duration, String> {
    match text.parse::<u64>().ok().filter(|days| (1..=100_000).contains(days)) {
        Some(days) => Ok(Duration::from_secs(days * 86_400)),
        None => Err("a whole number of days, from 1 to 100000".to_owned()),
    }
}

/// Reads a word that switches something on or off.
pub(in crate::cli) fn yes_or_no(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" | "y" | "t" => Ok(true),
        "0" | "false" | "no" | "off" | "n" | "f" | "" => Ok(false),
        _ => Err("yes or no (also true, false, on, off, 1, 0)".to_owned()),
    }
}

/// Reads `--log`.
pub(in crate::cli) fn level(text: &str) -> Result<String, String> {
    filter(text).map(|_| text.to_owned())
}

/// What `--log` means.
pub(in crate::cli) fn filter(level: &str) -> Result<EnvFilter, String> {
    // One word is a level for everything of ours; libraries keep quiet below warnings unless they are named, and the NATS
    // client altogether: what happens to the connection is told by us, once.
    let directives = match level {
        "off" => level.to_owned(),
        filter if filter.contains(['=', ',']) => filter.to_owned(),
        level => format!("warn,async_nats=off,rosey={level},eitherway={level}"),
    };
    EnvFilter::try_new(directives).map_err(|_| {
        "expected off, error, warn, info, debug or trace, or a filter such as eitherway=debug,rosey=info"
            .to_owned()
    })
}
