//! `rosey verify`.

use serde::Serialize;

use super::args::{Global, StoreArgs};
use super::exit::{Exit, Failure};
use super::number::are;
use super::shown::clean;
use super::{advice, console};
use eitherway::sql::{Finding, Verdict};

pub(super) async fn run(global: &Global, args: StoreArgs) -> Result<Exit, Failure> {
    let place = args.database.named_or_usual()?;
    let bar = console::bar(None, "checks");
    let verdict = place.verify(|check| {
        bar.set_message(check);
        bar.inc(1);
    });
    let verdict = verdict.await;
    bar.finish_and_clear();
    let verdict = verdict?;
    let advice = advice::on(&verdict, place.words());
    let report = Report { verdict: &verdict, advice };
    console::show(global, &report, text);
    if verdict.is_clean() {
        return Ok(Exit::Ok);
    }
    let (compared, wrong) = totals(&verdict);
    Err(Failure::new(
        Exit::Failed,
        format!("{wrong} of {} wrong; the findings are on stdout", are(compared, "value")),
    ))
}

/// What is printed: the findings, and what they mean for the file's owner.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    verdict: &'a Verdict,
    advice: Vec<String>,
}

fn text(report: &Report<'_>) -> String {
    let Report { verdict, advice } = report;
    let mut text = String::new();
    for (check, compared) in &verdict.compared {
        let wrong = verdict.wrong.get(check).copied().unwrap_or(0);
        let outcome = if wrong == 0 { "right".to_owned() } else { format!("{wrong} WRONG") };
        text.push_str(&format!("{check:<20}{compared:>12} compared  {outcome}\n"));
        for finding in verdict.findings.iter().filter(|finding| finding.check == *check) {
            text.push_str(&format!("  {}\n", sentence(finding)));
        }
        let report = verdict.findings.iter().filter(|finding| finding.check == *check).count() as u64;
        if wrong > report {
            text.push_str(&format!("  … and {} more\n", wrong - report));
        }
    }
    let (compared, wrong) = totals(verdict);
    text.push_str(&if wrong == 0 {
        format!("clean: {compared} values are what baseline and events make them")
    } else {
        format!("{wrong} of {compared} values are not what baseline and events make them:")
    });
    for advice in advice {
        text.push_str("\n- ");
        text.push_str(advice);
    }
    text
}

/// How many values were compared, and how many are wrong.
fn totals(verdict: &Verdict) -> (u64, u64) {
    (verdict.compared.values().sum(), verdict.wrong.values().sum())
}

fn sentence(finding: &Finding) -> String {
    let shown = |value: &Option<String>| value.as_deref().map_or_else(|| "nothing".to_owned(), clean);
    format!(
        "{} · {}: found {}, expected {}",
        clean(&finding.row),
        finding.column,
        shown(&finding.actual),
        shown(&finding.expected)
    )
}
