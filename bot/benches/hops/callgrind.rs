//! What callgrind has counted: instructions by part, and how often memory was asked for.

use std::collections::{BTreeMap, HashMap};

/// Instructions by part, and allocations, of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Counted {
    pub(crate) parts: BTreeMap<&'static str, f64>,
    pub(crate) allocations: f64,
}

/// The crates whose code is told apart, by the beginnings of their functions' names.
const CRATES: [(&str, &str); 9] = [
    ("eitherway", "eitherway"),
    ("rosey", "eitherway"),
    ("sqlx", "sqlx"),
    ("flume", "sqlx"),
    ("futures_intrusive", "sqlx"),
    ("tokio", "tokio"),
    ("async_nats", "async-nats"),
    ("serde", "serde"),
    ("parking_lot", "locks"),
];
const ALLOCATE: [&str; 5] = ["malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc"];
const MEMORY: [&str; 6] = ["malloc", "free", "realloc", "calloc", "_int_", "tcache"];

/// The part that a function of this object belongs to.
fn part(object: &str, function: &str) -> &'static str {
    let plain = function.trim_start_matches(['<', '&', '_']);
    let is_rust = function.contains("::");
    if let Some((_, name)) = CRATES.iter().find(|(start, _)| is_rust && plain.starts_with(start)) {
        return name;
    }
    match () {
        () if MEMORY.iter().any(|start| function.starts_with(start)) => "memory",
        () if is_rust => "the standard library, and what is inlined into it",
        () if object.contains("/libc") || object.contains("ld-linux") => "libc",
        // The only C code in the program.
        () => "SQLite",
    }
}

/// Reads a file of callgrind.
pub(crate) fn read(text: &str) -> Counted {
    let mut names: HashMap<(bool, String), String> = HashMap::new();
    let mut counted = Counted::default();
    let (mut object, mut function, mut called) = (String::new(), String::new(), String::new());
    let mut is_of_a_call = false;
    for line in text.lines() {
        if let Some((key, value)) = line.split_once('=').filter(|(key, _)| !key.contains([' ', '(', ':'])) {
            // `(4) name` the first time, `(4)` from then on.
            let mut name = |is_object: bool| {
                let (number, name) = value.split_once(' ').unwrap_or((value, ""));
                let known = names.entry((is_object, number.to_owned()));
                known.or_insert_with(|| name.to_owned()).clone()
            };
            match key {
                "ob" => object = name(true),
                "cob" => drop(name(true)),
                "fn" => function = name(false),
                "cfn" => called = name(false),
                "calls" => {
                    let calls = value.split(' ').next().and_then(|calls| calls.parse().ok()).unwrap_or(0.0);
                    let is_memory = ALLOCATE.contains(&called.as_str());
                    counted.allocations +=
                        if is_memory && !ALLOCATE.contains(&function.as_str()) { calls } else { 0.0 };
                    is_of_a_call = true;
                }
                _ => {}
            }
        } else if line.starts_with(['+', '-', '*']) || line.starts_with(|c: char| c.is_ascii_digit()) {
            let cost = line.split(' ').nth(1).and_then(|cost| cost.parse().ok()).unwrap_or(0.0);
            if !std::mem::take(&mut is_of_a_call) {
                *counted.parts.entry(part(&object, &function)).or_default() += cost;
            }
        }
    }
    counted
}

impl Counted {
    pub(crate) fn instructions(&self) -> f64 {
        self.parts.values().sum()
    }

    /// What each of so many operations has cost that only the longer of two runs has done.
    pub(crate) fn each(&self, shorter: &Self, operations: f64) -> Self {
        let of = |part: &&'static str, all: &f64| {
            (*part, (all - shorter.parts.get(part).unwrap_or(&0.0)).max(0.0) / operations)
        };
        Self {
            parts: self.parts.iter().map(|(part, all)| of(part, all)).collect(),
            allocations: (self.allocations - shorter.allocations) / operations,
        }
    }
}
