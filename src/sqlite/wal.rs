//! The log of a database (`-wal`): whether it still holds what was committed to it.
//!
//! SQLite keeps the end of the log in an index (`-shm`) and relies on it. A log that another program overwrites or truncates in
//! place goes unnoticed until the index is built anew; everything behind the damage is lost then. Checked are the length, the
//! header, and the frame that ended the log at the check before, which no later commit rewrites. The layout of both files is
//! part of SQLite's file format, <https://www.sqlite.org/walformat.html>.

use std::fs::File;

use super::content::{Files, Index, keep};

const HEADER: u64 = 32;
const FRAME_HEADER: u64 = 24;
/// The index begins with two copies of its header.
const COPY: usize = 48;
/// How often a header is read again that is being written.
const TRIES: usize = 8;

/// The end of the log, as the index has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// Different whenever the log begins anew.
    salts: [u8; 8],
    page: u64,
    frames: u32,
    /// Of the last frame, as it stands in the log.
    checksum: [u8; 8],
}

impl End {
    /// `index`: as it was just read. Nothing while it is not valid: SQLite builds it anew before it uses it.
    pub(super) fn of(index: &Index, files: &Files) -> Option<Self> {
        Self::parse(index).or_else(|| Self::now(files))
    }

    fn now(files: &Files) -> Option<Self> {
        (0..TRIES).find_map(|_| Self::parse(&files.index()?))
    }

    /// Nothing while it is being written.
    fn parse(index: &Index) -> Option<Self> {
        let (header, copy) = (&index[..COPY], &index[COPY..2 * COPY]);
        let mut words = [0; COPY / 4];
        for (word, bytes) in words.iter_mut().zip(header.chunks_exact(4)) {
            *word = u32::from_ne_bytes(bytes.try_into().ok()?);
        }
        let mut sums = [0_u32; 2];
        for pair in words[..10].chunks_exact(2) {
            sums[0] = sums[0].wrapping_add(pair[0]).wrapping_add(sums[1]);
            sums[1] = sums[1].wrapping_add(pair[1]).wrapping_add(sums[0]);
        }
        let page = u16::from_ne_bytes(header[14..16].try_into().ok()?);
        let mut checksum = [0; 8];
        checksum[..4].copy_from_slice(&words[6].to_be_bytes());
        checksum[4..].copy_from_slice(&words[7].to_be_bytes());
        let end = Self {
            salts: header[32..40].try_into().ok()?,
            // 65536 is written as 1.
            page: u64::from(page & 0xfe00) + (u64::from(page & 1) << 16),
            frames: words[4],
            checksum,
        };
        (header == copy && header[12] == 1 && sums == words[10..]).then_some(end)
    }

    /// How long the log is at the least.
    fn length(&self) -> u64 {
        HEADER + u64::from(self.frames) * (FRAME_HEADER + self.page)
    }

    /// Whether the last frame stands in the log.
    fn is_in(&self, log: &File) -> bool {
        let (mut frame, at) = ([0; FRAME_HEADER as usize], self.length() - FRAME_HEADER - self.page);
        keep::read(log, &mut frame, at).is_some()
            && frame[8..16] == self.salts
            && frame[16..] == self.checksum
    }
}

/// What another program has done to the log, in words. `before`: its end at the check before; `now`: its end, read before
/// its `length` and anything else of this check.
pub(super) fn damage(
    before: Option<End>,
    now: Option<End>,
    length: u64,
    files: &Files,
) -> Option<&'static str> {
    let (mut end, mut length, log) = (now?, length, files.log()?);
    for _ in 0..TRIES {
        let how = compare(before, &end, length, log)?;
        // The log begins anew whenever all of it was moved, and the index is told so before the log is written to.
        match End::now(files) {
            Some(now) if now.salts == end.salts => return Some(how),
            Some(now) => end = now,
            None => {}
        }
        length = log.metadata().ok()?.len();
    }
    None
}

fn compare(before: Option<End>, end: &End, length: u64, log: &File) -> Option<&'static str> {
    if end.frames == 0 {
        return None;
    }
    let before = before.filter(|before| before.salts == end.salts && before.frames > 0);
    let last = before.as_ref().unwrap_or(end);
    let mut header = [0; HEADER as usize];
    if length < end.length() {
        Some("it is shorter than it was")
    } else if keep::read(log, &mut header, 0).is_none() || header[16..24] != end.salts {
        Some("its header is not the one that was written")
    } else if last.frames > end.frames || !last.is_in(log) {
        Some("what is there now is not what was written to it")
    } else {
        None
    }
}
