//! No two files import each other, also not by way of others. A module that names its parts may be named by them.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The names on the way to it from the root of its package.
type Module = Vec<String>;

/// The files of these sources, by module.
fn files(root: &Path, folder: &Path, found: &mut BTreeMap<Module, PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(root, &path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            let place = path.strip_prefix(root).unwrap().with_extension("");
            let mut module: Module = place.iter().map(|name| name.to_str().unwrap().to_owned()).collect();
            module.pop_if(|last| matches!(last.as_str(), "mod" | "lib" | "main"));
            found.insert(module, path);
        }
    }
}

/// The paths of a `use`: `a::{b, c::d}` names `a::b` and `a::c::d`.
fn expanded(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((front, list)) = tree.strip_suffix('}').and_then(|tree| tree.split_once('{')) else {
        return vec![tree.split(" as ").next().unwrap().to_owned()];
    };
    let mut depth = 0;
    let parts = list.split(|c: char| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    let parts = parts.filter(|part| !part.trim().is_empty()).flat_map(expanded);
    parts.map(|part| format!("{front}{part}")).collect()
}

/// The paths that a file names, without those of its tests.
fn named(source: &str) -> Vec<String> {
    let code = source.split("\nmod tests {").next().unwrap();
    let code: String = code.lines().map(|line| line.split("//").next().unwrap().to_owned() + " ").collect();
    let uses = code
        .split("use ")
        .skip(1)
        .filter_map(|tree| tree.split_once(';'))
        .flat_map(|(tree, _)| expanded(tree));
    let words = code.split(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | ':')));
    let inline = words.filter(|word| word.starts_with("crate::") || word.starts_with("super::"));
    uses.chain(inline.map(str::to_owned)).collect()
}

/// The file that a path leads to from a module, if it is one of these.
fn target(from: &Module, path: &str, all: &BTreeMap<Module, PathBuf>) -> Option<Module> {
    let mut names: Vec<&str> = path.split("::").map(str::trim).collect();
    let mut at = from.clone();
    match names[0] {
        "crate" => at.clear(),
        "super" => {}
        "self" => drop(names.remove(0)),
        name if all.contains_key(&[from.as_slice(), &[name.to_owned()]].concat()) => {}
        _ => return None,
    }
    for name in names {
        match name {
            "crate" => {}
            "super" => drop(at.pop()),
            name => at.push(name.to_owned()),
        }
    }
    (0..=at.len()).rev().map(|length| at[..length].to_vec()).find(|module| all.contains_key(module))
}

/// Follows the imports from the last of these modules; returns the way that leads back to the first.
fn circle(
    way: &mut Vec<Module>,
    imports: &BTreeMap<Module, BTreeSet<Module>>,
    seen: &mut BTreeSet<Module>,
) -> bool {
    imports[way.last().unwrap()].iter().any(|next| {
        let closed = *next == way[0];
        if !closed && !seen.insert(next.clone()) {
            return false;
        }
        way.push(next.clone());
        closed || circle(way, imports, seen) || way.pop().is_none()
    })
}

#[test]
fn no_file_imports_itself_by_way_of_others() {
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for sources in ["src", "layers/src", "bot/src", "testkit/src", "xtask/src"] {
        let (root, mut all) = (packages.join(sources), BTreeMap::new());
        files(&root, &root, &mut all);
        let imports = all.iter().map(|(module, file)| {
            let paths = named(&fs::read_to_string(file).unwrap());
            let targets = paths.iter().filter_map(|path| target(module, path, &all));
            (
                module.clone(),
                targets.filter(|to| !to.starts_with(module) && !module.starts_with(to)).collect(),
            )
        });
        let imports: BTreeMap<Module, BTreeSet<Module>> = imports.collect();
        assert!(imports.values().any(|targets| !targets.is_empty()), "{sources}: no import is read");
        for module in imports.keys() {
            let mut way = vec![module.clone()];
            let way_back = circle(&mut way, &imports, &mut BTreeSet::new());
            let way: Vec<_> = way.iter().map(|module| module.join("::")).collect();
            assert!(!way_back, "{sources}: {}", way.join(" -> "));
        }
    }
}
