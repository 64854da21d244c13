//! The metrics, all of them: their names, labels and meanings stand here, and the page docs/metrics.md is made of it.

/// What kind of number it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    #[cfg_attr(not(test), expect(dead_code, reason = "of the page"))]
    pub(super) labels: &'static [&'static str],
    #[cfg_attr(not(test), expect(dead_code, reason = "of the page"))]
    pub(super) of: Of,
    /// Whether layers and writer record it; else it is read when it is asked for.
    pub(super) recorded: bool,
    pub(super) help: &'static str,
}

/// Which processes have it. `up` has what both have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    All,
    Serve,
    Bot,
}

impl Kind {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

const fn counter(name: &'static str, labels: &'static [&'static str], of: Of, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, labels, of, recorded: false, help }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], of: Of, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, labels, of, recorded: false, help }
}

const fn histogram(
    name: &'static str,
    labels: &'static [&'static str],
    of: Of,
    help: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Histogram, labels, of, recorded: false, help }
}

const fn recorded(metric: Metric) -> Metric {
    Metric { recorded: true, ..metric }
}

use Of::{All, Bot, Serve};

/// All of them, in the order in which they are shown.
pub(super) const TABLE: &[Metric] = &[
    // The process.
    gauge("rosey_build_info", &["command", "version"], All, "Always 1; what runs is in the labels."),
    gauge("rosey_start_time_seconds", &[], All, "When the process started, in unix seconds."),
    gauge(
        "rosey_sampled_time_seconds",
        &[],
        All,
        "When this process last looked at itself, in unix seconds.",
    ),
    gauge("rosey_ready", &[], All, "1 while /readyz answers 200, else 0."),
    gauge("rosey_check", &["check", "required"], All, "1 while this check of /readyz is met, else 0."),
    gauge("rosey_draining", &[], All, "1 from the signal to end on, else 0."),
    recorded(counter(
        "rosey_trace_spans_total",
        &["outcome"],
        All,
        "Spans of traces: sent, failed (the receiver has not taken them) or dropped (too many waited).",
    )),
    // The bot's paths, from the outside in.
    recorded(counter(
        "rosey_operations_total",
        &["operation", "path", "outcome"],
        Bot,
        "Operations by what became of them, over all paths together (total) and over each.",
    )),
    recorded(histogram(
        "rosey_operation_duration_seconds",
        &["operation", "path"],
        Bot,
        "How long operations took, over all paths together (total) and over each.",
    )),
    recorded(gauge(
        "rosey_operations_in_flight",
        &["path"],
        Bot,
        "Operations that have begun and not ended.",
    )),
    recorded(counter(
        "rosey_fallbacks_total",
        &["operation", "class"],
        Bot,
        "Operations that went on to the next path because one had failed, by the class of its error.",
    )),
    recorded(counter(
        "rosey_hedges_total",
        &["path", "event"],
        Bot,
        "Operations that were sent to the next path too because one was late, and what came of it.",
    )),
    gauge(
        "rosey_serving",
        &["kind", "path"],
        Bot,
        "1 for the path that takes operations of this kind next, else 0.",
    ),
    gauge("rosey_serving_since_seconds", &["kind"], Bot, "Since when that is the path, in unix seconds."),
    gauge(
        "rosey_circuit_state",
        &["circuit", "state"],
        Bot,
        "1 for the state that a circuit to NATS has, else 0.",
    ),
    gauge("rosey_nats_waiting_requests", &[], Bot, "Requests over NATS that wait for their answer."),
    counter("rosey_nats_late_answers_total", &[], Bot, "Answers that came when another path had served."),
    counter(
        "rosey_nats_foreign_answers_total",
        &[],
        Bot,
        "Answers from another sender, or to another operation.",
    ),
    counter("rosey_nats_overruns_total", &[], Bot, "Times that answers came faster than they were read."),
    recorded(gauge("rosey_outbox_events", &["state"], Bot, "Events in the outbox, by what becomes of them.")),
    recorded(gauge("rosey_outbox_bytes", &[], Bot, "What the events in the outbox need.")),
    gauge(
        "rosey_outbox_oldest_age_seconds",
        &[],
        Bot,
        "For how long the oldest event has waited in the outbox; 0 while none waits.",
    ),
    // The bot.
    counter("rosey_bot_events_total", &["kind"], Bot, "Events of the chat that were handled."),
    gauge(
        "rosey_bot_last_event_time_seconds",
        &[],
        Bot,
        "When an event was last read, in unix seconds; 0 before.",
    ),
    gauge(
        "rosey_bot_runs",
        &[],
        Bot,
        "1 while the bot runs; 0 when it has ended in this room while it goes on in others.",
    ),
    gauge(
        "rosey_bot_leads",
        &[],
        Bot,
        "1 while the bot leads in its room, as one that is alone there does; 0 while another one does, or that is not known.",
    ),
    counter(
        "rosey_bot_operations_total",
        &["outcome"],
        Bot,
        "Operations of the bot: done, refused or failed.",
    ),
    counter(
        "rosey_bot_polls_failed_total",
        &[],
        Bot,
        "Failed questions for messages to deliver; they are asked again.",
    ),
    counter(
        "rosey_bot_messages_total",
        &["outcome"],
        Bot,
        "Messages handed to the chat: delivered or undelivered.",
    ),
    counter("rosey_bot_bad_lines_total", &[], Bot, "Lines of the input that were skipped."),
    counter(
        "rosey_bot_handler_failures_total",
        &["kind"],
        Bot,
        "Handlers that returned an error or panicked.",
    ),
    // The database service.
    gauge("rosey_nats_connected", &[], All, "1 while a NATS server is connected, else 0."),
    gauge(
        "rosey_services",
        &["mode"],
        Serve,
        "Services that listen, by how they take events; one a namespace.",
    ),
    counter(
        "rosey_service_operations_total",
        &["operation", "outcome"],
        Serve,
        "Operations that the service took and ended with; `taken` counts all at their arrival.",
    ),
    counter(
        "rosey_service_busy_seconds_total",
        &["operation"],
        Serve,
        "How long they took together, each from its arrival to its end.",
    ),
    counter(
        "rosey_service_repeats_total",
        &["operation"],
        Serve,
        "Operations that came again and had no second effect.",
    ),
    counter("rosey_service_buried_total", &["operation"], Serve, "Dead letters that were kept."),
    counter(
        "rosey_service_overruns_total",
        &[],
        Serve,
        "Times that requests came faster than they were taken.",
    ),
    gauge(
        "rosey_service_tried_again_messages",
        &[],
        Serve,
        "Messages that failed and are tried until they are applied.",
    ),
    gauge(
        "rosey_service_notices",
        &[],
        Serve,
        "Notices that are so now; /readyz and the log have their sentences.",
    ),
    counter("rosey_service_notices_total", &[], Serve, "Notices that began."),
    gauge("rosey_stream_messages", &[], Serve, "Events in the stream: acknowledged, and not applied."),
    gauge("rosey_stream_bytes", &[], Serve, "Bytes of these."),
    gauge("rosey_stream_unacknowledged_messages", &[], Serve, "Those of these that services are working on."),
    gauge(
        "rosey_stream_oldest_age_seconds",
        &[],
        Serve,
        "For how long the oldest event has waited in the stream; 0 while none waits.",
    ),
    // The database.
    recorded(counter(
        "rosey_commits_total",
        &["outcome"],
        All,
        "Transactions of the writer, by how they ended.",
    )),
    recorded(histogram(
        "rosey_commit_duration_seconds",
        &[],
        All,
        "How long the writer's transactions took, with what they waited for the lock.",
    )),
    recorded(histogram(
        "rosey_commit_operations",
        &[],
        All,
        "How many operations one transaction committed.",
    )),
    gauge("rosey_database_writer_waiting", &[], All, "Operations that wait for the writer."),
    gauge(
        "rosey_database_writer_silence_seconds",
        &[],
        All,
        "For how long the writer has not turned to its queue.",
    ),
    gauge(
        "rosey_database_trouble",
        &[],
        All,
        "1 while the database does not serve or cannot be written, else 0.",
    ),
    gauge(
        "rosey_database_dead_letters",
        &[],
        All,
        "Dead letters in the database; `rosey dead list` shows them.",
    ),
    gauge(
        "rosey_database_file_bytes",
        &["file"],
        All,
        "Size of the SQLite file (main) and of its log (wal).",
    ),
    gauge("rosey_database_disk_free_bytes", &[], All, "What is free on the disk of the SQLite file."),
];

