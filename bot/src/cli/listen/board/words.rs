//! The words for what can be wrong, and what to do about it.

/// What is wrong if this check is not met.
pub(in crate::cli::listen) fn title(check: &str) -> &'static str {
    match check {
        "running" => "It is ending",
        "nats" => "NATS does not serve",
        "service" => "The database service does not do its work",
        "database" => "The database does not serve",
        "events" => "No path for events",
        "calls" => "No path for calls",
        "queries" => "No path for queries",
        "outbox" => "Events wait in the outbox",
        "rooms" => "A room has ended",
        _ => "Something is wrong",
    }
}

/// What is so when it is met.
pub(in crate::cli::listen) fn again(check: &str) -> &'static str {
    match check {
        "running" => "it runs",
        "nats" => "NATS serves",
        "service" => "the database service does its work",
        "database" => "the database serves",
        "events" => "there is a path for events",
        "calls" => "there is a path for calls",
        "queries" => "there is a path for queries",
        "outbox" => "no event waits in the outbox",
        "rooms" => "all rooms go on",
        _ => "it is well",
    }
}

/// What to do if it is not met.
pub(in crate::cli::listen) fn advice(check: &str, required: bool) -> &'static str {
    match (check, required) {
        ("running", _) => "Nothing, if it was meant to end. What was taken is finished first.",
        ("nats", true) => {
            "See whether nats-server runs and takes this user: `rosey doctor`. This process connects by itself, and \
             what was acknowledged is kept."
        }
        ("nats", false) => {
            "Nothing is lost: the next path serves. See whether nats-server and `rosey serve` run; it goes back to \
             NATS by itself."
        }
        ("service", _) => {
            "Its log says more, and `rosey doctor`. What has failed is tried again until it is applied."
        }
        ("database", _) => {
            "See which program holds a lock, and whether the disk is full: `rosey doctor`. Nothing is acknowledged \
             that is not kept."
        }
        ("events" | "calls" | "queries", _) => {
            "Start nats-server and `rosey serve`, or name a database with --database-url."
        }
        ("rooms", _) => {
            "The other rooms go on. Where the reason says what is wrong, mend it, and start this process again."
        }
        ("outbox", _) => "Nothing: they are offered again as soon as a path takes them.",
        _ => "The log says more.",
    }
}

/// The state of a circuit.
pub(in crate::cli) fn circuit(state: &str) -> &'static str {
    match state {
        "closed" => "closed",
        "open" => "open",
        "half_open" => "trying",
        "held" => "held open until NATS is well",
        "forced_open" => "forced open",
        "forced_closed" => "forced closed",
        _ => "unknown",
    }
}

/// A path, by its name in Health.
pub(in crate::cli::listen) fn path(via: &str) -> &str {
    match via {
        "nats" => "NATS",
        "db" => "database",
        other => other,
    }
}
