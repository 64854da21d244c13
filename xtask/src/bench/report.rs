//! `cargo xtask bench --report`: every bench once, in one sitting, and the pages that their tables stand in.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use super::one::Bench;
use super::page;
use super::record::{self, Run};
use crate::failure::Failure;
use crate::paths::Paths;
use crate::run::{cargo, step};

/// The most load of a machine that is quiet.
const QUIET: f64 = 0.5;
/// For how long the load of the compiler is waited out.
const SETTLE: Duration = Duration::from_secs(240);
/// The page of most tables, and of all bars.
const BENCHES: &str = "docs/benches.md";

/// One table of the report.
struct Item {
    /// The name of its result, and of its block on the page.
    name: &'static str,
    bench: &'static str,
    args: &'static [&'static str],
    env: &'static [(&'static str, &'static str)],
    page: &'static str,
    /// Its chart, which it draws when it is told where.
    svg: Option<&'static str>,
    /// About how many seconds it takes, on two cores, and with `--quick`.
    seconds: [u32; 2],
}

const fn item(name: &'static str, bench: &'static str, seconds: [u32; 2]) -> Item {
    Item { name, bench, args: &[], env: &[], page: BENCHES, svg: None, seconds }
}

/// Ten samples in two seconds.
const SHORT: &[&str] = &["--measurement-time", "2"];

/// The file of 10⁷ lines, which a short look does without.
const FULL: &[(&str, &str)] = &[("ROSEY_GROWTH", "full")];

const ITEMS: [Item; 13] = [
    Item { args: &["--measurement-time", "2", "--warm-up-time", "1"], ..item("layers", "layers", [150, 30]) },
    Item { args: &["--measurement-time", "2", "--warm-up-time", "1"], ..item("yours", "yours", [60, 15]) },
    Item { args: SHORT, ..item("writer", "writer", [380, 90]) },
    Item { args: SHORT, ..item("reads", "reads", [150, 40]) },
    Item { env: FULL, ..item("growth", "growth", [400, 10]) },
    Item { args: SHORT, ..item("direct_vs_nats", "direct_vs_nats", [330, 90]) },
    Item { args: SHORT, ..item("service", "service", [150, 60]) },
    Item { svg: Some("docs/open-loop.svg"), ..item("open_loop", "open_loop", [110, 30]) },
    Item {
        page: "docs/where-time-goes.md",
        svg: Some("docs/where-time-goes.svg"),
        ..item("hops", "hops", [90, 40])
    },
    item("memory", "memory", [60, 30]),
    Item { env: &[("ROSEY_STREAMS", "100")], ..item("streams", "streams", [80, 80]) },
    Item { svg: Some("docs/outage.svg"), ..item("outage", "outage", [260, 60]) },
    Item { args: &["--hedge"], svg: Some("docs/hedge.svg"), ..item("hedge", "outage", [120, 120]) },
];

/// What the command line says.
#[derive(Debug, Default, PartialEq)]
struct Options<'a> {
    quick: bool,
    busy: bool,
    from: Option<&'a str>,
}

impl<'a> Options<'a> {
    fn parse(args: &[&'a str]) -> Result<Self, Failure> {
        let mut options = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match (*arg, args.as_slice().first()) {
                ("--quick", _) => options.quick = true,
                ("--busy", _) => options.busy = true,
                ("--from", Some(dir)) => (options.from, _) = (Some(*dir), args.next()),
                _ => return Err(Failure::usage("`bench --report` takes --quick, --busy and --from DIR")),
            }
        }
        Ok(options)
    }
}

/// Runs everything, and writes the pages; with `--quick`, into the directory of the results.
pub(super) fn report(paths: &Paths, args: &[&str]) -> Result<ExitCode, Failure> {
    let options = Options::parse(args)?;
    let places: Vec<&str> = std::iter::once(page::BARS).chain(ITEMS.map(|item| item.name)).collect();
    check(paths, &places)?;
    let (dir, pages) = match options.from {
        Some(dir) => (PathBuf::from(dir), paths.root().to_owned()),
        None => {
            let dir = sit(paths, &options)?;
            (dir.clone(), if options.quick { dir } else { paths.root().to_owned() })
        }
    };
    write(paths, &record::read(&dir)?, &pages)?;
    println!("The results: {}", dir.display());
    Ok(ExitCode::SUCCESS)
}

