//! Retention periods, as they are said: `chat=150h,history=30d`.

use std::sync::Arc;
use std::time::Duration;

use clap::{ArgAction, Args};

use super::args::millis;
use crate::op::Op;
use eitherway::outbox::MAX_REPLAY_AGE;
use eitherway::sql::Retention;

/// What is removed when it is old.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Retention")]
pub(super) struct KeepArgs {
    /// Retention periods, separated by commas: NAME=TIME, the time with s, m, h or d. Names and defaults:
    /// chat=150h (lines), history=30d (user counts; older joins and leaves become totals), sent=7d (delivered
    /// messages), kv=30d (values of plugins that were deleted or have ended), ledger=14d (which operations were applied; at least 8d). What is not named keeps its default.
    /// `bot` removes nothing unless it is without NATS: the service does
    #[arg(long, env = "ROSEY_KEEP", value_name = "LIST", default_value = "", hide_default_value = true, value_parser = periods)]
    pub(super) keep: Periods,
    /// The clock of this machine is right now, though the last known time of the file or of the NATS server is another one:
    /// what is old by it may be removed. For one start, after the machine was off for long or its clock was put right;
    /// nothing is removed while the clock is more than an hour off what is known, either way
    #[arg(long, env = "ROSEY_TRUST_CLOCK", value_parser = crate::cli::args::yes_or_no, action = ArgAction::SetTrue)]
    pub(super) trust_clock: bool,
    /// The pause between two rounds of removing, for tests
    #[arg(long, env = "ROSEY_SWEEP_EVERY_MS", hide = true, value_name = "MS", value_parser = millis)]
    pub(super) sweep_every_ms: Option<Duration>,
}

/// What is kept for how long, as far as it is said.
pub(super) type Periods = Arc<[(&'static str, Duration)]>;

impl KeepArgs {
    pub(super) fn retention(&self) -> Retention {
        let mut retention = Retention::default();
        if let Some(every) = self.sweep_every_ms {
            retention = retention.every(every);
        }
        self.keep.iter().fold(retention, |retention, (name, time)| retention.keep(*name, *time))
    }
}

/// The periods that are in force by default, as `--keep` takes them.
pub(super) fn usual() -> String {
    let said = |(name, time): (&str, Duration)| {
        let hours = time.as_secs() / 3600;
        if hours.is_multiple_of(24) { format!("{name}={}d", hours / 24) } else { format!("{name}={hours}h") }
    };
    Retention::default().times::<Op>().into_iter().map(said).collect::<Vec<_>>().join(",")
}

/// Reads `--keep`.
fn periods(list: &str) -> Result<Periods, String> {
    let known = Retention::default().times::<Op>();
    let mut periods = Vec::new();
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (name, time) =
            part.split_once('=').ok_or_else(|| format!("{part:?} is not NAME=TIME, as in chat=150h"))?;
        let Some((&name, _)) = known.get_key_value(name) else {
            let names = known.keys().copied().collect::<Vec<_>>().join(", ");
            return Err(format!("{name:?} is not one of {names}"));
        };
        if periods.iter().any(|(known, _)| *known == name) {
            return Err(format!("{name} is there twice"));
        }
        let time = duration(time).ok_or_else(|| format!("{time:?} is not a time, as 150h or 30d"))?;
        // Its rows must outlive whatever is offered again.
        if name == "ledger" && time <= MAX_REPLAY_AGE {
            return Err("the ledger is kept for at least 8d: an operation may come again for 7d".to_owned());
        }
        periods.push((name, time));
    }
    Ok(periods.into())
}

/// A whole number and a unit.
fn duration(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return None,
    };
    let number: u64 = text[..text.len() - unit.len_utf8()].parse().ok()?;
    number.checked_mul(seconds).filter(|seconds| *seconds > 0).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(keep: &str) -> Result<Retention, String> {
        let keep = periods(keep)?;
        Ok(KeepArgs { keep, trust_clock: false, sweep_every_ms: None }.retention())
    }

    #[test]
    fn times_are_a_number_and_a_unit() {
        assert_eq!(duration("150h"), Some(Duration::from_secs(540_000)));
        assert_eq!(duration("30d"), Some(Duration::from_secs(2_592_000)));
        for wrong in
            ["", "d", "-1d", "0d", "1.5h", "10", "5 d", "99999999999999999999d", "9999999999999999999d", "1€"]
        {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_not_named_keeps_its_usual_time() {
        let times = said("chat=1h, sent=2d").expect("a list").times::<Op>();
        assert_eq!(times["chat"], Duration::from_secs(3600));
        assert_eq!(times["sent"], Duration::from_secs(2 * 86_400));
        assert_eq!(times["history"], Duration::from_secs(30 * 86_400));
        assert_eq!(times["ledger"], Duration::from_secs(14 * 86_400));
    }

    #[test]
    fn a_list_that_means_nothing_is_refused() {
        for wrong in ["chat", "chat=", "lines=5d", "ledger=7d", "chat=1h;sent=1d", "chat=1d,chat=2d"] {
            assert!(said(wrong).is_err(), "{wrong}");
        }
    }
}
