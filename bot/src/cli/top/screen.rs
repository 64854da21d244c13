//! The board as lines of text: for a terminal of 80 columns, or for a script.

use super::super::human;
use super::super::listen::board::{
    Board, Circuit, Ended, Level, Line as Drawing, Route, StepState, Tile, words,
};

/// How a piece of a line is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Strong,
    Soft,
    Of(Level),
}

/// A line, in pieces.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Line(pub(super) Vec<(Tone, String)>);

/// What a screen shows of changes, at most, if there is room.
const CHANGES: usize = 12;
/// The columns of a drawing.
const DRAWN: usize = 24;

impl Line {
    fn of(tone: Tone, text: impl Into<String>) -> Self {
        Self(vec![(tone, text.into())])
    }

    fn and(mut self, tone: Tone, text: impl Into<String>) -> Self {
        self.0.push((tone, text.into()));
        self
    }

    /// Without its tones.
    pub(super) fn text(&self) -> String {
        let text: String = self.0.iter().map(|(_, text)| text.as_str()).collect();
        text.trim_end().to_owned()
    }

    /// No longer than this; what is cut off ends with a mark.
    pub(super) fn cut(mut self, width: usize) -> Self {
        let mut left = width;
        for (_, text) in &mut self.0 {
            let length = text.chars().count();
            if length > left {
                *text = text.chars().take(left.saturating_sub(1)).collect();
                if left > 0 {
                    text.push('…');
                }
                left = 0;
            } else {
                left -= length;
            }
        }
        self
    }
}

/// The lines of a screen of this size.
pub(super) fn screen(board: &Board, width: usize, height: usize) -> Vec<Line> {
    let mut lines = head(board);
    let tiles: Vec<Line> = board.tiles.iter().map(tile).collect();
    let routes: Vec<Line> = board.routes.iter().map(|route| self::route(route, board)).collect();
    let aside = aside(board);
    let fixed = lines.len() + tiles.len() + routes.len() + aside.len() + 3;
    // Problems come first, and get what room there is; the newest changes get the rest.
    let room = height.saturating_sub(fixed);
    let problems = problems(board, width);
    lines.extend(problems.into_iter().take(room.max(3)));
    for part in [tiles, routes, aside] {
        if !part.is_empty() {
            lines.push(Line::default());
            lines.extend(part);
        }
    }
    for part in [changes(board), last(board)] {
        let left = height.saturating_sub(lines.len() + 1).min(CHANGES);
        if left > 0 && !part.is_empty() {
            lines.push(Line::default());
            lines.extend(part.into_iter().take(left));
        }
    }
    lines.truncate(height);
    lines.into_iter().map(|line| line.cut(width)).collect()
}

/// All of it, for a script or a file.
pub(super) fn whole(board: &Board) -> String {
    let mut lines = head(board);
    lines.extend(problems(board, usize::MAX));
    for part in [
        board.tiles.iter().map(tile).collect(),
        board.routes.iter().map(|route| self::route(route, board)).collect(),
        aside(board),
        changes(board),
        last(board),
    ] as [Vec<Line>; 5]
    {
        if !part.is_empty() {
            lines.push(Line::default());
            lines.extend(part);
        }
    }
    lines.iter().map(Line::text).collect::<Vec<_>>().join("\n")
}

fn head(board: &Board) -> Vec<Line> {
    let mark = match board.level {
        Level::Fine => "● ",
        Level::Warn => "◆ ",
        Level::Bad => "■ ",
    };
    let since = format!(
        "  since {} · {}",
        human::moment(board.since, board.at),
        human::lasting(board.at - board.since)
    );
    vec![
        Line::of(Tone::Strong, format!("rosey {}", board.command)).and(
            Tone::Soft,
            format!(
                " {} · up {} · as of {} UTC",
                board.version,
                human::lasting(board.at - board.started),
                human::moment(board.at, board.at)
            ),
        ),
        Line::of(Tone::Of(board.level), format!("{mark}{}", board.said)).and(Tone::Soft, since),
    ]
}

fn problems(board: &Board, width: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    for problem in &board.problems {
        let tone = Tone::Of(problem.level);
        let mut texts = vec![(tone, format!("{}: {}", problem.title, problem.why))];
        if !problem.advice.is_empty() {
            texts.push((Tone::Plain, format!("→ {}", problem.advice.replace('`', ""))));
        }
        for (tone, text) in texts {
            lines.extend(
                wrapped(&text, width.saturating_sub(2))
                    .into_iter()
                    .map(|text| Line::of(tone, format!("  {text}"))),
            );
        }
    }
    lines
}

/// The text in lines that are no wider than this.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn tile(tile: &Tile) -> Line {
    let tone = if tile.level == Level::Fine { Tone::Strong } else { Tone::Of(tile.level) };
    let value = tile.value.replace('\u{a0}', " ");
    let note = tile.note.replace('\u{a0}', " ");
    Line::of(Tone::Soft, format!("{:<24}", tile.name))
        .and(tone, format!("{value:<13} "))
        .and(Tone::Plain, format!("{:<DRAWN$}", drawn(&tile.lines)))
        .and(Tone::Soft, format!("  {note}"))
}

