//! The documents of the repository: their links lead somewhere, and the book has every page.

use std::path::{Path, PathBuf};

use crate::paths::Paths;

/// The documents that stand outside of docs/.
const OTHERS: [&str; 8] = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CODE_OF_CONDUCT.md",
    "layers/README.md",
    "testkit/README.md",
    "bot/CHANGELOG.md",
];

const SUMMARY: &str = "docs/SUMMARY.md";

fn pages(root: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root.join("docs")).expect("docs/");
    let files = entries.map(|entry| entry.expect("an entry").path());
    files.filter(|path| path.extension().is_some_and(|ending| ending == "md")).collect()
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

/// The text without what is code, and without comments.
fn prose(text: &str) -> String {
    let mut prose = String::new();
    let mut is_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if !is_code && !line.trim_start().starts_with("<!--") {
            // Every second part stands between backquotes.
            prose.extend(line.split('`').step_by(2));
            prose.push('\n');
        }
    }
    prose
}

/// Where the links of a document lead that lead to no other place than this repository.
fn links(text: &str) -> Vec<String> {
    let targets = prose(text);
    let targets = targets.split("](").skip(1).filter_map(|rest| rest.split(')').next()).map(str::to_owned);
    targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:")).collect()
}

/// The names of the headings, as pages link to them.
fn anchors(text: &str) -> Vec<String> {
    let mut is_code = false;
    let mut anchors = Vec::new();
    for line in text.lines() {
        is_code ^= line.trim_start().starts_with("```");
        if is_code || !line.starts_with('#') {
            continue;
        }
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        anchors.push(kept.map(|c| if c == ' ' { '-' } else { c }).collect());
    }
    anchors
}

#[test]
fn every_link_leads_to_a_file_and_to_a_heading_that_are_there() {
    let paths = Paths::find().expect("the workspace");
    let root = paths.root();
    let documents = OTHERS.iter().map(|file| root.join(file)).chain(pages(root));
    let (mut looked, mut broken) = (0, Vec::new());
    for document in documents {
        let text = read(&document);
        for link in links(&text) {
            looked += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let folder = document.parent().expect("a folder");
            let target = if file.is_empty() { document.clone() } else { folder.join(file) };
            let is_there = target.exists();
            let has_heading = anchor.is_empty()
                || target.extension().is_none_or(|ending| ending != "md")
                || (is_there && anchors(&read(&target)).iter().any(|known| known == anchor));
            if !is_there || !has_heading {
                broken.push(format!("{}: {link}", document.strip_prefix(root).expect("inside").display()));
            }
        }
    }
    assert!(looked > 100, "{looked} links");
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn the_book_has_every_page_once() {
    let paths = Paths::find().expect("the workspace");
    let listed = links(&read(&paths.root().join(SUMMARY)));
    for page in pages(paths.root()) {
        let name = page.file_name().expect("a name").to_string_lossy().into_owned();
        let times = listed.iter().filter(|link| **link == name).count();
        assert_eq!(times, usize::from(name != "SUMMARY.md"), "{name} in {SUMMARY}");
    }
}

#[test]
fn code_has_no_links_and_no_headings() {
    let text =
        "# One: `two`\n[a](b.md#c) `[x](y)`\n```\n# no\n[n](o)\n```\n<!-- [c](d) -->\n[w](https://x)\n";
    assert_eq!(links(text), ["b.md#c"]);
    assert_eq!(anchors(text), ["one-two"]);
}
