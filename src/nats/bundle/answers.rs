//! The answer to a bundle as it is written: which operations are done, then a line for each that has more to say, with its
//! answer in a line of its own. There may be several answers to a bundle, each with the fates that are known by then.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::error::{Cause, Code};
use crate::nats::wire;
use crate::operation::Refusal;

/// What became of an operation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fate<B> {
    /// Done; the answer is the empty one of its operation.
    Done,
    /// Done, with this answer, from which so many entries were left out.
    Answered {
        body: B,
        omitted: u64,
    },
    Refused(Cause),
}

/// The first line.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Done {
    done: Vec<usize>,
}

/// A line about the operation at this place of the bundle: its answer has `size` bytes; or it is refused.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Line {
    n: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<usize>,
    #[serde(skip_serializing_if = "is_none")]
    omitted: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the form that serde wants
const fn is_none(count: &u64) -> bool {
    *count == 0
}

/// What a line may need beside an answer, in an answer to a bundle that has nothing else.
pub(crate) const ENVELOPE: usize = 96;
/// What the place of one that is done may need.
const PLACE: usize = 4;

/// The fates that are known and not sent yet, no more than one message carries.
#[derive(Debug)]
pub(crate) struct Answers {
    most: usize,
    done: Vec<usize>,
    lines: Vec<u8>,
}

impl Answers {
    /// For messages whose body has at most so many bytes.
    pub(crate) const fn new(most: usize) -> Self {
        Self { most, done: Vec::new(), lines: Vec::new() }
    }

    /// Adds the fate of the operation at place `n`. Answers a whole message, if this one does not fit into it.
    pub(crate) fn add(&mut self, n: usize, fate: Fate<Vec<u8>>) -> Option<Vec<u8>> {
        let (line, body) = match fate {
            Fate::Done => (None, Vec::new()),
            Fate::Answered { body, omitted } => {
                (Some(Line { n, size: Some(body.len()), omitted, ..Line::default() }), body)
            }
            Fate::Refused(cause) => (Some(refusal(n, &cause, self.most)), Vec::new()),
        };
        // A `Vec` takes all, and every value here can be written as JSON.
        let mut text =
            line.as_ref().map_or_else(Vec::new, |line| serde_json::to_vec(line).unwrap_or_default());
        if let Some(line) = line {
            text.push(b'\n');
            if line.size.is_some() {
                text.extend_from_slice(&body);
                text.push(b'\n');
            }
        }
        let more = if text.is_empty() { PLACE } else { text.len() };
        let full = self.length() + more > self.most && self.length() > Self::new(0).length();
        let whole = if full { self.take() } else { None };
        if text.is_empty() {
            self.done.push(n);
        } else {
            self.lines.append(&mut text);
        }
        whole
    }

    const fn length(&self) -> usize {
        "{\"done\":[]}\n".len() + self.done.len() * PLACE + self.lines.len()
    }

    /// What is not sent yet; none, if that is nothing.
    pub(crate) fn take(&mut self) -> Option<Vec<u8>> {
        if self.done.is_empty() && self.lines.is_empty() {
            return None;
        }
        let done = Done { done: std::mem::take(&mut self.done) };
        let mut body = serde_json::to_vec(&done).unwrap_or_default();
        body.push(b'\n');
        body.append(&mut self.lines);
        Some(body)
    }
}

fn refusal(n: usize, cause: &Cause, most: usize) -> Line {
    let refusal = match cause {
        Cause::Refused(refusal) => Some(wire::printable(&refusal.code, 64)),
        _ => None,
    };
    let (code, reason) = (Some(cause.code().status), wire::one_line(cause, most / 5));
    Line { n, code, refusal, reason, ..Line::default() }
}

