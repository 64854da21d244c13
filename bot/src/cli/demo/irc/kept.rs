//! What people have said beside what the database has of it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::env::Env;
use super::super::rows::Rows;
use crate::cli::exit::Failure;

/// The counts of the lines of people.
pub(super) struct Kept {
    said: usize,
    lost: u64,
    doubled: u64,
    /// What `verify` finds.
    wrong: u64,
}

impl Kept {
    /// Compares; nothing runs any more.
    pub(super) async fn find(said: &[String], env: &Env) -> Result<Self, Failure> {
        let verified = env.path_args().database.named_or_usual()?.verify(|_| {}).await?;
        let tables = Rows::open(&env.database()).await?;
        let kept = tables.all::<(String, String)>("SELECT username, message FROM recent_chat").await?;
        tables.close().await;
        let kept: Vec<String> = kept.into_iter().map(|(name, text)| format!("{name}: {text}")).collect();
        let (lost, doubled) = compared(said, &kept);
        Ok(Self { said: said.len(), lost, doubled, wrong: verified.wrong.values().sum() })
    }

    pub(super) const fn is_good(&self) -> bool {
        self.lost == 0 && self.doubled == 0 && self.wrong == 0
    }

    pub(super) fn json(&self) -> Value {
        json!({"lines": self.said, "lost": self.lost, "doubled": self.doubled, "mismatches": self.wrong})
    }

    pub(super) fn text(&self) -> String {
        let Self { said, lost, doubled, wrong } = self;
        let checked = match wrong {
            0 => "the database agrees with itself".to_owned(),
            wrong => format!("{wrong} mismatches within the database"),
        };
        format!("\nverdict: lost {lost} · doubled {doubled} ({said} lines of people; {checked})")
    }
}

/// How many lines are missing, and how many are there too often.
fn compared(said: &[String], kept: &[String]) -> (u64, u64) {
    let mut balance = BTreeMap::<&str, i64>::new();
    said.iter().for_each(|line| *balance.entry(line).or_default() += 1);
    kept.iter().for_each(|line| *balance.entry(line).or_default() -= 1);
    balance.values().fold((0, 0), |(lost, doubled), &rest| match rest {
        1.. => (lost + rest.unsigned_abs(), doubled),
        _ => (lost, doubled + rest.unsigned_abs()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_missing_or_there_twice_is_counted() {
        let lines = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(compared(&lines("a a b"), &lines("a b a")), (0, 0));
        assert_eq!(compared(&lines("a b c"), &lines("b b")), (2, 1));
    }
}
