//! `rosey top`: the board of a process that runs, in a terminal.

mod ask;
mod screen;
mod terminal;

use std::io::{self, IsTerminal};
use std::time::Duration;

use tokio::time;

use super::args::{Global, TopArgs};
use super::exit::{Exit, Failure};
use super::listen::board::{Board, Level};
use super::{console, shown, signals};
use screen::{Line, Tone};
use terminal::{Terminal, Wish};

/// How often it is asked.
const EVERY: Duration = Duration::from_secs(1);

pub(super) async fn run(global: &Global, args: TopArgs) -> Result<Exit, Failure> {
    if args.once || global.json {
        return once(global, &args).await;
    }
    if !(io::stdout().is_terminal() && io::stdin().is_terminal()) {
        return Err(Failure::new(Exit::Usage, "this is no terminal: --once prints it, --json as JSON"));
    }
    let failed = |e: io::Error| Failure::new(Exit::Failed, format!("the terminal: {e}"));
    let stop = signals::shutdown_with_terminal();
    let (terminal, mut wishes) = (Terminal::take().map_err(failed)?, Terminal::wishes());
    let mut ticks = time::interval(EVERY);
    ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    let mut last: Option<Board> = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            wish = wishes.recv() => if wish != Some(Wish::Look) { break },
            _ = ticks.tick() => {}
        }
        let asked = ask::board(&args.connect);
        let asked = tokio::select! {
            asked = asked => asked,
            () = stop.cancelled() => break,
        };
        let (columns, rows) = Terminal::size();
        let mut lines = match (&asked, &last) {
            (Ok(board), _) => screen::screen(board, columns, rows - 1),
            (Err(why), before) => lost(why, before.as_ref(), columns, rows - 1),
        };
        lines.resize(rows - 1, Line::default());
        lines.push(Line(vec![(Tone::Soft, format!("{} · q ends", args.connect))]).cut(columns));
        Terminal::show(&lines).map_err(failed)?;
        last = asked.ok().or(last);
    }
    drop(terminal);
    Ok(Exit::Ok)
}

/// What is shown of a process that does not answer: that, and below it what it has said last.
fn lost(why: &str, before: Option<&Board>, columns: usize, rows: usize) -> Vec<Line> {
    let mut lines = vec![Line(vec![(Tone::Of(Level::Bad), format!("■ No answer. {why}"))]).cut(columns)];
    if let Some(board) = before {
        lines.push(Line(vec![(Tone::Soft, "  what it said last:".to_owned())]));
        let old = screen::screen(board, columns, rows.saturating_sub(2));
        lines.extend(old.into_iter().map(|line| Line(vec![(Tone::Soft, line.text())])));
    }
    lines
}

async fn once(global: &Global, args: &TopArgs) -> Result<Exit, Failure> {
    let board = ask::board(&args.connect).await.map_err(|why| Failure::new(Exit::Unserved, why))?;
    if global.json {
        console::print_json(&board);
    } else {
        console::print(screen::whole(&board).lines().map(shown::clean).collect::<Vec<_>>().join("\n"));
    }
    match board.level {
        Level::Bad => Err(Failure::new(Exit::Failed, board.said)),
        Level::Fine | Level::Warn => Ok(Exit::Ok),
    }
}
