//! What keeps out that which comes late of a person who was forgotten since.

/// Whether a request of `new` is older than the forgetting of the person in this field. Mostly nobody is forgotten, which is asked once.
macro_rules! is_forgotten {
    ($field:tt) => {
        concat!(
            "(EXISTS (SELECT 1 FROM forgotten) AND EXISTS (
                 SELECT 1 FROM forgotten f WHERE f.username = ",
            $crate::op::person::keyed!($field),
            " AND (new.at, new.id) < (f.at, f.id)))"
        )
    };
}
pub(super) use is_forgotten;

/// What is left of a join, a leave or a line: that it was applied.
pub(super) const EVENTS: &str = concat!(
    "INSERT INTO forgotten_events (op_id, at) SELECT id, at FROM new WHERE ",
    is_forgotten!("username"),
    " ON CONFLICT (op_id) DO NOTHING"
);

/// A message that nobody is told any more is given up when it is queued.
pub(super) const MESSAGES: &str = "
    INSERT INTO outbound_marks (op_id, message, at, kind)
    SELECT ' forgotten ' || o.op_id, o.id, o.at, 'failed' FROM new CROSS JOIN outbound_messages o
    WHERE EXISTS (SELECT 1 FROM forgotten) AND o.op_id = new.id AND o.message = ''";
