//! `rosey doctor`: looks at everything that bot and service need, changes nothing, and says what to do.

mod connection;
mod database;
mod files;
mod finding;
mod jetstream;
mod lock;
mod nats;
mod permissions;

use serde::Serialize;

use super::args::{DoctorArgs, Global};
use super::exit::{Exit, Failure};
use super::number::counted;
use super::{console, reload, secrets};
pub(super) use files::warn_of_keys;
use finding::{Finding, Findings, State};

pub(super) async fn run(global: &Global, args: DoctorArgs) -> Result<Exit, Failure> {
    let mut findings = Findings::default();
    program(&mut findings);
    if args.no_nats {
        findings.ok("nats", "not asked: --no-nats");
    } else {
        nats::look(&args, &mut findings).await;
    }
    database::look(&args, &mut findings).await;
    files::look(&args, &mut findings).await;
    let [warnings, failures] = [State::Warning, State::Failure].map(|state| findings.count(state) as u64);
    let report = Report { findings: &findings.0, warnings, failures };
    console::show(global, &report, |_| {
        format!("{}\n{}, {}", findings.text(), counted(failures, "failure"), counted(warnings, "warning"))
    });
    if failures == 0 {
        return Ok(Exit::Ok);
    }
    Err(Failure::new(Exit::Failed, format!("{}; what to do is on stdout", counted(failures, "failure"))))
}

#[derive(Serialize)]
struct Report<'a> {
    findings: &'a [Finding],
    warnings: u64,
    failures: u64,
}

/// What runs, and what it was told.
fn program(findings: &mut Findings) {
    let (system, machine) = (std::env::consts::OS, std::env::consts::ARCH);
    findings.ok("program", format!("rosey {} on {system} {machine}", env!("CARGO_PKG_VERSION")));
    let (file, settings) = reload::in_force();
    let file = file.map_or_else(|| "no file".to_owned(), |file| file.display().to_string());
    let said = settings.iter().filter_map(|setting| {
        let value = secrets::value(&setting.name, setting.value.as_deref()?);
        setting.is_said().then(|| format!("{} = {value} ({})", setting.name, setting.from))
    });
    let said: Vec<String> = said.collect();
    let said = if said.is_empty() { "the defaults".to_owned() } else { said.join("; ") };
    findings.ok("configuration", format!("{file}; {said}"));
}