/// The page of the handbook.
#[cfg(test)]
pub(super) fn page() -> String {
    use std::fmt::Write;

    let mut page = PAGE.to_owned();
    for Metric { name, kind, labels, of, help, .. } in TABLE {
        let of = match of {
            All => "all",
            Serve => "`serve`, `up`",
            Bot => "`bot`, `up`",
        };
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        let _ = writeln!(page, "| `{name}` | {} | {} | {of} | {help} |", kind.as_str(), labels.join(" "));
    }
    page
}

#[cfg(test)]
const PAGE: &str = "\
# Metrics

What `/metrics` of `rosey serve`, `rosey bot` and `rosey up` tells ([operating.md](operating.md)), in the text format of Prometheus. This
page is made of the table in `bot/src/cli/listen/table.rs`; `DOCS=write cargo test -p rosey-bot --lib is_made_of` writes it anew.

Counters begin at 0 with the process. A metric whose value is not known is not there: without a stream there is no
`rosey_stream_messages`. Labels have few values: names of operations, paths, outcomes and states, never of users or channels. Several
namespaces of a service are counted together, but for their notices in `/readyz`. Of a bot that is in several rooms, what is the room's
own has its name as the label `room` (`rosey_bot_…`, `rosey_serving…`, `rosey_circuit_state`, `rosey_nats_…_requests` and `_total`,
`rosey_outbox_oldest_age_seconds`, `rosey_database_…`); what layers and writers count is counted together.