/// Fails before hours are spent if there is no place for a table.
fn check(paths: &Paths, names: &[&str]) -> Result<(), Failure> {
    for name in names {
        let page = page_of(name);
        if !page::has(&read(&paths.root().join(page))?, name) {
            return Err(Failure::new(format!(
                "{page} has no block for `{name}`, to which its tables are written"
            )));
        }
    }
    Ok(())
}

fn page_of(name: &str) -> &'static str {
    ITEMS.iter().find(|item| item.name == name).map_or(BENCHES, |item| item.page)
}

fn read(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file).map_err(|e| Failure::io(format!("read {}", file.display()), &e))
}

/// Runs everything; returns the directory of the results.
fn sit(paths: &Paths, options: &Options<'_>) -> Result<PathBuf, Failure> {
    quiet(record::load(), options.busy)?;
    let benches = ITEMS.iter().map(|item| bench(paths, item, options.quick));
    let benches: Vec<Bench<'_>> = benches.collect::<Result<_, _>>()?;
    let mut build = cargo(paths);
    build.args(["bench", "--workspace", "--all-features", "--no-run"]);
    build.args(benches.iter().flat_map(|bench| ["--bench", bench.name]));
    step(build, "the compiler's message is above")?;
    if !options.busy {
        settle();
    }
    let stamp = Run::begin(paths, "", String::new()).date;
    let stamp: String = stamp.chars().filter(char::is_ascii_alphanumeric).collect();
    let dir = record::home(paths).join(format!("report-{stamp}"));
    let charts = if options.quick { dir.clone() } else { paths.root().join("docs") };
    std::fs::create_dir_all(&charts).map_err(|e| Failure::io(format!("create {}", charts.display()), &e))?;
    let seconds = |item: &Item| item.seconds[usize::from(options.quick)];
    let begun = Instant::now();
    for (place, (item, bench)) in ITEMS.iter().zip(&benches).enumerate() {
        let left: u32 = ITEMS[place..].iter().map(seconds).sum();
        eprintln!(
            "\n=== {} of {}: {}, about {} s; {} minutes so far, about {} to go",
            place + 1,
            ITEMS.len(),
            item.name,
            seconds(item),
            begun.elapsed().as_secs() / 60,
            left.div_ceil(60)
        );
        // What one bench fails at is no reason to do without the others.
        match bench.run(paths, &charts) {
            Ok(run) => drop(run.save(&dir, item.name)?),
            Err(failure) => eprintln!("xtask: {failure}; its old table stays"),
        }
    }
    Ok(dir)
}

/// The bench of an item.
fn bench<'a>(paths: &Paths, item: &'a Item, quick: bool) -> Result<Bench<'a>, Failure> {
    let svg = item.svg.filter(|_| !quick).map(|file| ["--svg", file]);
    let mut args = if quick { vec!["--quick"] } else { Vec::new() };
    args.extend(if quick && item.args == SHORT { &[] } else { item.args });
    args.extend(svg.into_iter().flatten());
    let mut bench = Bench::find(paths, item.bench, args)?;
    bench.env = if quick && item.env == FULL { &[] } else { item.env };
    Ok(bench)
}

/// Fails on a machine that has other work, unless that is wanted.
fn quiet(load: Option<f64>, busy: bool) -> Result<(), Failure> {
    match load {
        Some(load) if load > QUIET && busy => {
            eprintln!(
                "xtask: THE MACHINE IS BUSY: its load is {load:.2}, and the numbers are not those of a quiet one"
            );
            Ok(())
        }
        Some(load) if load > QUIET => Err(Failure::new(format!(
            "the load of this machine is {load:.2}, more than {QUIET}: end its other work and wait a minute, or measure \
             nevertheless with --busy"
        ))),
        _ => Ok(()),
    }
}

