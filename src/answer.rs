//! Lists that are longer than an answer may be.

use serde_json::value::RawValue;

/// The most bytes of a list, if nothing else is said: what NATS carries as a server usually lets it, and a margin.
pub(crate) const MOST: usize = 1_000_000;

/// Which end of a list goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The oldest: what is newest is what is asked for.
    First,
    /// The newest: what waits longest has its turn.
    #[cfg_attr(not(feature = "nats"), allow(dead_code))] // only a service sends claims on
    Last,
}

/// Leaves out as many entries of a JSON list as it takes to bring it down to `most` bytes; answers what stays, and how many
/// entries went. Nothing for what is no list.
pub(crate) fn cut(json: &[u8], most: usize, end: End) -> Option<(Vec<u8>, u64)> {
    let entries: Vec<&RawValue> = serde_json::from_slice(json).ok()?;
    let mut room = most.saturating_sub(2);
    let mut stays = 0;
    for place in 0..entries.len() {
        let entry = match end {
            End::First => entries[entries.len() - 1 - place],
            End::Last => entries[place],
        };
        // And its comma.
        match room.checked_sub(entry.get().len() + 1) {
            Some(rest) => (room, stays) = (rest, place + 1),
            None => break,
        }
    }
    let kept = match end {
        End::First => &entries[entries.len() - stays..],
        End::Last => &entries[..stays],
    };
    let mut list = Vec::with_capacity(most.min(json.len()));
    list.push(b'[');
    for (place, entry) in kept.iter().enumerate() {
        if place > 0 {
            list.push(b',');
        }
        list.extend_from_slice(entry.get().as_bytes());
    }
    list.push(b']');
    Some((list, (entries.len() - stays) as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(list: &str, most: usize, end: End) -> (String, u64) {
        let (list, gone) = cut(list.as_bytes(), most, end).expect("a list");
        assert!(list.len() <= most.max(2));
        (String::from_utf8(list).expect("text"), gone)
    }

    #[test]
    fn the_newest_of_a_list_stay_or_its_oldest() {
        let list = r#"[{"a":1},{"b":2},{"c":3}]"#;
        assert_eq!(kept(list, 100, End::First), (list.to_owned(), 0));
        assert_eq!(kept(list, 20, End::First), (r#"[{"b":2},{"c":3}]"#.to_owned(), 1));
        assert_eq!(kept(list, 20, End::Last), (r#"[{"a":1},{"b":2}]"#.to_owned(), 1));
        assert_eq!(kept(list, 5, End::First), ("[]".to_owned(), 3));
        assert_eq!(cut(b"{}", 1, End::First), None);
    }
}