/// Reads an answer: the fates in it by their places, answers as places in `body`. None, if it cannot be read.
pub(crate) fn read(body: &[u8]) -> Option<Vec<(usize, Fate<Range<usize>>)>> {
    let line = |begin: usize| Some(begin + body[begin..].iter().position(|byte| *byte == b'\n')?);
    let end = line(0)?;
    let first: Done = serde_json::from_slice(&body[..end]).ok()?;
    let mut fates: Vec<_> = first.done.into_iter().map(|n| (n, Fate::Done)).collect();
    let mut begin = end + 1;
    while begin < body.len() {
        let end = line(begin)?;
        let line: Line = serde_json::from_slice(&body[begin..end]).ok()?;
        begin = end + 1;
        let fate = match (line.size, line.code) {
            (Some(size), None) => {
                let after = begin.checked_add(size).filter(|after| body.get(*after) == Some(&b'\n'))?;
                let answer = begin..after;
                begin = after + 1;
                Fate::Answered { body: answer, omitted: line.omitted }
            }
            (None, Some(status)) => Fate::Refused(match line.refusal {
                Some(code) => Cause::Refused(Box::new(Refusal::new(code, line.reason))),
                None => Cause::new(Code::from_status(status), line.reason),
            }),
            _ => return None,
        };
        fates.push((line.n, fate));
    }
    Some(fates)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(body: &[u8]) -> Fate<Vec<u8>> {
        Fate::Answered { body: body.to_vec(), omitted: 3 }
    }

    #[test]
    fn the_form_of_an_answer_is_this_and_no_other() {
        let mut answers = Answers::new(1 << 20);
        let out_of_stock = Cause::Refused(Box::new(Refusal::new("out_of_stock", "none is left")));
        for (n, fate) in [
            (0, Fate::Done),
            (3, answered(b"[{\"id\":1}]")),
            (1, Fate::Refused(Cause::new(Code::BUSY, "the database\nis locked"))),
            (2, Fate::Done),
            (4, Fate::Refused(out_of_stock.clone())),
        ] {
            assert_eq!(answers.add(n, fate), None);
        }
        let body = answers.take().expect("an answer");
        let golden = concat!(
            "{\"done\":[0,2]}\n",
            "{\"n\":3,\"size\":10,\"omitted\":3}\n[{\"id\":1}]\n",
            "{\"n\":1,\"code\":520,\"reason\":\"the database is locked\"}\n",
            "{\"n\":4,\"code\":499,\"refusal\":\"out_of_stock\",\"reason\":\"none is left\"}\n",
        );
        assert_eq!(String::from_utf8_lossy(&body), golden);
        assert_eq!(answers.take(), None, "nothing is sent twice");
        let fates = read(&body).expect("it can be read");
        let order: Vec<_> = fates.iter().map(|(n, _)| *n).collect();
        assert_eq!(order, [0, 2, 3, 1, 4]);
        assert!(
            matches!(&fates[2].1, Fate::Answered { body: place, omitted: 3 } if &body[place.clone()] == b"[{\"id\":1}]")
        );
        assert_eq!(fates[4].1, Fate::Refused(out_of_stock));
    }

    #[test]
    fn no_answer_is_longer_than_a_message_and_none_is_left_out() {
        let most = 300;
        let (mut answers, mut sent) = (Answers::new(most), Vec::new());
        for n in 0..200 {
            let fate = if n % 3 == 0 { answered(&vec![b'x'; most - ENVELOPE]) } else { Fate::Done };
            sent.extend(answers.add(n, fate));
        }
        sent.extend(answers.take());
        assert!(sent.iter().all(|body| body.len() <= most), "{:?}", sent.iter().map(Vec::len).max());
        let mut places: Vec<_> =
            sent.iter().flat_map(|body| read(body).expect("an answer")).map(|(n, _)| n).collect();
        places.sort_unstable();
        assert_eq!(places, (0..200).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_no_answer_is_none() {
        for bad in [
            "",
            "{}",
            "{\"done\":[-1]}\n",
            "{\"done\":[]}\n{\"n\":0}\n",
            "{\"done\":[]}\n{\"n\":0,\"size\":5}\nabc\n",
            "{\"done\":[]}\n{\"n\":0,\"size\":18446744073709551615}\nabc\n",
            "{\"done\":[]}\n{\"n\":0,\"size\":3,\"code\":500}\nabc\n",
            "{\"done\":[]}\nabc",
        ] {
            assert_eq!(read(bad.as_bytes()), None, "{bad}");
        }
    }
}
