//! Names for logs and metrics, as indices into constants: no layer builds a string per call.

use std::fmt::{self, Display};

/// A request that names its operation and has an id.
///
/// ```
/// use eitherway_layers::Label;
///
/// #[derive(Clone)]
/// enum Todo { Add { id: u64, text: String }, List { id: u64 } }
///
/// impl Label for Todo {
///     const LABELS: &'static [&'static str] = &["todo_add", "todo_list"];
///     type Id = u64;
///     fn label(&self) -> usize {
///         match self { Todo::Add { .. } => 0, Todo::List { .. } => 1 }
///     }
///     fn id(&self) -> u64 {
///         match self { Todo::Add { id, .. } | Todo::List { id } => *id }
///     }
/// }
/// assert_eq!(Todo::List { id: 7 }.operation(), "todo_list");
/// ```
pub trait Label {
    /// The names of all operations. Few and constant: each becomes a label value of every metric.
    const LABELS: &'static [&'static str];

    /// Distinguishes requests in a log. It should be cheap to clone: it is copied from the request before the
    /// request is moved.
    type Id: Display + Clone;

    /// The index of this request's operation in [`LABELS`](Self::LABELS).
    fn label(&self) -> usize;

    /// This request's id.
    fn id(&self) -> Self::Id;

    /// The name of this request's operation; `"?"` if [`label`](Self::label) is out of range.
    fn operation(&self) -> &'static str {
        Self::LABELS.get(self.label()).copied().unwrap_or("?")
    }
}

/// How a layer names requests. [`ByLabel`], the default, asks their [`Label`]; [`Named`] is for requests of another
/// crate.
pub trait Labels<Req> {
    /// Distinguishes requests in a log.
    type Id: Display + Clone;

    /// The names of all operations; see [`Label::LABELS`].
    fn names(&self) -> &'static [&'static str];

    /// The index of this request's operation among the names.
    fn label(&self, req: &Req) -> usize;

    /// This request's id.
    fn id(&self, req: &Req) -> Self::Id;

    /// The name of this request's operation; `"?"` if its index is out of range.
    fn operation(&self, req: &Req) -> &'static str {
        self.names().get(self.label(req)).copied().unwrap_or("?")
    }
}

/// Names requests by their [`Label`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByLabel;

impl<Req: Label> Labels<Req> for ByLabel {
    type Id = Req::Id;

    fn names(&self) -> &'static [&'static str] {
        Req::LABELS
    }

    fn label(&self, req: &Req) -> usize {
        req.label()
    }

    fn id(&self, req: &Req) -> Req::Id {
        req.id()
    }
}

/// Names requests by a closure that returns the index of a name. They have no id.
#[derive(Clone, Copy, Debug)]
pub struct Named<F> {
    pub(crate) names: &'static [&'static str],
    pub(crate) label: F,
}

/// The id of requests that have none: `-`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoId;

impl Display for NoId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("-")
    }
}

impl<Req, F: Fn(&Req) -> usize> Labels<Req> for Named<F> {
    type Id = NoId;

    fn names(&self) -> &'static [&'static str] {
        self.names
    }

    fn label(&self, req: &Req) -> usize {
        (self.label)(req)
    }

    fn id(&self, _: &Req) -> NoId {
        NoId
    }
}

/// A response that knows which path served it.
///
/// The service that does the work sets the path in its responses; layers around it only read it, so it is
/// correct however they are nested. Paths are open: another one needs no list to be changed.
///
/// ```
/// use eitherway_layers::ServedBy;
///
/// struct Reply { cached: bool }
///
/// impl ServedBy for Reply {
///     fn served_by(&self) -> &'static str {
///         if self.cached { "[CACHE]" } else { "[ORIGIN]" }
///     }
/// }
/// assert_eq!(Reply { cached: true }.served_by(), "[CACHE]");
/// ```
pub trait ServedBy {
    /// The tag of the path that served this response, as logs show it. Few and constant: a log counts the
    /// responses of each.
    fn served_by(&self) -> &'static str;
}
