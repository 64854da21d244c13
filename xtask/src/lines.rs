//! `cargo xtask lines`: lines of Rust by module.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::failure::Failure;
use crate::paths::Paths;

/// Folders whose subfolders and files are counted separately.
const HOUSES: [&str; 3] = ["src", "bot/src", "layers/src"];

/// Folders that are counted as a whole.
const ROOMS: [&str; 7] = ["bot", "layers", "testkit", "tests", "benches", "examples", "xtask"];

/// Lines of each sort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    files: usize,
    code: usize,
    tests: usize,
    comments: usize,
    blank: usize,
}

impl Count {
    fn add(&mut self, other: Self) {
        self.files += other.files;
        self.code += other.code;
        self.tests += other.tests;
        self.comments += other.comments;
        self.blank += other.blank;
    }

    /// Counts one file. A block behind `#[cfg(test)]` counts as tests until its brace closes.
    fn of(text: &str, is_test: bool) -> Self {
        let mut count = Self { files: 1, ..Self::default() };
        let mut test_indent: Option<usize> = None;
        for line in text.lines() {
            let trimmed = line.trim_start();
            let indent = line.len() - trimmed.len();
            if trimmed.starts_with("#[cfg(test)]") || trimmed.starts_with("#[cfg(all(test") {
                test_indent.get_or_insert(indent);
            }
            match (trimmed, is_test || test_indent.is_some()) {
                ("", _) => count.blank += 1,
                (line, _) if line.starts_with("//") => count.comments += 1,
                (_, true) => count.tests += 1,
                (_, false) => count.code += 1,
            }
            let ends = trimmed == "}" || trimmed.ends_with(';') && !trimmed.starts_with("#[");
            if ends && test_indent == Some(indent) {
                test_indent = None;
            }
        }
        count
    }
}

/// Prints the table.
pub(crate) fn print(paths: &Paths, args: &[String]) -> Result<ExitCode, Failure> {
    if let Some(arg) = args.first() {
        return Err(Failure::usage(format!("`lines` takes no arguments, not even {arg}")));
    }
    let mut rooms: BTreeMap<(usize, String), Count> = BTreeMap::new();
    for (order, top) in HOUSES.iter().chain(&ROOMS).enumerate() {
        for file in rust_files(&paths.root().join(top))? {
            let inside = file.strip_prefix(paths.root()).unwrap_or(&file);
            let Some(room) = room_of(inside, top) else { continue };
            let text = std::fs::read_to_string(&file);
            let text = text.map_err(|e| Failure::io(format!("read {}", inside.display()), &e))?;
            let is_test = inside.iter().any(|part| part == "tests" || part == "tests.rs");
            rooms.entry((order, room)).or_default().add(Count::of(&text, is_test));
        }
    }
    let width = rooms.keys().map(|(_, room)| room.len()).max().unwrap_or(0).max(5);
    println!(
        "{:width$}  {:>5}  {:>6}  {:>6}  {:>8}  {:>6}",
        "room", "files", "code", "tests", "comments", "blank"
    );
    let mut total = Count::default();
    for ((_, room), count) in &rooms {
        print_row(room, width, *count);
        total.add(*count);
    }
    print_row("total", width, total);
    Ok(ExitCode::SUCCESS)
}

fn print_row(name: &str, width: usize, count: Count) {
    println!(
        "{name:width$}  {:>5}  {:>6}  {:>6}  {:>8}  {:>6}",
        count.files, count.code, count.tests, count.comments, count.blank
    );
}

/// The row of a file found while walking the folder `top`; `None` if another folder's walk counts it.
fn room_of(inside: &Path, top: &str) -> Option<String> {
    let rest = inside.strip_prefix(top).ok()?;
    if HOUSES.contains(&top) {
        let first = rest.iter().next()?.to_string_lossy();
        let slash = if rest.iter().count() > 1 { "/" } else { "" };
        return Some(format!("{top}/{first}{slash}"));
    }
    let elsewhere = HOUSES.iter().any(|house| inside.starts_with(house));
    (!elsewhere).then(|| format!("{top}/"))
}

/// Every Rust file under a folder that may not exist.
fn rust_files(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    if !dir.is_dir() {
        return Ok(files);
    }
    let failed = |e: std::io::Error| Failure::io(format!("list {}", dir.display()), &e);
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "target") {
                files.extend(rust_files(&path)?);
            }
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_sorted_by_kind() {
        let text =
            "//! Docs.\n\nfn a() {\n}\n\n#[cfg(test)]\nmod tests {\n    fn t() {\n    }\n}\nfn b() {}\n";
        let count = Count::of(text, false);
        assert_eq!(count, Count { files: 1, code: 3, tests: 5, comments: 1, blank: 2 });
    }

    #[test]
    fn a_declared_test_module_ends_at_once() {
        let count = Count::of("#[cfg(test)]\nmod tests;\nfn a() {}\n", false);
        assert_eq!((count.code, count.tests), (1, 2));
    }

    #[test]
    fn rooms_are_named_after_the_folder() {
        assert_eq!(room_of(Path::new("src/op/mod.rs"), "src").as_deref(), Some("src/op/"));
        assert_eq!(room_of(Path::new("src/stack.rs"), "src").as_deref(), Some("src/stack.rs"));
        assert_eq!(room_of(Path::new("layers/src/logging/mod.rs"), "layers"), None);
        assert_eq!(room_of(Path::new("layers/tests/all.rs"), "layers").as_deref(), Some("layers/"));
        assert_eq!(room_of(Path::new("xtask/src/main.rs"), "xtask").as_deref(), Some("xtask/"));
    }
}
