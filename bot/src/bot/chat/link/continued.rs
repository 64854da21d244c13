//! The lines of a message behind its first one.

/// What stands in front of one that could be a command.
pub(in crate::bot::chat) const MARK: &str = "… ";
/// What commands begin with, of bots and of servers.
const SIGNS: &str = "!.?~@$%&*+-/\\^`|;,=>";

/// Whether another bot could take it for a command, though it is in the middle of a message that another user has written.
pub(in crate::bot::chat) fn is_command(line: &str) -> bool {
    line.trim_start().starts_with(|c| SIGNS.contains(c))
}
