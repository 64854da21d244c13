//! The time to compile a stack grows gently with its layers.

#[macro_use]
mod nest;

use eitherway_layers::{Classify, PathChangeLogLayer};
use nest::*;
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

#[tokio::test]
async fn a_nest_of_24_layers_compiles_and_serves() {
    let nest = four!(four!(four!(four!(four!(four!(service_fn(fails)))))));
    let named = PathChangeLogLayer::new().served_by(|_: &u32| "[NEST]").layer(nest.clone());
    assert_eq!(named.oneshot(3).await.unwrap_err().class(), Class::NotSent);
    assert_eq!(nest.oneshot(4).await.unwrap(), 2);
}

/// Where a bound is worked out anew at each layer, each further layer doubles the time: twelve more take a thousand times as
/// long and more, or do not end. With a `map_err` around each layer, twice the layers take six times the work, because each
/// error is looked up through the closures beneath it.
#[test]
fn a_nest_of_24_layers_takes_a_few_times_the_work_of_one_of_12() {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let libraries = Libraries::of_this_test(scratch);
    // What a program without a nest takes is not part of it.
    let base = libraries.time(scratch, 0);
    let [twelve, twenty_four] = [3, 6].map(|groups| libraries.time(scratch, groups).saturating_sub(base));
    let ticks = Duration::from_millis(100); // below this, the clock of the kernel is too coarse
    assert!(
        twenty_four <= twelve.max(ticks) * 12,
        "{twelve:?} for 12 layers, {twenty_four:?} for 24, {base:?} for none"
    );
}

/// The libraries that this test is linked with: the newest that fit together.
struct Libraries {
    deps: PathBuf,
    layers: PathBuf,
    tower: PathBuf,
}

impl Libraries {
    fn of_this_test(scratch: &Path) -> Self {
        let deps = env::current_exe().unwrap().parent().unwrap().to_owned();
        let newest = |name: &str| {
            let entries = fs::read_dir(&deps).unwrap().map(|entry| entry.unwrap().path());
            let is_it = |path: &PathBuf| {
                let file = path.file_name().and_then(|file| file.to_str()).unwrap_or_default();
                file.starts_with(&format!("lib{name}-")) && file.ends_with(".rlib")
            };
            let mut found: Vec<_> = entries.filter(is_it).collect();
            let built = |path: &PathBuf| {
                path.metadata().and_then(|file| file.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
            };
            found.sort_by_key(|path| std::cmp::Reverse(built(path)));
            found
        };
        let mut why = "there are none".to_owned();
        for layers in newest("eitherway_layers") {
            for tower in newest("tower") {
                let these = Self { deps: deps.clone(), layers: layers.clone(), tower };
                match these.compile(scratch, 1) {
                    Ok(_) => return these,
                    Err(error) => why = error,
                }
            }
        }
        panic!("no libraries in {} fit together: {why}", deps.display());
    }

    /// The user time that the compiler takes for a nest of so many times four layers: the lesser of two attempts.
    fn time(&self, scratch: &Path, groups: usize) -> Duration {
        (0..2).map(|_| self.compile(scratch, groups).unwrap()).min().unwrap()
    }

    /// Checks a program with such a nest, and returns the user time that it takes.
    fn compile(&self, scratch: &Path, groups: usize) -> Result<Duration, String> {
        let nest = (0..groups).fold("service_fn(fails)".to_owned(), |inner, _| format!("four!({inner})"));
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/nesting/nest.rs");
        let source = format!("include!({file:?}); fn main() {{ let _call = {nest}.oneshot(1); }}");
        fs::write(scratch.join("nest.rs"), source).unwrap();
        let library = |name, path: &PathBuf| format!("--extern={name}={}", path.display());
        let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
        // The shell tells the time of its children, and of no other child of this test.
        let output = Command::new("sh")
            .args([
                "-c",
                r#""$@" && times"#,
                "sh",
                &rustc,
                "--edition=2024",
                "--emit=metadata",
                "--allow=warnings",
            ])
            .args([library("eitherway_layers", &self.layers), library("tower", &self.tower)])
            .arg(format!("-Ldependency={}", self.deps.display()))
            .args(["--out-dir".as_ref(), scratch.as_os_str(), scratch.join("nest.rs").as_os_str()])
            .output()
            .unwrap();
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        // The second line is that of the children: 0m0.480s 0m0.120s.
        let times = String::from_utf8_lossy(&output.stdout).into_owned();
        let user = times.lines().nth(1).and_then(|line| line.split_whitespace().next());
        let (minutes, seconds) = user.and_then(|user| user.trim_end_matches('s').split_once('m')).unwrap();
        Ok(Duration::from_secs(60 * minutes.parse::<u64>().unwrap())
            + Duration::from_secs_f64(seconds.parse().unwrap()))
    }
}
