//! The service as others look for it: `$SRV.PING`, `$SRV.INFO` and `$SRV.STATS`, as `nats micro` asks them
//! (architecture decision 32 of NATS).

use std::sync::Arc;

use async_nats::{Message, Subject, Subscriber};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tracing::Instrument;

use super::{ServeError, Shared};
use crate::clock;
use crate::nats::{Mode, wire};
use crate::operation::{Kind, Operation, Spec};
use crate::rfc3339;
use crate::store::Store;

/// What is asked.
#[derive(Clone, Copy, Debug)]
enum Verb {
    Ping,
    Info,
    Stats,
}

impl Verb {
    const ALL: [Self; 3] = [Self::Ping, Self::Info, Self::Stats];

    const fn subject(self) -> &'static str {
        match self {
            Self::Ping => "$SRV.PING",
            Self::Info => "$SRV.INFO",
            Self::Stats => "$SRV.STATS",
        }
    }

    const fn answer(self) -> &'static str {
        match self {
            Self::Ping => "io.nats.micro.v1.ping_response",
            Self::Info => "io.nats.micro.v1.info_response",
            Self::Stats => "io.nats.micro.v1.stats_response",
        }
    }
}

/// This instance, as it introduces itself.
struct ServiceIdentity {
    name: String,
    id: String,
    started: String,
}

/// Answers for as long as the service runs. Every instance answers.
pub(super) async fn start<O: Operation, D: Store<O>>(
    shared: &Arc<Shared<O, D>>,
    tasks: &mut JoinSet<()>,
) -> Result<(), ServeError> {
    let identity = Arc::new(ServiceIdentity {
        name: shared.names.micro.clone(),
        id: shared.instance.id.clone(),
        started: rfc3339::format(clock::now()),
    });
    for verb in Verb::ALL {
        let all = verb.subject().to_owned();
        let named = format!("{all}.{}", identity.name);
        let single = format!("{named}.{}", identity.id);
        for subject in [all, named, single] {
            let subscriber = shared.client.subscribe(subject).await;
            let subscriber = subscriber.map_err(|e| ServeError::Connection(e.to_string()))?;
            tasks
                .spawn(answer(Arc::clone(shared), Arc::clone(&identity), verb, subscriber).in_current_span());
        }
    }
    Ok(())
}

async fn answer<O: Operation, D: Store<O>>(
    shared: Arc<Shared<O, D>>,
    identity: Arc<ServiceIdentity>,
    verb: Verb,
    mut asked: Subscriber,
) {
    loop {
        let question = tokio::select! {
            question = asked.next() => question,
            () = shared.stop.cancelled() => return,
        };
        let Some(question) = question else { return };
        if shared.discovery.as_ref().is_some_and(|discovery| discovery.asked(&question)) {
            continue;
        }
        reply(&shared, &identity, verb, question).await;
    }
}

async fn reply<O: Operation, D: Store<O>>(
    shared: &Shared<O, D>,
    identity: &ServiceIdentity,
    verb: Verb,
    question: Message,
) {
    let Some(to) = shared.way_to(&question) else { return };
    let mut body = json!({
        "type": verb.answer(),
        "name": identity.name,
        "id": identity.id,
        "version": env!("CARGO_PKG_VERSION"),
        "metadata": {"database_id": shared.db.id(), "mode": shared.mode().as_str()},
    });
    let notices = shared.notices.now();
    if !notices.is_empty() {
        // Metadata are texts.
        body["metadata"]["notices"] = notices.join("; ").into();
    }
    match verb {
        Verb::Ping => {}
        Verb::Info => {
            body["description"] = "applies each operation to the database exactly once".into();
            body["endpoints"] = endpoints(shared, |_| json!({}));
        }
        Verb::Stats => {
            body["started"] = identity.started.as_str().into();
            // Metadata are what a service is, the same in all three answers: what changes is data, as at an endpoint.
            body["data"] = json!({
                "overruns": shared.troubles.overruns(),
                "not_inboxes": shared.troubles.not_inboxes(),
                "unknown": shared.troubles.unknowns(),
                "notices": notices,
                "unreadable": shared.troubles.unreadable.count(),
                // Of the whole process: what an outage leaves behind would show here.
                "tasks": tokio::runtime::Handle::current().metrics().num_alive_tasks(),
            });
            body["endpoints"] = endpoints(shared, |index| stats(shared, index));
        }
    }
    let (body, omitted) = fit(body, shared.most());
    let headers = wire::cut_headers(shared.db.id(), omitted);
    if let Err(e) = shared.client.publish_with_headers(to.subject(), headers, body.into()).await {
        tracing::debug!("a question about the service is not answered: {e}");
    }
}

/// The answer in at most this many bytes, and how many endpoints and notices were left out for that.
fn fit(mut body: Value, most: usize) -> (String, u64) {
    let (mut text, mut omitted) = (body.to_string(), 0);
    while text.len() > most {
        let endpoints = body.get_mut("endpoints").and_then(Value::as_array_mut);
        if endpoints.and_then(Vec::pop).is_none() {
            let metadata = body["metadata"].as_object_mut().and_then(|metadata| metadata.remove("notices"));
            let data = body.as_object_mut().and_then(|body| body.remove("data"));
            if metadata.is_none() && data.is_none() {
                break;
            }
        }
        omitted += 1;
        text = body.to_string();
    }
    (text, omitted)
}

/// One endpoint an operation; `more` adds to each.
fn endpoints<O: Operation, D: Store<O>>(shared: &Shared<O, D>, more: impl Fn(usize) -> Value) -> Value {
    let endpoint = |(index, spec, subject): (usize, &Spec, &Subject)| {
        let stored = spec.kind == Kind::Event && shared.mode() == Mode::JetStream;
        let mut endpoint = json!({
            "name": spec.name,
            "subject": subject.as_str(),
            "queue_group": if stored { "" } else { shared.names.service.as_str() },
            "metadata": {"from": if stored { "stream" } else { "request" }},
        });
        if let (Some(endpoint), Value::Object(more)) = (endpoint.as_object_mut(), more(index)) {
            endpoint.extend(more);
        }
        endpoint
    };
    shared.names.operations().map(endpoint).collect()
}

/// Our own counters: the client library's know only what has a reply subject.
fn stats<O: Operation, D: Store<O>>(shared: &Shared<O, D>, index: usize) -> Value {
    let counters = shared.counters.of(index);
    let (served, nanos) = (shared.served(index), counters.nanos());
    json!({
        "num_requests": served.taken,
        "num_errors": served.refused + served.failed + served.lost,
        "last_error": counters.last_error(),
        "processing_time": nanos,
        "average_processing_time": nanos.checked_div(served.taken).unwrap_or_default(),
        "data": served,
    })
}
