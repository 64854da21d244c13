//! Numbers with their nouns.

/// "1 operation", "2 operations".
pub(super) fn counted(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// "1 operation waits", "2 operations wait".
pub(super) fn wait(number: u64, noun: &str) -> String {
    format!("{} {}", counted(number, noun), if number == 1 { "waits" } else { "wait" })
}

/// "1 operation was", "2 operations were".
pub(super) fn were(number: u64, noun: &str) -> String {
    format!("{} {}", counted(number, noun), if number == 1 { "was" } else { "were" })
}

/// "1 value is", "2 values are".
pub(super) fn are(number: u64, noun: &str) -> String {
    format!("{} {}", counted(number, noun), if number == 1 { "is" } else { "are" })
}
