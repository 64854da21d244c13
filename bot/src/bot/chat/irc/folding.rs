//! Which names are one name: the server's `CASEMAPPING`.

/// How names are folded for comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Folding {
    /// `A` to `Z` alone.
    Ascii,
    /// Also `[]\~`, whose small letters are `{}|^`: what a server means that says nothing.
    #[default]
    Rfc1459,
    /// Also `[]\`, whose small letters are `{}|`.
    StrictRfc1459,
    /// All letters of Unicode.
    Unicode,
}

impl Folding {
    /// The folding of this name; one that is not known keeps the usual one.
    pub(super) fn named(name: &str) -> Self {
        match name {
            "ascii" => Self::Ascii,
            "strict-rfc1459" | "rfc1459-strict" => Self::StrictRfc1459,
            "rfc7613" | "rfc8265" | "precis" | "utf8" => Self::Unicode,
            _ => Self::Rfc1459,
        }
    }

    /// The form of a name that is equal for equal names.
    pub(super) fn fold(self, name: &str) -> String {
        let fold = |c: char| match (self, c) {
            (Self::Rfc1459, '~') => '^',
            (Self::Rfc1459 | Self::StrictRfc1459, '[') => '{',
            (Self::Rfc1459 | Self::StrictRfc1459, ']') => '}',
            (Self::Rfc1459 | Self::StrictRfc1459, '\\') => '|',
            _ => c.to_ascii_lowercase(),
        };
        if self == Self::Unicode { name.to_lowercase() } else { name.chars().map(fold).collect() }
    }

    /// Whether two names are one.
    pub(super) fn same(self, one: &str, other: &str) -> bool {
        self.fold(one) == self.fold(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_says_which_letters_are_one() {
        let same = |name, one, other| Folding::named(name).same(one, other);
        assert!(same("rfc1459", "ALICE[X]~\\", "alice{x}^|"));
        assert!(same("strict-rfc1459", "A[]\\", "a{}|") && !same("strict-rfc1459", "~", "^"));
        assert!(same("ascii", "Ab", "aB") && !same("ascii", "[", "{"));
        assert!(same("rfc7613", "Ä", "ä") && !same("rfc1459", "Ä", "ä"));
        assert!(same("who knows", "[", "{"));
    }
}
