//! Reads the word lists: sections that begin with `[name]`, one entry per line.

use std::collections::BTreeMap;

/// One file of lists.
#[derive(Debug)]
pub(super) struct Lists(BTreeMap<&'static str, Vec<&'static str>>);

impl Lists {
    /// Parses a file.
    pub(super) fn parse(text: &'static str) -> Self {
        let mut lists: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut section = "";
        for line in text.lines().filter(|line| !line.is_empty()) {
            match line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                Some(name) => section = name,
                None => lists.entry(section).or_default().push(line),
            }
        }
        Self(lists)
    }

    /// The entries of a section; empty if the section does not exist.
    pub(super) fn get(&self, section: &str) -> &[&'static str] {
        self.0.get(section).map_or(&[], Vec::as_slice)
    }
}

/// A short dialogue: lines of a speaker's letter and a text.
#[derive(Clone, Debug, Default)]
pub(super) struct Talk(pub(super) Vec<(usize, &'static str)>);

/// Parses dialogues, which are separated by empty lines.
pub(super) fn talks(text: &'static str) -> Vec<Talk> {
    let mut talks = vec![Talk::default()];
    for line in text.lines() {
        let Some((speaker, words)) = line.split_once(": ") else {
            talks.push(Talk::default());
            continue;
        };
        let number = ["A", "B", "C"].iter().position(|letter| *letter == speaker).unwrap_or(0);
        if let Some(talk) = talks.last_mut() {
            talk.0.push((number, words));
        }
    }
    talks.retain(|talk| !talk.0.is_empty());
    talks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_and_entries() {
        let lists = Lists::parse("[a]\none\ntwo\n\n[b]\nthree\n");
        assert_eq!(lists.get("a"), ["one", "two"]);
        assert_eq!(lists.get("b"), ["three"]);
        assert!(lists.get("c").is_empty());
    }

    #[test]
    fn dialogues() {
        let talks = talks("A: hi: you\nB: hi\n\n\nC: well\n");
        assert_eq!(talks.len(), 2);
        assert_eq!(talks[0].0, [(0, "hi: you"), (1, "hi")]);
        assert_eq!(talks[1].0, [(2, "well")]);
    }
}
