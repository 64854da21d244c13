//! What a server says of itself, and in the reasons of others.

use super::folding::Folding;

/// What a server has said of itself.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) folding: Folding,
    /// The name of the network: the source of its ids.
    pub(super) network: String,
    /// The signs in front of the names of those who have a rank, the highest first.
    pub(super) ranks: String,
    /// Whether it keeps lines, and can be asked for them.
    pub(super) keeps_lines: bool,
}

impl Server {
    /// A server of which only the name is known.
    pub(super) fn new(host: &str) -> Self {
        let (folding, ranks) = (Folding::default(), "~&@%+".to_owned());
        Self { folding, network: host.to_owned(), ranks, keeps_lines: false }
    }
}

/// Whether a server says with this reason that two servers have lost each other: `hub.example leaf.example`.
pub(super) fn is_split(reason: &str) -> bool {
    let is_server = |name: &str| {
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '*');
        name.contains('.') && name.chars().all(known) && !name.starts_with('.') && !name.ends_with('.')
    };
    reason.split_once(' ').is_some_and(|(one, other)| one != other && is_server(one) && is_server(other))
}
