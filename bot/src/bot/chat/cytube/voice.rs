//! What the connection has to say, and what the server has not shown yet.
//!
//! One line is on its way at a time: what the server shows, drops or refuses is that one. A line that was not shown in time may be
//! shown later; it is remembered for a while, so that it does not confirm another one.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::super::Unsent;
use super::super::link::sender::Said;
use super::channel::{Echo, folded};
use super::speech::{self, MOST_LINES};

/// How long the server may take to show a line.
const SHOWS: Duration = Duration::from_secs(10);
/// How long a line is remembered that was not shown in time, and how many of them.
const REMEMBERED: Duration = Duration::from_secs(60);
const MOST_REMEMBERED: usize = 16;
/// How often a line is said again that the server has dropped.
const MOST_TRIES: u32 = 5;

/// The message that is being said.
#[derive(Debug, Default)]
pub(in crate::bot::chat) struct Voice {
    speaking: Option<Speaking>,
    not_shown: VecDeque<(Asked, Instant)>,
}

#[derive(Debug)]
struct Speaking {
    to: Option<String>,
    needs_turn: bool,
    lines: VecDeque<String>,
    /// The line that is on its way, and since when.
    asked: Option<(Asked, Instant)>,
    tries: u32,
    not_before: Instant,
    done: oneshot::Sender<Result<(), Unsent>>,
}

/// What the server is to show: to whom, and the core of the text.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    to: Option<String>,
    core: String,
}

/// A line to be said.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::bot::chat) struct Line {
    pub(in crate::bot::chat) to: Option<String>,
    pub(in crate::bot::chat) text: String,
}

impl Voice {
    /// Whether another message may be taken.
    pub(in crate::bot::chat) const fn is_free(&self) -> bool {
        self.speaking.is_none()
    }

    /// Whether a private message is being said.
    pub(in crate::bot::chat) fn whispers(&self) -> bool {
        self.speaking.as_ref().is_some_and(|speaking| speaking.to.is_some())
    }

    /// Whether what is being said is said only while this bot may speak.
    pub(in crate::bot::chat) fn needs_turn(&self) -> bool {
        self.speaking.as_ref().is_none_or(|speaking| speaking.needs_turn)
    }

    /// Takes a message.
    pub(in crate::bot::chat) fn take(&mut self, said: Said, now: Instant) {
        let Said { to, text, needs_turn, begun, done } = said;
        // A caller that has waited too long has gone, and may say it again.
        if begun.send(()).is_err() || done.is_closed() {
            return;
        }
        let lines = speech::lines(&text);
        let refused = match lines.len() {
            0 => "there is nothing in it to say".to_owned(),
            many if many > MOST_LINES => format!("it has {many} lines, and at most {MOST_LINES} are said"),
            _ => {
                let (lines, asked, tries, not_before) = (lines.into(), None, 0, now);
                self.speaking = Some(Speaking { to, needs_turn, lines, asked, tries, not_before, done });
                return;
            }
        };
        let _ = done.send(Err(Unsent::permanent(refused)));
    }

    /// From when on there is a line to be said, if there is one.
    pub(in crate::bot::chat) fn due(&self) -> Option<Instant> {
        self.speaking.as_ref().filter(|speaking| speaking.asked.is_none()).map(|speaking| speaking.not_before)
    }

    /// The line to be said, if there is one. It is on its way from then on.
    pub(in crate::bot::chat) fn next(&mut self, now: Instant) -> Option<Line> {
        let speaking = self.speaking.as_mut().filter(|speaking| speaking.asked.is_none())?;
        let text = speaking.lines.front()?.clone();
        let asked = Asked { to: speaking.to.as_deref().map(folded), core: speech::core(&text) };
        speaking.asked = Some((asked, now));
        Some(Line { to: speaking.to.clone(), text })
    }

    /// Until when the line on its way has to be shown.
    pub(in crate::bot::chat) fn deadline(&self) -> Option<Instant> {
        let asked = self.speaking.as_ref()?.asked.as_ref();
        asked.map(|(_, since)| *since + SHOWS)
    }

    /// The server shows a line of ours.
    pub(in crate::bot::chat) fn hear(&mut self, echo: &Echo, now: Instant) {
        self.not_shown.retain(|(_, since)| now < *since + REMEMBERED);
        let shown = Asked { to: echo.to.as_deref().map(folded), core: speech::core(&echo.text) };
        let late = self.not_shown.iter().position(|(asked, _)| *asked == shown);
        let asked =
            self.speaking.as_ref().and_then(|speaking| speaking.asked.as_ref()).map(|(asked, _)| asked);
        let is_awaited = asked == Some(&shown);
        if let Some(place) = late.filter(|_| !is_awaited) {
            self.not_shown.remove(place);
            return;
        }
        // A channel's filters may change a text beyond recognition. It is ours all the same, if no other one is missing.
        let is_ours =
            is_awaited || self.not_shown.is_empty() && asked.is_some_and(|asked| asked.to == shown.to);
        let Some(speaking) = self.speaking.as_mut().filter(|_| is_ours) else { return };
        speaking.asked = None;
        speaking.tries = 0;
        speaking.lines.pop_front();
        if speaking.lines.is_empty() {
            self.end(Ok(()));
        }
    }

