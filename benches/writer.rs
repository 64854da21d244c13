//! The cost of a write: one caller and many, beside a bare `INSERT` with its own commit, and beside SQLite
//! alone.
//!
//! `cargo xtask bench writer` runs it and prints the tables and bars that `docs/benches.md` explains. Criterion
//! measures: it takes `--save-baseline`, `--baseline`, `--quick` and a regular expression such as
//! `^lines`. The groups begin with `lines`, `kinds`, `hops`, `statements` and `postgres`.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/bare.rs"]
mod bare;
#[path = "support/callers.rs"]
mod callers;
#[path = "writer/floor.rs"]
mod floor;
#[path = "writer/hops.rs"]
mod hops;
#[path = "support/kit.rs"]
mod kit;
#[path = "writer/load.rs"]
mod load;
#[path = "writer/ours.rs"]
mod ours;
#[path = "writer/postgres.rs"]
mod postgres;
#[path = "support/rows.rs"]
mod rows;
#[path = "writer/statements.rs"]
mod statements;

use std::path::Path;
use std::time::Duration;

use criterion::Criterion;
use criterion::measurement::WallTime;
use eitherway::sql::{SqlService, Synchronous};
use rosey::op::Op;
use tokio::runtime::Runtime;

use bare::Bare;
use floor::Floor;
use load::Load;

/// Where the tables keep their files.
#[derive(Clone, Copy)]
struct Setup<'a> {
    runtime: &'a Runtime,
    dir: &'a Path,
    synchronous: Synchronous,
}

/// The service over a file of its own.
struct Ours<'a> {
    runtime: &'a Runtime,
    service: SqlService<Op>,
}

impl<'a> Ours<'a> {
    fn open(place: &Setup<'a>, name: &str) -> Self {
        let service = ours::service(place.runtime, &ours::file(place.dir, name), place.synchronous);
        Self { runtime: place.runtime, service }
    }

    fn row(&self, group: &mut Group<'_>, name: &str, callers: usize, load: Load) {
        let service = self.service.clone();
        rows::row(group, self.runtime, name, callers, move |caller, turn| {
            ours::ask(service.clone(), load.request(caller, turn))
        });
    }
}

type Group<'a> = criterion::BenchmarkGroup<'a, WallTime>;

const fn short(synchronous: Synchronous) -> &'static str {
    match synchronous {
        Synchronous::Normal => "normal",
        Synchronous::Full => "full",
    }
}

impl Setup<'_> {
    fn group<'a>(&self, criterion: &'a mut Criterion, title: &str, callers: usize) -> Group<'a> {
        let plural = if callers == 1 { "" } else { "s" };
        let synchronous = short(self.synchronous);
        let title = format!("{title}, {callers} caller{plural}, synchronous={synchronous}");
        rows::group(criterion, &title, callers)
    }

    /// The two pools beside which the others are measured.
    fn bare(&self) -> [(&'static str, Bare); 2] {
        let open = |connections| {
            let file = ours::file(self.dir, "bare");
            self.runtime.block_on(Bare::open(&file, self.synchronous, connections, load::said().to_vec()))
        };
        [
            ("bare INSERT and commit, sqlx pool of 5", open(5)),
            ("bare INSERT and commit, sqlx pool of 1", open(1)),
        ]
    }

    fn bare_row(&self, group: &mut Group<'_>, name: &str, bare: &Bare, callers: usize) {
        let bare = bare.clone();
        rows::row(group, self.runtime, name, callers, move |caller, turn| bare.clone().insert(caller, turn));
    }
}

/// Chat lines by 1 to 4096 callers.
fn lines(criterion: &mut Criterion, place: &Setup<'_>) {
    let chat = Load::lines(&load::users());
    let (bare, ours) = (place.bare(), Ours::open(place, "lines"));
    let mut floor = Floor::open(place, chat);
    for callers in [1, 32, 256, 4096] {
        let mut group = place.group(criterion, "lines", callers);
        for (name, bare) in &bare {
            place.bare_row(&mut group, name, bare, callers);
        }
        ours.row(&mut group, "chat lines (ledger, line, user)", callers, chat);
        floor.row(&mut group, "chat lines, SQLite alone", callers);
        group.finish();
    }
}

/// The other kinds of events, and a mix.
fn kinds(criterion: &mut Criterion, place: &Setup<'_>) {
    let users = load::users();
    let presence = Load::presence(&users);
    let (bare, ours) = (place.bare(), Ours::open(place, "kinds"));
    let mut floor = Floor::open(place, presence);
    for callers in [1, 256] {
        let mut group = place.group(criterion, "kinds", callers);
        for (name, bare) in &bare {
            place.bare_row(&mut group, name, bare, callers);
        }
        ours.row(&mut group, "joins and leaves", callers, presence);
        floor.row(&mut group, "joins and leaves, SQLite alone", callers);
        for (name, load) in [
            ("user_count", Load::counts()),
            ("high_water", Load::records()),
            ("status_update", Load::status()),
            ("pm_command", Load::commands(&users)),
            ("a mix, as in a session", Load::mix(&users)),
        ] {
            ours.row(&mut group, name, callers, load);
        }
        group.finish();
    }
}

fn main() {
    // The number of workers that `rosey serve` and the bot have on such a machine.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // The system's temporary directory may be in memory, where a sync costs nothing.
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    // Samples of half a second are long enough for checkpoints to even out.
    let mut criterion = rows::criterion(Duration::from_secs(5));
    let places = [Synchronous::Normal, Synchronous::Full].map(|synchronous| Setup {
        runtime: &runtime,
        dir: dir.path(),
        synchronous,
    });
    for place in &places {
        lines(&mut criterion, place);
        kinds(&mut criterion, place);
        hops::hops(&mut criterion, place);
    }
    statements::statements(&mut criterion, &places[0]);
    postgres::postgres(&mut criterion, &runtime, dir.path());
    criterion.final_summary();
}
