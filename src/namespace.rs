//! What stands in front of the names that operations have on a bus.

use std::fmt;
use std::str::FromStr;

/// A part of a NATS account of its own: what stands in front of service, subjects, stream, consumer and queue group.
///
/// Client and service that name the same namespace find each other; those of two namespaces share nothing, on one server and
/// in one account. The default is none, which changes no name.
///
/// ```
/// use eitherway::Namespace;
///
/// let lounge: Namespace = "lounge".parse()?;
/// assert_eq!(lounge.subject("todo.add"), "lounge.todo.add");
/// assert_eq!(Namespace::none().subject("todo.add"), "todo.add");
/// # Ok::<_, eitherway::NamespaceError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Namespace(String);

/// Why a name is no namespace, or one that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NamespaceError {
    /// It has another form.
    #[error(
        "namespace {name:?}: expected a-z, 0-9, _ and single hyphens between them, in parts separated by dots, as in lounge or \
         irc.my-room; at most {} bytes",
        Namespace::LONGEST
    )]
    Form {
        /// The refused name.
        name: String,
    },
    /// What is sent there belongs to another namespace as well.
    #[error("namespace {name:?}: {subject} lies below {other} of another namespace; choose another name")]
    Overlap {
        /// The refused name.
        name: String,
        /// One of its subjects.
        subject: String,
        /// What that lies below.
        other: String,
    },
    /// Two were named where one is meant.
    #[error("two namespaces are named, {one:?} and {other:?}: name one of them, or the same in both places")]
    Two {
        /// The first name.
        one: String,
        /// The second name.
        other: String,
    },
}

impl Namespace {
    /// The longest name, in bytes.
    pub const LONGEST: usize = 64;

    /// No namespace: all names are as the operations have them.
    #[must_use]
    pub const fn none() -> Self {
        Self(String::new())
    }

    /// The namespace of this name.
    ///
    /// # Errors
    /// `Form`, for a name that is not made of tokens of `a-z`, `0-9`, `_` and `-`, separated by dots, or is too long. A hyphen
    /// stands between two other characters, so that no two namespaces have one stream name.
    pub fn new(name: impl Into<String>) -> Result<Self, NamespaceError> {
        let name = name.into();
        let word = |word: &str| {
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
            !word.is_empty() && word.bytes().all(plain)
        };
        let token = |token: &str| token.split('-').all(word);
        if name.len() <= Self::LONGEST && name.split('.').all(token) {
            Ok(Self(name))
        } else {
            Err(NamespaceError::Form { name })
        }
    }

    /// Its name; empty, if it is none.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// The subject of this name in the namespace.
    #[must_use]
    pub fn subject(&self, name: &str) -> String {
        if self.is_none() { name.to_owned() } else { format!("{self}.{name}") }
    }

    /// What messages call it.
    #[cfg(feature = "sqlite")]
    pub(crate) fn words(&self) -> String {
        if self.is_none() { "no namespace".to_owned() } else { format!("the namespace {self}") }
    }

    /// What the log says of it: a span with its name, which is on with every level; none without a namespace.
    #[must_use]
    pub fn span(&self) -> tracing::Span {
        if self.is_none() {
            tracing::Span::none()
        } else {
            tracing::error_span!(parent: None, "namespace", namespace = %self)
        }
    }

    /// The one of two that is named.
    #[cfg(all(feature = "nats", feature = "sqlite"))]
    pub(crate) fn or(&self, other: &Self) -> Result<Self, NamespaceError> {
        match (self.is_none(), other.is_none()) {
            (true, _) => Ok(other.clone()),
            (false, true) => Ok(self.clone()),
            (false, false) if self == other => Ok(self.clone()),
            (false, false) => Err(NamespaceError::Two { one: self.0.clone(), other: other.0.clone() }),
        }
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Namespace {
    type Err = NamespaceError;

    fn from_str(name: &str) -> Result<Self, NamespaceError> {
        Self::new(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_one_or_more_tokens_of_a_subject() {
        let longest = "x".repeat(Namespace::LONGEST);
        for good in ["lounge", "irc.lounge", "a-b", "_a", "a_", "0", "a.b.c-d_e", longest.as_str()] {
            assert_eq!(Namespace::new(good).map(|n| n.to_string()), Ok(good.to_owned()));
        }
        let longer = "x".repeat(Namespace::LONGEST + 1);
        for bad in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "Lounge",
            "a b",
            "a*",
            "*",
            ">",
            "a.>",
            "$sys",
            "ü",
            "a\n",
            "-",
            "a-",
            "-a",
            "a--b",
            "a-.b",
            "a/b",
            longer.as_str(),
        ] {
            let refused = Namespace::new(bad).expect_err(bad).to_string();
            assert!(refused.contains("expected a-z, 0-9"), "{bad}: {refused}");
        }
    }
}
