//! What became of what was sent, by count.

use std::collections::HashMap;
use std::fmt;

/// How many examples of each kind of mistake are kept.
const SHOWN: usize = 5;

/// How often each accepted operation has taken effect. Operations that failed may have taken effect once: that is no mistake,
/// and twice is one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdict {
    /// Operations that were accepted by a path.
    pub sent: usize,
    /// Of these, the ones with one effect.
    pub once: usize,
    /// Operations with more than one effect, accepted or not.
    pub twice: usize,
    /// Accepted operations without an effect.
    pub lost: usize,
    /// Operations that failed at their caller.
    pub failed: usize,
    /// Effects of operations that were never sent.
    pub strange: usize,
    /// Some of what is wrong, in words.
    pub examples: Vec<String>,
}

impl Verdict {
    /// Compares the marks of what was sent, accepted and failed, with the marks of the effects: one for each effect, in any
    /// order. A mark is what identifies an operation in the database; usually its id.
    #[must_use]
    pub fn of<'a>(
        accepted: impl IntoIterator<Item = &'a str>,
        failed: impl IntoIterator<Item = &'a str>,
        effects: impl IntoIterator<Item = String>,
    ) -> Self {
        let mut found = HashMap::<String, usize>::new();
        for mark in effects {
            *found.entry(mark).or_default() += 1;
        }
        let mut verdict = Self::default();
        for mark in accepted {
            verdict.sent += 1;
            match found.remove(mark) {
                None => verdict.wrong(|v| &mut v.lost, || format!("lost: {mark}")),
                Some(1) => verdict.once += 1,
                Some(times) => verdict.wrong(|v| &mut v.twice, || format!("{times} times: {mark}")),
            }
        }
        for mark in failed {
            verdict.failed += 1;
            if let Some(times) = found.remove(mark).filter(|times| *times > 1) {
                verdict.wrong(|v| &mut v.twice, || format!("failed, and {times} times: {mark}"));
            }
        }
        for mark in found.into_keys() {
            verdict.wrong(|v| &mut v.strange, || format!("never sent: {mark}"));
        }
        verdict
    }

    fn wrong(&mut self, count: impl FnOnce(&mut Self) -> &mut usize, example: impl FnOnce() -> String) {
        let count = count(self);
        *count += 1;
        if *count <= SHOWN {
            self.examples.push(example());
        }
    }

    /// Every accepted operation has one effect, every other one at most one, and there are no other effects.
    #[must_use]
    pub const fn is_exactly_once(&self) -> bool {
        self.twice == 0 && self.lost == 0 && self.strange == 0
    }

    /// # Panics
    /// Something is lost, or there twice, or was never sent; with counts and examples.
    pub fn assert_exactly_once(&self) {
        assert!(self.is_exactly_once(), "{self}\n  {}", self.examples.join("\n  "));
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, once, twice, lost, failed, strange, .. } = self;
        write!(f, "sent {sent} · applied once {once} · twice {twice} · lost {lost} · failed {failed}")?;
        if *strange > 0 { write!(f, " · never sent {strange}") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(effects: &[&str]) -> Verdict {
        Verdict::of(["a", "b"], ["x"], effects.iter().map(ToString::to_string))
    }

    #[test]
    fn what_failed_may_be_there_once_and_everything_else_must_be() {
        for right in [&["a", "b"][..], &["b", "x", "a"]] {
            let verdict = verdict(right);
            assert!(verdict.is_exactly_once(), "{verdict}");
            assert_eq!((verdict.sent, verdict.once, verdict.failed), (2, 2, 1));
        }
    }

    #[test]
    fn lost_twice_and_strange_effects_are_counted_and_named() {
        for (wrong, counts, named) in [
            (&["a"][..], (0, 1, 0), "lost: b"),
            (&["a", "b", "b"], (1, 0, 0), "2 times: b"),
            (&["a", "b", "x", "x"], (1, 0, 0), "failed, and 2 times: x"),
            (&["a", "b", "c"], (0, 0, 1), "never sent: c"),
        ] {
            let verdict = verdict(wrong);
            assert_eq!((verdict.twice, verdict.lost, verdict.strange), counts, "{verdict}");
            assert!(!verdict.is_exactly_once());
            assert_eq!(verdict.examples, [named]);
        }
    }
}
