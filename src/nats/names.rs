//! The names that the operations of a type have on NATS, in a namespace.

use async_nats::Subject;

use crate::namespace::{Namespace, NamespaceError};
use crate::operation::{Operation, Spec};

/// All of them, made once for a client or a service.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) namespace: Namespace,
    /// The service: its queue group, what its own subjects begin with, and the first word of its stream's description.
    pub(crate) service: String,
    /// The stream that takes events. Its consumer needs no name of its own: it is in the stream.
    pub(crate) stream: String,
    /// The service as `$SRV` knows it.
    #[cfg(feature = "sqlite")]
    pub(crate) micro: String,
    #[cfg(feature = "sqlite")]
    dead_letters: String,
    #[cfg(feature = "sqlite")]
    specs: &'static [Spec],
    subjects: Vec<Subject>,
    /// Where bundles for the service are sent, and those for its stream.
    pub(crate) bundles: Subject,
    pub(crate) stored_bundles: Subject,
}

/// Where bundles are sent, below the service's name.
pub(crate) const BUNDLES: &str = "batch";
pub(crate) const STORED_BUNDLES: &str = "batch.events";

impl Names {
    /// The names of `O` in this namespace.
    ///
    /// # Errors
    /// `Overlap`, where what is sent in this namespace would come to another one as well.
    pub(crate) fn new<O: Operation>(namespace: &Namespace) -> Result<Self, NamespaceError> {
        overlap(namespace, &names::<O>())?;
        let subject = |spec: &Spec| match namespace.is_none() {
            true => Subject::from_static(spec.subject),
            false => namespace.subject(spec.subject).into(),
        };
        // Hyphens stand alone in a namespace: no other one has this name.
        let flat = namespace.as_str().replace('.', "--");
        let stream = match namespace.is_none() {
            true => O::stream(),
            false => format!("{}_{}", flat.to_ascii_uppercase(), O::stream()),
        };
        let service = namespace.subject(O::SERVICE);
        let own = |word: &str| Subject::from(format!("{service}.{word}"));
        Ok(Self {
            bundles: own(BUNDLES),
            stored_bundles: own(STORED_BUNDLES),
            namespace: namespace.clone(),
            service,
            stream,
            #[cfg(feature = "sqlite")]
            micro: {
                // A name may hold letters, digits, `-` and `_`.
                let own = O::SERVICE.replace(|c: char| !c.is_ascii_alphanumeric() && c != '_', "-");
                if namespace.is_none() { own } else { format!("{flat}-{own}") }
            },
            #[cfg(feature = "sqlite")]
            dead_letters: namespace.subject(&O::dead_letters()),
            #[cfg(feature = "sqlite")]
            specs: O::SPECS,
            subjects: O::SPECS.iter().map(subject).collect(),
        })
    }

    /// The subject of the operation of this index.
    pub(crate) fn subject(&self, index: usize) -> &Subject {
        &self.subjects[index]
    }

    /// Whether an operation has one of the subjects of bundles: then there are none.
    pub(crate) fn has_no_bundles(&self) -> bool {
        self.subjects.iter().any(|subject| [&self.bundles, &self.stored_bundles].contains(&subject))
    }

    /// One of the service's own subjects: `SERVICE.ping`.
    pub(crate) fn own(&self, word: &str) -> String {
        format!("{}.{word}", self.service)
    }
}

#[cfg(feature = "sqlite")]
impl Names {
    /// Every operation with its index and its subject.
    pub(crate) fn operations(&self) -> impl Iterator<Item = (usize, &'static Spec, &Subject)> {
        self.specs
            .iter()
            .zip(&self.subjects)
            .enumerate()
            .map(|(index, (spec, subject))| (index, spec, subject))
    }

    /// The operation of this subject.
    pub(crate) fn index(&self, subject: &str) -> Option<usize> {
        self.subjects.iter().position(|own| own.as_str() == subject)
    }

    /// Whether what the stream has on this subject is a bundle.
    pub(crate) fn is_of_bundles(&self, subject: &str) -> bool {
        self.stored_bundles.as_str() == subject && self.index(subject).is_none()
    }

    /// What follows the name of the service in one of the subjects below it.
    pub(crate) fn word<'a>(&self, subject: &'a str) -> Option<&'a str> {
        subject.strip_prefix(self.service.as_str()).and_then(|rest| rest.strip_prefix('.'))
    }

    /// Where the dead letters of an operation are announced.
    pub(crate) fn dead_letters(&self, operation: &str) -> String {
        format!("{}.{operation}", self.dead_letters)
    }

    /// Whether dead letters are announced there.
    pub(crate) fn is_of_dead_letters(&self, subject: &str) -> bool {
        is_below(subject, &self.dead_letters)
    }
}