/// Waits until the compiler is out of the load average.
fn settle() {
    let begun = Instant::now();
    while record::load().is_some_and(|load| load > QUIET) {
        if begun.elapsed() > SETTLE {
            eprintln!("xtask: THE MACHINE DOES NOT BECOME QUIET; the tables will say so");
            return;
        }
        eprintln!("waiting for a load of {QUIET} after the build");
        thread::sleep(Duration::from_secs(10));
    }
}

/// Writes the pages below this root.
fn write(paths: &Paths, runs: &[(String, Run)], root: &Path) -> Result<(), Failure> {
    // In the order in which they were measured, whatever their names.
    let ordered: Vec<(String, Run)> =
        ITEMS.iter().filter_map(|item| runs.iter().find(|(name, _)| name == item.name)).cloned().collect();
    for file in [BENCHES, "docs/where-time-goes.md"] {
        let mut text = read(&paths.root().join(file))?;
        for (name, run) in &ordered {
            if page_of(name) == file {
                text = page::replaced(&text, name, &page::block(run)).unwrap_or(text);
            }
        }
        if file == BENCHES {
            text = page::replaced(&text, page::BARS, &page::bars(&ordered)).unwrap_or(text);
        }
        let file = root.join(file);
        let dir = file.parent().unwrap_or(root);
        let written = std::fs::create_dir_all(dir).and_then(|()| std::fs::write(&file, text));
        written.map_err(|e| Failure::io(format!("write {}", file.display()), &e))?;
        println!("Written: {}", file.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::run;
    use super::*;

    #[test]
    fn a_busy_machine_is_refused_unless_it_is_meant() {
        assert!(quiet(Some(0.51), false).is_err());
        assert!(quiet(Some(0.51), true).is_ok());
        assert!(quiet(Some(0.5), false).is_ok() && quiet(None, false).is_ok());
    }

    #[test]
    fn the_whole_report_fits_into_forty_minutes() {
        let minutes = |of: usize| ITEMS.iter().map(|item| item.seconds[of]).sum::<u32>() / 60;
        assert!(minutes(0) <= 40 && minutes(1) <= 12, "{} {}", minutes(0), minutes(1));
    }

    #[test]
    fn every_bench_and_every_table_has_its_place() {
        let paths = Paths::find().expect("in the workspace");
        for item in &ITEMS {
            let bench = bench(&paths, item, false).expect("it exists");
            assert_eq!(item.svg.is_some(), bench.command().contains("--svg"), "{}", item.name);
            check(&paths, &[item.name]).expect("a place");
        }
        check(&paths, &[page::BARS]).expect("a place");
    }

    #[test]
    fn a_short_report_leaves_the_documentation_alone() {
        let paths = Paths::find().expect("in the workspace");
        let bench = bench(&paths, &ITEMS[7], true).expect("it exists");
        assert_eq!(bench.command(), "cargo xtask bench open_loop --quick");
        assert!(Options::parse(&["--quick"]).expect("valid").quick);
        assert_eq!(Options::parse(&["--from", "x"]).expect("valid").from, Some("x"));
        assert!(Options::parse(&["--from"]).is_err() && Options::parse(&["writer"]).is_err());
    }

    #[test]
    fn tables_of_a_report_are_written_to_their_pages() {
        let paths = Paths::find().expect("in the workspace");
        let dir = record::home(&paths).join(format!("test-{}", std::process::id()));
        let runs = ["hops", "reads"]
            .map(|name| (name.to_owned(), Run { text: format!("the table of {name}\n"), ..run(vec![]) }));
        write(&paths, &runs, &dir).expect("written");
        let [benches, hops] = [BENCHES, page_of("hops")].map(|file| read(&dir.join(file)).expect("there"));
        let _ = std::fs::remove_dir_all(&dir);
        assert!(benches.contains("the table of reads") && !benches.contains("the table of hops"));
        assert!(hops.contains("the table of hops") && hops.contains("commit abc1234"));
    }
}