/// The last two minutes of what stands on each other, as blocks.
fn drawn(lines: &[Drawing]) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let columns = lines.iter().map(|line| line.values.len()).min().unwrap_or_default();
    let sums: Vec<f32> = (columns.saturating_sub(DRAWN)..columns)
        .map(|column| lines.iter().filter_map(|line| line.values.get(column)).sum())
        .collect();
    let most = sums.iter().copied().fold(0.0_f32, f32::max);
    let block = |value: &f32| {
        if *value <= 0.0 {
            return ' ';
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // from 0 to 7
        BLOCKS[((value / most * 7.0).round() as usize).min(7)]
    };
    sums.iter().map(block).collect()
}

fn route(route: &Route, board: &Board) -> Line {
    let mut line = Line::of(Tone::Soft, format!("{:<24}", route.what));
    for (n, step) in route.steps.iter().enumerate() {
        let (tone, mark) = match step.state {
            StepState::Serves => (Tone::Of(Level::Fine), "●"),
            StepState::Broken => (Tone::Of(Level::Bad), "✗"),
            StepState::Next => (Tone::Soft, "○"),
        };
        if n > 0 {
            line = line.and(Tone::Soft, " → ");
        }
        line = line.and(tone, format!("{mark} {}", step.name));
    }
    let of = |circuit: &&Circuit| {
        route.circuit.as_ref().is_some_and(|(room, name)| (room, name) == (&circuit.room, &circuit.name))
    };
    match board.circuits.iter().find(of) {
        Some(circuit) => line.and(Tone::Soft, format!("   circuit {}", words::circuit(&circuit.state))),
        None => line,
    }
}

fn aside(board: &Board) -> Vec<Line> {
    let mut lines = Vec::new();
    if board.refused + board.expired > 0 {
        let text = format!(
            "Outbox, set aside: {} refused, {} too old (rosey outbox)",
            human::grouped(board.refused),
            human::grouped(board.expired)
        );
        lines.push(Line::of(Tone::Of(Level::Warn), text));
    }
    for group in &board.letters {
        let of = if group.room.is_empty() { String::new() } else { format!("{}: ", group.room) };
        let count = human::grouped(group.count);
        let what = format!("{of}Dead letters: {count} of {} · {}", group.operation, group.code);
        lines.push(Line::of(Tone::Of(Level::Warn), what).and(Tone::Soft, format!("  {}", group.reason)));
    }
    if lines.len() > 3 {
        let more = lines.len() - 2;
        lines.truncate(2);
        lines.push(Line::of(Tone::Soft, format!("and {more} groups more (rosey dead list)")));
    }
    lines
}

fn changes(board: &Board) -> Vec<Line> {
    let change = |change: &super::super::listen::board::Change| {
        Line::of(Tone::Soft, format!("{}  ", human::moment(change.at, board.at)))
            .and(Tone::Of(change.level), change.said.clone())
    };
    board.lately.iter().map(change).collect()
}

/// The last operations.
fn last(board: &Board) -> Vec<Line> {
    let ended = |ended: &Ended| {
        let tone = if ended.path.is_some() { Tone::Plain } else { Tone::Of(Level::Bad) };
        Line::of(Tone::Soft, format!("{}  ", human::moment(ended.at, board.at)))
            .and(Tone::Plain, format!("{:<22} ", ended.operation))
            .and(tone, format!("{:<18} ", ended.said))
            .and(Tone::Plain, format!("{:>8}  ", ended.took))
            .and(Tone::Soft, ended.id.clone())
    };
    board.last.iter().map(ended).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::listen::board::Problem;
    use super::*;

    fn board() -> Board {
        let drawing = || Drawing { name: "NATS".to_owned(), values: (0..120_u8).map(f32::from).collect() };
        let tile = |n: usize| Tile {
            name: format!("Number {n}"),
            value: "1\u{a0}234 / s".to_owned(),
            note: "a note that is much longer than any terminal is wide ".repeat(3),
            level: Level::Fine,
            lines: vec![drawing()],
        };
        let problem = Problem {
            level: Level::Bad,
            title: "NATS does not serve".to_owned(),
            why: "no server answers ".repeat(12),
            since: Some(0),
            advice: "See whether `nats-server` runs. ".repeat(5),
        };
        Board { tiles: (0..7).map(tile).collect(), problems: vec![problem], ..Board::default() }
    }

    #[test]
    fn a_screen_of_80_columns_and_24_lines_holds_what_is_wrong_and_every_number() {
        let lines = screen(&board(), 80, 24);
        assert!(lines.len() <= 24, "{}", lines.len());
        assert!(lines.iter().all(|line| line.text().chars().count() <= 80));
        let text: Vec<String> = lines.iter().map(Line::text).collect();
        let text = text.join("\n");
        assert!(text.contains("NATS does not serve") && text.contains("Number 6"), "{text}");
    }

    #[test]
    fn a_small_screen_holds_the_head_and_a_wide_word_is_cut() {
        let lines = screen(&board(), 20, 3);
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| line.text().chars().count() <= 20), "{lines:?}");
    }

    #[test]
    fn what_a_script_reads_has_no_drawing_that_is_cut_and_no_tone() {
        let text = whole(&board());
        assert!(text.contains("no server answers no server answers"), "{text}");
        assert!(!text.contains('\u{1b}') && !text.contains('…'), "{text}");
    }
}
