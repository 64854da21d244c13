//! The book: docs/ as mdbook builds it, and the AsyncAPI document as AsyncAPI's own parser reads it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;
use std::{fs, io};

use crate::failure::Failure;
use crate::paths::Paths;
use crate::run::{Steps, cargo, step, step_within};
use crate::server::in_path;

/// What is installed where it is not in `PATH`.
const MDBOOK: &str = "0.5.4";
/// The package of the parser, which needs Node.
const PARSER: &str = "@asyncapi/parser@3.6.6";
/// As long npm may take to bring it: half a minute where its registry answers. It would try for far longer where none does.
const NPM_WITHIN: Duration = Duration::from_secs(180);

/// `cargo xtask book`: builds it.
pub(crate) fn build(paths: &Paths, args: &[String]) -> Result<ExitCode, Failure> {
    if let Some(arg) = args.first() {
        return Err(Failure::usage(format!("`book` takes no arguments, not even {arg}")));
    }
    let mut steps = Steps::default();
    add_book(paths, &mut steps)?;
    steps.finish()?;
    println!("{}", built(paths).join("index.html").display());
    Ok(ExitCode::SUCCESS)
}

/// The book, and the document of the subjects.
pub(crate) fn add(paths: &Paths, steps: &mut Steps) -> Result<(), Failure> {
    add_book(paths, steps)?;
    add_asyncapi(paths, steps)
}

fn built(paths: &Paths) -> PathBuf {
    paths.target().join("book")
}

fn add_book(paths: &Paths, steps: &mut Steps) -> Result<(), Failure> {
    let mdbook = mdbook(paths)?;
    let source = paths.target().join("book-source");
    let failed = |e: io::Error| Failure::io(format!("write {}", source.display()), &e);
    let _ = fs::remove_dir_all(&source);
    fs::create_dir_all(source.join("docs")).map_err(failed)?;
    fs::copy(paths.root().join("book.toml"), source.join("book.toml")).map_err(failed)?;
    copy(&paths.root().join("docs"), &source.join("docs")).map_err(failed)?;
    let mut command = Command::new(mdbook);
    command.args(["build", "--dest-dir"]).arg(built(paths)).arg(&source);
    steps.run("book", command, "mdbook names the page");
    let broken = broken(&built(paths)).map_err(failed)?;
    if broken.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("links of the book that lead nowhere:\n  {}", broken.join("\n  "))))
}

/// Copies the pages. What their links name outside of docs/ is not in the book: it is named, and no link.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            fs::create_dir_all(&to)?;
            copy(&from, &to)?;
        } else if from.extension().is_some_and(|ending| ending == "md") {
            fs::write(to, without_outer_links(&fs::read_to_string(from)?))?;
        } else {
            fs::copy(from, to)?;
        }
    }
    Ok(())
}

/// `[text](../file)` becomes `text` where that names the file, else `text (file)`.
fn without_outer_links(page: &str) -> String {
    let mut text = String::with_capacity(page.len());
    let mut rest = page;
    while let Some((before, after)) = rest.split_once("](../") {
        let (Some(start), Some((target, behind))) = (before.rfind('['), after.split_once(')')) else { break };
        let named = &before[start + 1..];
        text.push_str(&before[..start]);
        text.push_str(named);
        let file = target.split('#').next().unwrap_or(target);
        if !named.contains(file) {
            text.push_str(&format!(" (`{file}`)"));
        }
        rest = behind;
    }
    text.push_str(rest);
    text
}

/// The links of the pages that lead to no file of the book, or to no place in it.
fn broken(book: &Path) -> io::Result<Vec<String>> {
    let mut broken = Vec::new();
    for entry in fs::read_dir(book)? {
        let file = entry?.path();
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if file.extension().is_none_or(|ending| ending != "html")
            || ["print.html", "404.html"].contains(&name.as_str())
        {
            continue;
        }
        let page = fs::read_to_string(&file)?;
        for attribute in ["href=\"", "src=\""] {
            for link in page.split(attribute).skip(1).filter_map(|rest| rest.split('"').next()) {
                let (target, place) = link.split_once('#').unwrap_or((link, ""));
                if target.contains(':') {
                    continue;
                }
                let target = if target.is_empty() { file.clone() } else { book.join(target) };
                let has_place = || {
                    let text = fs::read_to_string(&target).unwrap_or_default();
                    place.is_empty() || text.contains(&format!("id=\"{place}\""))
                };
                if !target.is_file() || !has_place() {
                    broken.push(format!("{name}: {link}"));
                }
            }
        }
    }
    Ok(broken)
}

fn add_asyncapi(paths: &Paths, steps: &mut Steps) -> Result<(), Failure> {
    let Some(npm) = found("npm") else {
        eprintln!("xtask: SKIPPED: npm is not in PATH; it brings the parser that reads docs/asyncapi.json");
        return Ok(());
    };
    let place = paths.target().join("tools/asyncapi");
    // npm notes what it has installed when it is done.
    let noted = fs::read_to_string(place.join("package.json")).unwrap_or_default();
    if !noted.contains(PARSER.rsplit('@').next().unwrap_or(PARSER)) {
        fs::create_dir_all(&place).map_err(|e| Failure::io(format!("create {}", place.display()), &e))?;
        let mut install = Command::new(npm);
        install.args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]);
        install.arg(&place).arg(PARSER).current_dir(&place);
        if let Err(failure) =
            step_within(install, NPM_WITHIN, "npm brings the parser that reads docs/asyncapi.json")
        {
            eprintln!("xtask: SKIPPED: {failure}");
            return Ok(());
        }
    }
    let mut read = Command::new("node");
    read.args(["xtask/src/asyncapi.js", "docs/asyncapi.json"]).current_dir(paths.root());
    read.env("NODE_PATH", place.join("node_modules"));
    steps.run("AsyncAPI", read, "`rosey asyncapi` makes the document: bot/src/cli/asyncapi.rs");
    Ok(())
}

/// mdbook in `PATH`, or in the target directory, into which it is installed once.
fn mdbook(paths: &Paths) -> Result<PathBuf, Failure> {
    if let Some(program) = found("mdbook") {
        return Ok(program);
    }
    let place = paths.target().join("tools/mdbook");
    let program = place.join("bin/mdbook");
    if !is_of_version(&program) {
        let mut install = cargo(paths);
        install.args([
            "install",
            "mdbook",
            "--debug",
            "--locked",
            "--no-default-features",
            "--version",
            MDBOOK,
            "--root",
        ]);
        install.arg(&place).env("CARGO_TARGET_DIR", place.join("target"));
        step(install, "cargo installs mdbook into the target directory, once")?;
        let _ = fs::remove_dir_all(place.join("target"));
    }
    Ok(program)
}

fn is_of_version(program: &Path) -> bool {
    let said = Command::new(program).arg("--version").output();
    said.is_ok_and(|said| String::from_utf8_lossy(&said.stdout).contains(MDBOOK))
}

fn found(program: &str) -> Option<PathBuf> {
    in_path(&std::env::var_os("PATH").unwrap_or_default(), OsStr::new(program)).into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_page_links_to_outside_of_the_book_is_named() {
        let page = "see [`examples/todo.rs`](../examples/todo.rs), [a shop](../examples/shop#x) and [the wire](wire.md)";
        let plain = "see `examples/todo.rs`, a shop (`examples/shop`) and [the wire](wire.md)";
        assert_eq!(without_outer_links(page), plain);
    }
}
