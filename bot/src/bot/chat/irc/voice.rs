//! What the connection has to say, and what the server has not confirmed.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::super::Unsent;
use super::super::link::sender::Said;
use super::folding::Folding;
use super::message::Message;
use super::speech::{self, MOST_LINES};

/// How long the server may take to confirm what was said, while it says other things.
const CONFIRMS: Duration = Duration::from_secs(60);
/// What the questions begin with that confirm a message.
const QUESTION: &str = "said-";

/// The message that is being said, and those that the server has not confirmed.
#[derive(Debug, Default)]
pub(super) struct Voice {
    lines: VecDeque<String>,
    /// Whose lines these are.
    speaking: Option<Asked>,
    needs_turn: bool,
    unconfirmed: VecDeque<Asked>,
    questions: u64,
}

#[derive(Debug)]
struct Asked {
    target: String,
    question: u64,
    at: Instant,
    done: oneshot::Sender<Result<(), Unsent>>,
}

impl Voice {
    /// Whether another message may be taken.
    pub(super) const fn is_free(&self) -> bool {
        self.speaking.is_none()
    }

    /// Whether what is being said is said only while this bot may speak.
    pub(super) const fn needs_turn(&self) -> bool {
        self.needs_turn
    }

    /// Takes a message, whose lines the server relays with this prefix.
    pub(super) fn take(&mut self, said: Said, channel: &str, prefix: &str, now: Instant) {
        let Said { to, text, needs_turn, begun, done } = said;
        // A caller that has waited too long has gone, and may say it again.
        if begun.send(()).is_err() || done.is_closed() {
            return;
        }
        let target = to.unwrap_or_else(|| channel.to_owned());
        let lines = speech::lines(&text, speech::room(prefix, &target));
        let refused = match lines.len() {
            0 => "there is nothing in it to say".to_owned(),
            many if many > MOST_LINES => format!("it has {many} lines, and at most {MOST_LINES} are said"),
            _ => {
                (self.lines, self.needs_turn) = (lines.into(), needs_turn);
                self.questions += 1;
                self.speaking = Some(Asked { target, question: self.questions, at: now, done });
                return;
            }
        };
        let _ = done.send(Err(Unsent::permanent(refused)));
    }

    /// The next line, if there is one; with the last one comes the question that confirms all of them.
    pub(super) fn next(&mut self, now: Instant) -> Option<Vec<String>> {
        let speaking = self.speaking.as_ref()?;
        let line = self.lines.pop_front()?;
        let mut out = vec![format!("PRIVMSG {} :{line}", speaking.target)];
        if self.lines.is_empty() {
            out.push(format!("PING :{QUESTION}{}", speaking.question));
            self.unconfirmed.extend(self.speaking.take().map(|asked| Asked { at: now, ..asked }));
        }
        Some(out)
    }

    /// Says no more of the message that is being said.
    pub(super) fn stop(&mut self, reason: &str) {
        self.lines.clear();
        if let Some(asked) = self.speaking.take() {
            let _ = asked.done.send(Err(Unsent::transient(reason)));
        }
    }

    /// What a line says of what was said.
    pub(super) fn hear(&mut self, message: &Message<'_>, folding: Folding) {
        match message.command {
            "PONG" => {
                let question = message.last().strip_prefix(QUESTION).and_then(|n| n.parse::<u64>().ok());
                while self.unconfirmed.front().is_some_and(|asked| question >= Some(asked.question)) {
                    let Some(asked) = self.unconfirmed.pop_front() else { break };
                    let _ = asked.done.send(Ok(()));
                }
            }
            // No such nick, no such channel, not there, may not, too many targets, too many new ones, not registered, not on their
            // list, …
            "401" | "402" | "403" | "404" | "407" | "408" | "415" | "439" | "477" | "486" | "489" | "492"
            | "494" | "531" | "707" | "716" => {
                self.refuse(message, folding);
            }
            _ => {}
        }
    }

    fn refuse(&mut self, message: &Message<'_>, folding: Folding) {
        let is_his = |asked: &Asked| folding.same(&asked.target, message.param(1));
        let asked = match self.unconfirmed.iter().position(is_his) {
            Some(place) => self.unconfirmed.remove(place),
            None => {
                let asked = self.speaking.take_if(|asked| is_his(asked));
                if asked.is_some() {
                    self.lines.clear();
                }
                asked
            }
        };
        // He may come back, or the channel may be open again: the message is kept.
        if let Some(asked) = asked {
            let reason = format!("{}: {}", message.param(1).escape_debug(), message.last().escape_debug());
            let _ = asked.done.send(Err(Unsent::transient(reason)));
        }
    }

    /// Until when the server has to confirm what it was told first.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.unconfirmed.front().map(|asked| asked.at + CONFIRMS)
    }

    /// Gives up everything: the connection is lost, or we are no longer in the channel.
    pub(super) fn lose(&mut self, reason: &str) {
        self.lines.clear();
        for asked in self.speaking.take().into_iter().chain(self.unconfirmed.drain(..)) {
            let _ = asked.done.send(Err(Unsent::transient(reason)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Done = oneshot::Receiver<Result<(), Unsent>>;

    fn said(voice: &mut Voice, to: Option<&str>, text: &str) -> Done {
        let ((begun, _begins), (done, ends)) = (oneshot::channel(), oneshot::channel());
        let said = Said { to: to.map(str::to_owned), text: text.to_owned(), needs_turn: true, begun, done };
        voice.take(said, "#c", "me!m@h", Instant::now());
        ends
    }

    fn hears(voice: &mut Voice, line: &str) {
        voice.hear(&Message::parse(line).expect(line), Folding::default());
    }

    #[test]
    fn a_message_is_taken_when_the_question_behind_its_last_line_is_answered() {
        let (mut voice, now) = (Voice::default(), Instant::now());
        let mut done = said(&mut voice, None, "one\ntwo");
        assert!(!voice.is_free());
        assert_eq!(voice.next(now).expect("a line"), ["PRIVMSG #c :one"]);
        assert_eq!(voice.next(now).expect("a line"), ["PRIVMSG #c :two", "PING :said-1"]);
        assert!(voice.is_free() && voice.next(now).is_none());
        hears(&mut voice, ":s PONG s :alive");
        assert!(done.try_recv().is_err(), "another question");
        hears(&mut voice, ":s PONG s :said-1");
        assert_eq!(done.try_recv().expect("an end"), Ok(()));
    }

    #[test]
    fn what_the_server_refuses_or_does_not_answer_is_tried_again() {
        let (mut voice, now) = (Voice::default(), Instant::now());
        let mut gone = said(&mut voice, Some("Ann[]"), "hi");
        let _ = voice.next(now);
        let mut other = said(&mut voice, Some("bob"), "hi");
        let _ = voice.next(now);
        hears(&mut voice, ":s 401 me ann{} :No such nick");
        let unsent = gone.try_recv().expect("an end").expect_err("the user is not there");
        assert!(!unsent.is_permanent() && unsent.to_string().contains("No such nick"), "{unsent}");
        assert!(other.try_recv().is_err(), "it was another one");
        voice.lose("the line is cut");
        assert!(!other.try_recv().expect("an end").expect_err("it is unknown").is_permanent());
    }

    #[test]
    fn what_can_never_be_said_is_refused_for_good() {
        let mut voice = Voice::default();
        for text in ["\r\n", &"x\n".repeat(MOST_LINES + 1)] {
            let unsent = said(&mut voice, None, text).try_recv().expect("an end").expect_err("refused");
            assert!(unsent.is_permanent() && voice.is_free(), "{unsent}");
        }
    }
}
