//! What was looked at, and what was found.

use serde::Serialize;

use super::super::shown::clean;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// As it should be.
    Ok,
    /// It works, and not as well as it could; or only some processes need it.
    Warning,
    /// Something does not work.
    Failure,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    pub(super) name: &'static str,
    pub(super) state: State,
    pub(super) said: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) advice: Option<String>,
}

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Findings(pub(super) Vec<Finding>);

impl Findings {
    fn add(&mut self, name: &'static str, state: State, said: impl Into<String>, advice: Option<String>) {
        self.0.push(Finding { name, state, said: said.into(), advice });
    }

    pub(super) fn ok(&mut self, name: &'static str, said: impl Into<String>) {
        self.add(name, State::Ok, said, None);
    }

    pub(super) fn warn(&mut self, name: &'static str, said: impl Into<String>, advice: impl Into<String>) {
        self.add(name, State::Warning, said, Some(advice.into()));
    }

    pub(super) fn fail(&mut self, name: &'static str, said: impl Into<String>, advice: impl Into<String>) {
        self.add(name, State::Failure, said, Some(advice.into()));
    }

    pub(super) fn count(&self, state: State) -> usize {
        self.0.iter().filter(|finding| finding.state == state).count()
    }

    /// A line for each, and one for what to do.
    pub(super) fn text(&self) -> String {
        let width = self.0.iter().map(|finding| finding.name.len()).max().unwrap_or(0);
        let line = |Finding { name, state, said, advice }: &Finding| {
            let mark = match state {
                State::Ok => "ok  ",
                State::Warning => "WARN",
                State::Failure => "FAIL",
            };
            let advice = advice.iter().map(|advice| format!("\n      {:width$}  → {}", "", clean(advice)));
            format!("{mark}  {name:width$}  {}{}", clean(said), advice.collect::<String>())
        };
        self.0.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}
