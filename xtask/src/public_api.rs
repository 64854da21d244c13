//! `cargo xtask public-api`: what the public packages offer, one line each, read from the pages of rustdoc.
//!
//! The pages have the signatures as rustdoc of a stable toolchain prints them. Hidden items are not on them, nor are
//! methods of traits listed again for each type; automatic and blanket implementations are left out.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use crate::failure::Failure;
use crate::paths::Paths;
use crate::run::{cargo, step};

/// Package, folder of its documentation, and the list.
const PACKAGES: [(&str, &str, &str); 2] = [
    ("eitherway", "eitherway", "public-api.txt"),
    ("eitherway-layers", "eitherway_layers", "layers/public-api.txt"),
];

/// Renews the lists, or with `--check` compares them.
pub(crate) fn list(paths: &Paths, args: &[String]) -> Result<ExitCode, Failure> {
    let check = match args {
        [] => false,
        [arg] if arg == "--check" => true,
        _ => return Err(Failure::usage("`public-api` takes nothing but --check".to_owned())),
    };
    let mut command = cargo(paths);
    command.args(["doc", "--locked", "--no-deps", "--lib", "--all-features"]);
    for (package, folder, list) in PACKAGES {
        command.args(["--package", package]);
        let pages = paths.target().join("doc").join(folder);
        if pages.is_dir() {
            // What is gone from the code would stay.
            let removed = std::fs::remove_dir_all(&pages);
            removed.map_err(|e| Failure::io(format!("remove {} for {list}", pages.display()), &e))?;
        }
    }
    step(command, "the documentation has to build")?;
    let mut same = true;
    for (_, folder, list) in PACKAGES {
        let failed = |e: std::io::Error| Failure::io(format!("compare {list} with the documentation"), &e);
        let mut found = BTreeSet::new();
        read(&paths.target().join("doc").join(folder), "", &mut found).map_err(failed)?;
        let file = paths.root().join(list);
        if !check {
            let text: String = found.iter().map(|line| format!("{line}\n")).collect();
            std::fs::write(&file, text).map_err(failed)?;
            continue;
        }
        let text = std::fs::read_to_string(&file).map_err(failed)?;
        let listed: BTreeSet<String> = text.lines().map(str::to_owned).collect();
        for line in listed.difference(&found) {
            println!("{list}: removed: {line}");
        }
        for line in found.difference(&listed) {
            println!("{list}: added: {line}");
        }
        same &= listed == found;
    }
    if same {
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure::new(
        "the public API has changed; if that is meant, `cargo xtask public-api` renews the lists",
    ))
}

/// Adds the lines of all pages in a folder, which is a module.
fn read(folder: &Path, module: &str, lines: &mut BTreeSet<String>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            read(&path, &format!("{module}{name}::"), lines)?;
        } else if let Some(page) = name.strip_suffix(".html").filter(|page| *page != "all") {
            // `struct.Config`, or `index` for the module itself
            let item = page.split_once('.').map_or("", |(_, item)| item);
            let place = format!("crate::{module}{item}");
            let place = place.trim_end_matches("::");
            let signatures = signatures(&std::fs::read_to_string(&path)?);
            lines.extend(signatures.into_iter().map(|signature| format!("{place}: {signature}")));
        }
    }
    Ok(())
}

/// The declaration, the re-exports, the implementations and the public methods on a page.
fn signatures(page: &str) -> Vec<String> {
    const OTHERS: [&str; 3] =
        ["id=\"implementors\"", "id=\"synthetic-implementations\"", "id=\"blanket-implementations\""];
    let end = OTHERS.iter().filter_map(|id| page.find(id)).min().unwrap_or(page.len());
    let own = &page[..end];
    let between = |start: &'static str, end: &'static str| {
        own.split(start).skip(1).filter_map(move |rest| rest.split_once(end)).map(|(html, _)| plain(html))
    };
    let public = |line: &String| ["pub ", "type "].iter().any(|start| line.starts_with(start));
    between("<pre class=\"rust item-decl\"><code>", "</code></pre>")
        .chain(between("<h3 class=\"code-header\">", "</h3>"))
        .chain(between("<h4 class=\"code-header\">", "</h4>").filter(public))
        .chain(between("<code>pub use ", "</code>").map(|item| format!("pub use {item}")))
        .filter(|line| !line.starts_with("impl StructuralPartialEq"))
        .collect()
}

/// HTML as text in one line.
fn plain(html: &str) -> String {
    let mut text = String::new();
    let mut rest = html;
    while let Some((before, tag)) = rest.split_once('<') {
        text.push_str(before);
        // What a page shows in place of a long declaration.
        let end = if tag.starts_with("summary") { "</summary>" } else { ">" };
        rest = tag.split_once(end).map_or("", |(_, after)| after);
        if tag.starts_with("br") || tag.starts_with("div") {
            text.push(' ');
        }
    }
    text.push_str(rest);
    for (code, character) in [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&nbsp;", " "),
        ("&amp;", "&"),
        ("ⓘ", ""),
    ] {
        text = text.replace(code, character);
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_lists_what_is_public_and_its_own() {
        let page = "<pre class=\"rust item-decl\"><code>pub struct <a>A</a>&lt;T&gt;;</code></pre>\
            <h3 class=\"code-header\">impl&lt;T&gt; Clone for A&lt;T&gt;<div class=\"where\">where T: Clone</div></h3>\
            <h4 class=\"code-header\">fn clone(&amp;self)</h4><h4 class=\"code-header\">pub fn\n    new()</h4>\
            <h2 id=\"synthetic-implementations\"></h2><h3 class=\"code-header\">impl Send for A</h3>";
        let lines = ["pub struct A<T>;", "impl<T> Clone for A<T> where T: Clone", "pub fn new()"];
        assert_eq!(signatures(page), lines);
    }
}
