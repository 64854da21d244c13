//! The terminal: a screen of its own, without an echo, given back whatever happens.

use std::io::{self, Write};
use std::time::Duration;

use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::style::{Attribute, Color, Print, ResetColor, SetAttribute, SetForegroundColor};
use crossterm::terminal::{self, Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen};
use crossterm::{cursor, execute, queue};
use tokio::sync::mpsc;

use super::super::listen::board::Level;
use super::super::shown;
use super::screen::{Line, Tone};

/// How often it is looked for a key; also how long the thread that does outlives the screen.
const KEYS: Duration = Duration::from_millis(100);

/// What somebody at the terminal wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    End,
    /// The size has changed, or somebody wants to see it now.
    Look,
}

/// Ours, until it is dropped.
pub(super) struct Terminal;

impl Terminal {
    /// Takes it.
    pub(super) fn take() -> io::Result<Self> {
        terminal::enable_raw_mode()?;
        let taken = Self;
        execute!(io::stdout(), EnterAlternateScreen, cursor::Hide)?;
        Ok(taken)
    }

    /// Its columns and lines.
    pub(super) fn size() -> (usize, usize) {
        let (columns, lines) = terminal::size().unwrap_or((80, 24));
        (columns.max(1).into(), lines.max(1).into())
    }

    /// Shows these lines instead of what was there.
    pub(super) fn show(lines: &[Line]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        queue!(out, cursor::MoveTo(0, 0))?;
        for (n, line) in lines.iter().enumerate() {
            if n > 0 {
                queue!(out, Print("\r\n"))?;
            }
            for (tone, text) in &line.0 {
                match tone {
                    Tone::Plain => {}
                    Tone::Strong => queue!(out, SetAttribute(Attribute::Bold))?,
                    Tone::Soft => queue!(out, SetAttribute(Attribute::Dim))?,
                    Tone::Of(level) => queue!(out, SetForegroundColor(color(*level)))?,
                }
                queue!(out, Print(shown::clean(text)), ResetColor, SetAttribute(Attribute::Reset))?;
            }
            queue!(out, Clear(ClearType::UntilNewLine))?;
        }
        queue!(out, Clear(ClearType::FromCursorDown))?;
        out.flush()
    }

    /// What is wished from now on. A thread waits for keys until nobody hears it any more.
    pub(super) fn wishes() -> mpsc::Receiver<Wish> {
        let (wishes, heard) = mpsc::channel(8);
        std::thread::spawn(move || {
            while !wishes.is_closed() {
                let wish = match event::poll(KEYS) {
                    Ok(true) => event::read().map_or(Some(Wish::End), |event| wish(&event)),
                    Ok(false) => None,
                    // The terminal is gone.
                    Err(_) => Some(Wish::End),
                };
                if wish.is_some_and(|wish| wishes.blocking_send(wish).is_err() || wish == Wish::End) {
                    return;
                }
            }
        });
        heard
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = execute!(io::stdout(), cursor::Show, LeaveAlternateScreen);
        let _ = terminal::disable_raw_mode();
    }
}

const fn color(level: Level) -> Color {
    match level {
        Level::Fine => Color::Green,
        Level::Warn => Color::Yellow,
        Level::Bad => Color::Red,
    }
}

fn wish(event: &Event) -> Option<Wish> {
    match event {
        Event::Key(KeyEvent { kind: KeyEventKind::Release, .. }) => None,
        Event::Key(KeyEvent { code, modifiers, .. }) => match code {
            KeyCode::Char('q') | KeyCode::Esc => Some(Wish::End),
            KeyCode::Char('c' | 'd') if modifiers.contains(KeyModifiers::CONTROL) => Some(Wish::End),
            _ => Some(Wish::Look),
        },
        Event::Resize(..) => Some(Wish::Look),
        _ => None,
    }
}
