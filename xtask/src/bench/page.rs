//! The pages that results are written into, between markers.

use super::record::{Row, Run};

/// The block of all bars.
pub(super) const BARS: &str = "bars";

fn begin(name: &str) -> String {
    format!("<!-- bench {name}: written by `cargo xtask bench --report` -->\n")
}

const END: &str = "<!-- end of bench -->\n";

/// Whether the page has a block of this name.
pub(super) fn has(page: &str, name: &str) -> bool {
    page.split_once(&begin(name)).is_some_and(|(_, rest)| rest.contains(END))
}

/// The page with another text in this block, if it has it.
pub(super) fn replaced(page: &str, name: &str, text: &str) -> Option<String> {
    let (before, rest) = page.split_once(&begin(name))?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{}{text}{END}{after}", begin(name)))
}

/// How a run came about, and its tables.
pub(super) fn block(run: &Run) -> String {
    let Run { command, date, commit, seconds, text, .. } = run;
    let day = date.replace('T', " ").replace('Z', " UTC");
    let machine = run.machine();
    format!("`{command}`: {day}, commit {commit}, {machine}; {seconds:.0} s.\n\n```text\n{text}```\n")
}

/// Every bar of every run, those that are missed first.
pub(super) fn bars(runs: &[(String, Run)]) -> String {
    let rows = runs.iter().flat_map(|(_, run)| run.rows.iter().map(move |row| (run, row)));
    let held: Vec<_> =
        rows.flat_map(|(run, row)| row.bars.iter().map(move |held| (run, row, held))).collect();
    let met = held.iter().filter(|(.., held)| held.met).count();
    let Some((first, last)) = runs.first().zip(runs.last()) else { return String::new() };
    let mut out = format!(
        "{met} of {} bars met. Measured from {} to {} UTC on commit {}: {}.\n\n",
        held.len(),
        first.1.date.trim_end_matches('Z').replace('T', " "),
        last.1.date.trim_end_matches('Z').replace('T', " "),
        first.1.commit,
        first.1.machine(),
    );
    out += "| met | bench | what | measured | beside | bar |\n|---|---|---|---|---|---|\n";
    let missed_first =
        [false, true].into_iter().flat_map(|met| held.iter().filter(move |(.., held)| held.met == met));
    for (run, row, held) in missed_first {
        let Row { group, row: name, unit, value, beside, .. } = row;
        let beside =
            beside.as_ref().map_or_else(String::new, |(other, ratio)| format!("{ratio:.2} × {other}"));
        let word = if held.met { "yes" } else { "**no**" };
        let value = if *value < 100.0 { format!("{value:.1}") } else { format!("{value:.0}") };
        out += &format!(
            "| {word} | {} | {group}: {name} | {value} {unit} | {beside} | {} |\n",
            run.bench, held.bar
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::record::BarResult;
    use super::super::record::tests::{row, run};
    use super::*;

    fn held(name: &str, met: bool) -> Row {
        let bar = BarResult { bar: "≤ 1 ×".to_owned(), met };
        Row { beside: Some(("base".to_owned(), 0.5)), bars: vec![bar], ..row(name, 40.0, 0.0) }
    }

    #[test]
    fn a_block_is_replaced_and_nothing_else() {
        let page =
            format!("# Title\n{}old\n{END}between\n{}other\n{END}the end\n", begin("writer"), begin("reads"));
        let page = replaced(&page, "writer", "new\n").expect("it is there");
        assert_eq!(
            page,
            format!("# Title\n{}new\n{END}between\n{}other\n{END}the end\n", begin("writer"), begin("reads"))
        );
        assert!(has(&page, "reads") && !has(&page, "layers"));
        assert_eq!(replaced(&page, "layers", ""), None);
    }

    #[test]
    fn a_table_stands_below_its_command_date_commit_and_load() {
        let text = block(&Run { text: "a table\n".to_owned(), ..run(vec![]) });
        for part in ["cargo xtask bench writer", "2026-01-02 03:04:05 UTC", "abc1234", "load before 0.25"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(text.ends_with("```text\na table\n```\n"), "{text}");
    }

    #[test]
    fn missed_bars_stand_first_and_none_is_left_out() {
        let runs = [(
            "writer".to_owned(),
            run(vec![held("good", true), row("no bar", 1.0, 0.0), held("bad", false)]),
        )];
        let text = bars(&runs);
        assert!(text.starts_with("1 of 2 bars met."), "{text}");
        let bad =
            text.find("| **no** | writer | a group: bad | 40.0 ns | 0.50 × base | ≤ 1 × |").expect("bad");
        let good = text.find("| yes | writer | a group: good |").expect("good");
        assert!(bad < good && !text.contains("no bar"), "{text}");
    }
}