    /// The server has dropped the line: it is said again after this time. Returns whether one was on its way.
    pub(in crate::bot::chat) fn dropped(&mut self, wait: Duration, now: Instant) -> bool {
        let Some(speaking) = self.speaking.as_mut().filter(|speaking| speaking.asked.is_some()) else {
            return false;
        };
        (speaking.asked, speaking.not_before) = (None, now + wait);
        speaking.tries += 1;
        if speaking.tries >= MOST_TRIES {
            self.end(Err(Unsent::transient("the server has no time for it: too much is said")));
        }
        true
    }

    /// The server refuses the line, if one is on its way.
    pub(in crate::bot::chat) fn refuse(&mut self, unsent: Unsent) {
        if self.speaking.as_ref().is_some_and(|speaking| speaking.asked.is_some()) {
            self.end(Err(unsent));
        }
    }

    /// Gives the line up that was not shown in time.
    pub(in crate::bot::chat) fn expire(&mut self, now: Instant) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        if let Some((asked, _)) = self.speaking.as_mut().and_then(|speaking| speaking.asked.take()) {
            if self.not_shown.len() == MOST_REMEMBERED {
                self.not_shown.pop_front();
            }
            self.not_shown.push_back((asked, now));
        }
        self.lose(&format!(
            "the channel has not shown it within {SHOWS:?}: perhaps the bot may not speak there"
        ));
    }

    /// Gives up everything: the connection is lost.
    pub(in crate::bot::chat) fn lose(&mut self, reason: &str) {
        self.end(Err(Unsent::transient(reason)));
    }

    fn end(&mut self, result: Result<(), Unsent>) {
        if let Some(speaking) = self.speaking.take() {
            let _ = speaking.done.send(result);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Done = oneshot::Receiver<Result<(), Unsent>>;

    fn said(voice: &mut Voice, to: Option<&str>, text: &str, now: Instant) -> Done {
        let ((begun, _begins), (done, ends)) = (oneshot::channel(), oneshot::channel());
        let (to, text, needs_turn) = (to.map(str::to_owned), text.to_owned(), true);
        voice.take(Said { to, text, needs_turn, begun, done }, now);
        ends
    }

    fn shows(voice: &mut Voice, to: Option<&str>, text: &str, now: Instant) {
        voice.hear(&Echo { to: to.map(str::to_owned), text: text.to_owned() }, now);
    }

    fn next(voice: &mut Voice, now: Instant) -> String {
        voice.next(now).expect("a line").text
    }

    #[test]
    fn a_message_is_said_when_the_server_has_shown_its_last_line() {
        let (mut voice, now) = (Voice::default(), Instant::now());
        let mut done = said(&mut voice, None, "one\ntwo", now);
        assert_eq!(next(&mut voice, now), "one");
        assert!(voice.next(now).is_none(), "one line at a time");
        shows(&mut voice, Some("ann"), "one", now);
        assert!(voice.next(now).is_none(), "that was a private one");
        shows(&mut voice, None, "one", now);
        assert_eq!(next(&mut voice, now), "two");
        assert!(done.try_recv().is_err());
        shows(&mut voice, None, "two", now);
        assert_eq!(done.try_recv().expect("an end"), Ok(()));
        assert!(voice.is_free());
    }

    #[test]
    fn a_line_that_is_shown_late_does_not_confirm_another_one() {
        let (mut voice, now) = (Voice::default(), Instant::now());
        let mut first = said(&mut voice, None, "first", now);
        next(&mut voice, now);
        let late = now + SHOWS;
        voice.expire(late);
        assert!(!first.try_recv().expect("an end").expect_err("not shown").is_permanent());
        let mut second = said(&mut voice, None, "second", late);
        next(&mut voice, late);
        shows(&mut voice, None, "something else", late);
        shows(&mut voice, None, "first", late);
        assert!(second.try_recv().is_err(), "that was the first one");
        shows(&mut voice, None, "second!", late);
        assert_eq!(second.try_recv().expect("an end"), Ok(()));
    }

    #[test]
    fn a_text_that_the_channel_changes_is_known_all_the_same() {
        let (mut voice, now) = (Voice::default(), Instant::now());
        for (typed, shown) in [("*bold* _move_", "bold move"), ("hello", "[censored]"), (":)", "🙂")] {
            let mut done = said(&mut voice, None, typed, now);
            next(&mut voice, now);
            shows(&mut voice, None, shown, now);
            assert_eq!(done.try_recv().expect("an end"), Ok(()), "{typed}");
        }
    }

    #[test]
    fn a_dropped_line_is_said_again_and_not_for_ever() {
        let (mut voice, now) = (Voice::default(), Instant::now());
        assert!(!voice.dropped(SHOWS, now), "it was not ours");
        let mut done = said(&mut voice, Some("Ann"), "hi", now);
        for _ in 1..MOST_TRIES {
            assert_eq!(voice.next(now).expect("a line").to.as_deref(), Some("Ann"));
            assert!(voice.dropped(Duration::from_millis(100), now));
            assert_eq!(voice.due(), Some(now + Duration::from_millis(100)));
        }
        next(&mut voice, now);
        voice.dropped(SHOWS, now);
        assert!(!done.try_recv().expect("an end").expect_err("dropped").is_permanent());
        assert!(voice.is_free());
    }

    #[test]
    fn what_can_never_be_said_is_refused_for_good() {
        let (mut voice, now) = (Voice::default(), Instant::now());
        for text in [" \r\n", &"x\n".repeat(MOST_LINES + 1)] {
            let unsent = said(&mut voice, None, text, now).try_recv().expect("an end").expect_err("refused");
            assert!(unsent.is_permanent() && voice.is_free(), "{unsent}");
        }
    }
}