/// Whether bundles are stored that come on this subject, in whatever namespace.
#[must_use]
pub fn is_of_stored_bundles<O: Operation>(subject: &str) -> bool {
    if O::SPECS.iter().any(|spec| spec.is_subject(subject)) {
        return false;
    }
    let own = subject.strip_suffix(STORED_BUNDLES).and_then(|before| before.strip_suffix('.'));
    let before = own.and_then(|own| own.strip_suffix(O::SERVICE));
    before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// What the operations of a type listen and publish to, without a namespace.
pub(crate) fn names<O: Operation>() -> Vec<String> {
    let subjects = O::SPECS.iter().map(|spec| spec.subject.to_owned());
    [O::SERVICE.to_owned(), O::dead_letters()].into_iter().chain(subjects).collect()
}

/// Whether `subject` is `above`, or lies below it.
pub(crate) fn is_below(subject: &str, above: &str) -> bool {
    subject.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Refuses a namespace that a shorter one covers: `todo.db`, say, whose subjects `todo.db.todo.db.…` all lie below
/// `todo.db`.
fn overlap(namespace: &Namespace, names: &[String]) -> Result<(), NamespaceError> {
    let tokens = namespace.as_str().match_indices('.').map(|(at, _)| at + 1);
    let shorter = [0].into_iter().chain(tokens).filter(|_| !namespace.is_none());
    for at in shorter {
        for subject in names.iter().map(|name| namespace.subject(name)) {
            if let Some(other) = names.iter().find(|other| is_below(&subject[at..], other)) {
                let other = format!("{}{other}", &subject[..at]);
                return Err(NamespaceError::Overlap { name: namespace.to_string(), subject, other });
            }
        }
    }
    Ok(())
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use super::*;
    use crate::sample::Sample as Op;

    fn named(namespace: &str) -> Result<Names, NamespaceError> {
        Names::new::<Op>(&namespace.parse()?)
    }

    #[test]
    fn without_a_namespace_every_name_is_what_the_operations_say() {
        let names = Names::new::<Op>(&Namespace::none()).expect("none");
        assert_eq!((names.service.as_str(), names.stream.as_str()), (Op::SERVICE, "SAMPLE"));
        assert!(Op::SPECS.iter().enumerate().all(|(n, spec)| names.subject(n).as_str() == spec.subject));
        assert_eq!((names.micro.as_str(), names.dead_letters("x").as_str()), ("sample-db", "sample.dlq.x"));
    }

    #[test]
    fn in_a_namespace_every_name_has_it_in_front() {
        let names = named("irc.my-room").expect("a namespace");
        assert_eq!(names.service, "irc.my-room.sample.db");
        assert_eq!(names.own("ping"), "irc.my-room.sample.db.ping");
        assert_eq!(names.stream, "IRC--MY-ROOM_SAMPLE");
        assert!(names.subjects.iter().all(|subject| subject.starts_with("irc.my-room.sample.")));
        {
            assert_eq!(names.micro, "irc--my-room-sample-db");
            assert_eq!(names.dead_letters("item_added"), "irc.my-room.sample.dlq.item_added");
        }
    }

    #[test]
    fn no_subject_of_a_namespace_lies_below_the_service_of_another() {
        for good in ["lounge", "sample", "db", "sample.lounge", "sample.dbs", "dlq.sample", "a.b.c"] {
            assert!(named(good).is_ok(), "{good}");
        }
        for bad in [
            "sample.db",
            "sample.dlq",
            "sample.db.item.added",
            "a.sample.db",
            "a.sample.db.b",
            "sample.db.sample.db",
        ] {
            let refused = named(bad).expect_err(bad).to_string();
            assert!(refused.contains("of another namespace"), "{bad}: {refused}");
        }
    }

    #[test]
    fn no_two_namespaces_have_one_stream_or_one_name() {
        let all = ["a.b", "a-b", "a_b", "ab", "a.b.c", "a-b.c", "a.b-c", "a_b.c"].map(|n| named(n).expect(n));
        for (n, one) in all.iter().enumerate() {
            for other in &all[..n] {
                assert_ne!(one.stream, other.stream);
                assert_ne!(one.micro, other.micro);
            }
        }
    }
}
