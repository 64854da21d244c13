//! Recordings: one event per line, as JSON. The bot's messages are written as JSON lines too.
//!
//! ```json
//! {"event":"user_join","user":"alice","user_data":{"username":"alice","rank":0},"timestamp":1700000000}
//! {"event":"message","user":"alice","content":"hi","timestamp":1700000003.5,"id":"m-17"}
//! ```
//!
//! `timestamp` (unix seconds, with an optional fraction; from 10¹¹ on milliseconds) and `id` are optional. A
//! line that is not an event is reported with its number and skipped; an empty line is skipped. `docs/bot.md`
//! lists every form.

mod line;
mod pace;
mod sender;
mod stdin;
#[cfg(test)]
mod tests;

use std::io::SeekFrom;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::fs::File;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncSeekExt, BufReader};

use super::lines::{Lines, Next};
use super::{Chat, ChatSender, OpenError, Received, Unreadable};
use crate::bot::event::{Event, Stamp};
use eitherway::clock;
use line::Line;
use pace::Pace;
pub use sender::JsonlSender;

/// The longest line that is read, in bytes.
pub const LONGEST_LINE: usize = 1024 * 1024;

/// The default source of the ids derived from the `id` of a line.
const SOURCE: &str = "jsonl";
const BUFFER: usize = 256 * 1024;

/// A recording and how to play it: `FILE` or `-`, with `?shift=now`, `?speed=max|N` and `?source=NAME`.
///
/// For a file whose name contains `?`, append a `?` to the name.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// The file; `None` is the standard input.
    pub file: Option<PathBuf>,
    /// Whether to shift all recorded times so that the latest one is the moment of opening.
    pub shift_to_now: bool,
    /// How many times faster than recorded; `None` plays without pauses. A pause of more than a day is
    /// skipped.
    pub speed: Option<f64>,
    /// The source of the lines' ids. Equal ids in two recordings of one source are the same event, wherever
    /// the files are; ids of different sources never are.
    pub source: Option<String>,
}

impl FromStr for Recording {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (file, options) = text.rsplit_once('?').unwrap_or((text, ""));
        let mut recording = Self { file: Some(file.into()), shift_to_now: false, speed: None, source: None };
        for option in options.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("shift", "now")) => recording.shift_to_now = true,
                Some(("speed", "max")) => recording.speed = None,
                Some(("speed", times)) => match times.parse::<f64>() {
                    Ok(times) if times.is_normal() && times > 0.0 => recording.speed = Some(times),
                    _ => return Err(format!("{option}: the speed is `max` or a number above 0")),
                },
                Some(("source", name)) if !name.is_empty() => recording.source = Some(name.to_owned()),
                Some(("source", _)) => return Err(format!("{option}: the source has no name")),
                Some(("shift", _)) => return Err(format!("{option}: times can only be shifted to `now`")),
                _ => return Err(format!("there is no option `{option}`")),
            }
        }
        match file {
            "" => return Err("the file has no name".to_owned()),
            "-" if recording.shift_to_now => {
                return Err("shift=now needs the time of the last event first, and standard input cannot be read twice"
                    .to_owned());
            }
            "-" => recording.file = None,
            _ => {}
        }
        Ok(recording)
    }
}

impl Recording {
    /// Checks that an ordinary file can be read. To open a named pipe would wait for what writes to it.
    pub(in crate::bot) fn check(&self) -> Result<(), OpenError> {
        let Some(path) = &self.file else { return Ok(()) };
        let readable = std::fs::metadata(path).and_then(|metadata| match metadata {
            metadata if metadata.is_dir() => Err(is_a_directory()),
            metadata if metadata.is_file() => std::fs::File::open(path).map(drop),
            _ => Ok(()),
        });
        readable.map_err(|error| OpenError::Unreadable { path: path.clone(), error })
    }

    /// Opens the recording; the bot's messages go to the standard output. With `shift_to_now` the whole file
    /// is read once beforehand.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn open(self) -> Result<Box<dyn Chat>, OpenError> {
        let sender: Arc<dyn ChatSender> = Arc::new(JsonlSender::new(tokio::io::stdout()));
        let Some(path) = &self.file else {
            return Ok(Box::new(self.plays(stdin::read(), sender)));
        };
        let opened = open_file(path, self.shift_to_now).await;
        let (file, size, last) =
            opened.map_err(|error| OpenError::Unreadable { path: path.clone(), error })?;
        let shift = last.map_or(0, |last| clock::issue().saturating_sub(last));
        Ok(Box::new(Jsonl { shift, size, ..self.plays(file, sender) }))
    }

    fn plays<R: AsyncRead + Unpin>(&self, input: R, sender: Arc<dyn ChatSender>) -> Jsonl<BufReader<R>> {
        let source =
            self.source.as_ref().map_or_else(|| SOURCE.into(), |name| format!("{SOURCE}:{name}").into());
        let input = BufReader::with_capacity(BUFFER, input);
        Jsonl { pace: self.speed.map(Pace::new), source, ..Jsonl::new(input, sender) }
    }
}