| label | values |
|---|---|
| `operation` | the names of the [operations](bot.md), such as `user_joined` |
| `path` | `total`, `nats`, `db`, `outbox`, `replay` (of what the outbox offers again); of `rosey_hedges_total` `events`, `requests`, `queries`, `outbox`; of `rosey_serving` `none` as well |
| `outcome` of `rosey_operations_total` | how it ended at that path: `ok`, a class of errors (`not_sent`, `unknown`, `backend`, `rejected`, `too_large`), `cancelled` |
| `outcome` of `rosey_service_operations_total` | `taken`, `done`, `refused`, `expired`, `failed`, `returned`, `lost` |
| `outcome` of `rosey_trace_spans_total` | `sent`, `failed`, `dropped` |
| `kind` of `rosey_serving` | `event`, `call`, `query` |
| `room` | the names of the rooms of a bot that is in several; the one that has none is empty |
| `class` | that of the error, `response` for an answer that was not taken, `late` for a hedge |
| `circuit`, `state` | `events`, `requests`; `closed`, `open`, `half_open`, `held`, `forced_open`, `forced_closed` |

| metric | kind | labels | of | |
|---|---|---|---|---|
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_named_as_prometheus_wants_it_and_once() {
        for (place, metric) in TABLE.iter().enumerate() {
            let Metric { name, kind, labels, help, .. } = metric;
            assert!(name.starts_with("rosey_") && !name.contains("__"), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}: counters end in _total");
            assert!(
                help.ends_with('.') && !help.contains(['\n', '\\', '|']),
                "{name}: a sentence in a table"
            );
            assert!(
                !labels.iter().any(|label| ["le", "quantile"].contains(label)),
                "{name}: reserved labels"
            );
            assert!(!TABLE[place + 1..].iter().any(|other| other.name == *name), "{name} stands there twice");
        }
    }

    #[test]
    fn the_page_of_metrics_is_made_of_the_table() {
        crate::reference::assert_made("metrics.md", &page());
    }
}