fn is_a_directory() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::IsADirectory, "is a directory")
}

/// Opens a file. Returns its size, if it has an end, and the latest time in it, if `find_last` is set.
async fn open_file(path: &PathBuf, find_last: bool) -> std::io::Result<(File, Option<u64>, Option<i64>)> {
    let mut file = File::open(path).await?;
    let metadata = file.metadata().await?;
    if metadata.is_dir() {
        return Err(is_a_directory());
    }
    let mut last = None;
    if find_last {
        if !metadata.is_file() {
            let reason = "shift=now needs the time of the last event first, and this cannot be read twice";
            return Err(std::io::Error::new(std::io::ErrorKind::Unsupported, reason));
        }
        last = last_time(BufReader::with_capacity(BUFFER, &mut file)).await?;
        file.seek(SeekFrom::Start(0)).await?;
    }
    Ok((file, metadata.is_file().then_some(metadata.len()), last))
}

/// The latest recorded time, in unix milliseconds, of the lines that are going to be accepted.
async fn last_time(input: impl AsyncBufRead + Unpin) -> std::io::Result<Option<i64>> {
    let mut lines = Lines::new(input, LONGEST_LINE);
    let mut last = None;
    loop {
        match lines.next().await? {
            Next::Line(text) => last = last.max(line::parse(text).ok().and_then(|line| line.recorded_at)),
            Next::TooLong => {}
            Next::End => return Ok(last),
        }
    }
}

/// A recording that is being played: events from a reader, and a sender.
pub struct Jsonl<R> {
    lines: Lines<R>,
    sender: Arc<dyn ChatSender>,
    pace: Option<Pace>,
    shift: i64,
    size: Option<u64>,
    source: Arc<str>,
    ended: bool,
}

impl<R: AsyncBufRead + Unpin> Jsonl<R> {
    /// Plays `input` without pauses.
    pub fn new(input: R, sender: Arc<dyn ChatSender>) -> Self {
        let lines = Lines::new(input, LONGEST_LINE);
        Self { lines, sender, pace: None, shift: 0, size: None, source: SOURCE.into(), ended: false }
    }

    async fn receive(&mut self) -> Option<Received> {
        if self.ended {
            return None;
        }
        loop {
            let read = self.lines.next().await;
            let item = match read {
                Ok(Next::End) => return None,
                Ok(Next::TooLong) => Err(format!("longer than {LONGEST_LINE} bytes")),
                Ok(Next::Line(text)) if text.trim_ascii().is_empty() => continue,
                Ok(Next::Line(text)) => line::parse(text),
                Err(error) => {
                    self.ended = true;
                    let item = Err(Unreadable::Lost(error.to_string()));
                    return Some(Received { position: self.lines.position(), item });
                }
            };
            if let (Some(pace), Ok(Line { recorded_at: Some(at), .. })) = (&mut self.pace, &item) {
                pace.wait_for(*at).await;
            }
            let item = item.map(|line| self.stamp(line));
            let item = item.map_err(|reason| Unreadable::Line { line: self.lines.number(), reason });
            return Some(Received { position: self.lines.position(), item });
        }
    }

    fn stamp(&self, line: Line) -> Event {
        let at = line.recorded_at.map(|at| at.saturating_add(self.shift));
        let stamp = at.map_or_else(Stamp::now, Stamp::at);
        let stamp = match line.id {
            Some(id) => stamp.identified(Arc::clone(&self.source), id),
            None => stamp,
        };
        Event::new(line.body, stamp)
    }
}

impl<R: AsyncBufRead + Send + Unpin + 'static> Chat for Jsonl<R> {
    fn sender(&self) -> Arc<dyn ChatSender> {
        Arc::clone(&self.sender)
    }

    fn size(&self) -> Option<u64> {
        self.size
    }

    fn listen(self: Box<Self>) -> BoxStream<'static, Received> {
        stream::unfold(self, |mut chat| async move { chat.receive().await.map(|received| (received, chat)) })
            .boxed()
    }
}

impl<R> std::fmt::Debug for Jsonl<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jsonl").field("pace", &self.pace).field("shift", &self.shift).finish_non_exhaustive()
    }
}
