//! The AsyncAPI document of the subjects, made of the operations: what a service takes, and what it answers.

use eitherway::Namespace;
use eitherway::operation::{Kind, Operation, Spec};
use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::op::{Op, schemas};

const ABOUT: &str = "The database service of a chat bot's memory. An event changes the database and is acknowledged, a call changes \
                     it and answers after the commit, a query only reads. Each operation takes effect once for each id, however \
                     often and on whatever path it arrives. Unknown fields are ignored. docs/wire.md says what stands in no schema: \
                     streams, bundles, order, permissions.";

/// Where the schemas of types stand.
const SCHEMAS: &str = "/components/schemas";

/// The document of a service in this namespace.
pub(super) fn document(namespace: &Namespace) -> Value {
    let settings = SchemaSettings::draft07().with(|settings| {
        settings.definitions_path = SCHEMAS.into();
        settings.meta_schema = None;
    });
    let mut types = SchemaGenerator::new(settings);
    let (mut channels, mut operations, mut messages) = (Map::new(), Map::new(), Map::new());
    for (spec, payload, answer) in schemas(&mut types) {
        let (name, reply) = (spec.name, format!("{}_reply", spec.name));
        let address = namespace.subject(spec.subject);
        channels.insert(name.to_owned(), channel(&address, &[name]));
        channels.insert(reply.clone(), channel(&Value::Null, &[&reply, "refusal"]));
        operations.insert(name.to_owned(), operation(&spec, namespace));
        messages.insert(name.to_owned(), request(&spec, &payload));
        messages.insert(reply, json!({"payload": answer, "headers": reference("schemas", "AnswerHeaders")}));
    }
    let refusal = json!({"payload": refusal(), "headers": reference("schemas", "RefusalHeaders")});
    messages.insert("refusal".to_owned(), refusal);
    let mut schemas = types.take_definitions(true);
    schemas.extend(headers());
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Rosey",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": {"name": env!("CARGO_PKG_LICENSE")},
        },
        "defaultContentType": "application/json",
        "servers": {"nats": {"host": "127.0.0.1:4222", "protocol": "nats"}},
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": schemas},
    })
}

fn reference(kind: &str, name: &str) -> Value {
    json!({"$ref": format!("#/components/{kind}/{name}")})
}

fn channel(address: &(impl serde::Serialize + ?Sized), names: &[&str]) -> Value {
    let messages = names.iter().map(|name| ((*name).to_owned(), reference("messages", name)));
    json!({"address": address, "messages": messages.collect::<Map<_, _>>()})
}

fn operation(spec: &Spec, namespace: &Namespace) -> Value {
    let Spec { name, kind, .. } = spec;
    let reply = format!("{name}_reply");
    json!({
        "action": "receive",
        "channel": {"$ref": format!("#/channels/{name}")},
        "tags": [{"name": match kind { Kind::Event => "event", Kind::Call => "call", Kind::Query => "query" }}],
        "bindings": {"nats": {"queue": namespace.subject(Op::SERVICE)}},
        "reply": {"channel": {"$ref": format!("#/channels/{reply}")}},
    })
}

fn request(spec: &Spec, payload: &Schema) -> Value {
    let example: Value = serde_json::from_str(spec.example).unwrap_or_default();
    let when = json!({"properties": {"timestamp": {
        "type": "integer",
        "description": "When it happened, in unix seconds; by default when it arrives.",
    }}});
    let payload = if spec.stamped { json!({"allOf": [payload, when]}) } else { json!(payload) };
    json!({
        "payload": payload,
        "headers": reference("schemas", "RequestHeaders"),
        "examples": [{"payload": example}],
    })
}

fn refusal() -> Value {
    json!({
        "description": "A refusal, which the headers tell. Its payload has the form of the answer for peers that read no headers: \
                        `[]` where that is a list, and what the plugins of the Python bot know for `kv_…`.",
    })
}

/// The headers of requests, answers and refusals.
fn headers() -> Map<String, Value> {
    let text = |about: &str| json!({"type": "string", "description": about});
    let object = |headers: &[(&str, &str)]| {
        let headers = headers.iter().map(|(name, about)| ((*name).to_owned(), text(about)));
        json!({"type": "object", "properties": headers.collect::<Map<_, _>>()})
    };
    let mut known = Map::new();
    known.insert(
        "RequestHeaders".to_owned(),
        object(&[
            ("Eitherway-Operation-Id", "The operation's id: the same id takes effect once."),
            ("Nats-Msg-Id", "The id, if there is no Eitherway-Operation-Id; what a stream deduplicates by."),
            ("Eitherway-Occurred-At", "When the operation happened, in unix milliseconds."),
            ("Eitherway-Deadline", "Until when its answer is of use, in unix milliseconds."),
            ("traceparent", "W3C trace context."),
            ("tracestate", "W3C trace context."),
        ]),
    );
    let answer = [
        ("Eitherway-Reply", "`1`: the answer is from a service of this kind."),
        ("Eitherway-Database", "The id of the database."),
        ("Eitherway-Operation-Id", "The same header of the request."),
        (
            "Eitherway-Truncated",
            "How many entries of a list are left out, because the answer would be too long.",
        ),
    ];
    known.insert("AnswerHeaders".to_owned(), object(&answer));
    let refused = [
        ("Nats-Service-Error", "The reason, in one sentence."),
        ("Nats-Service-Error-Code", "The number of the refusal."),
        ("Eitherway-Refusal", "The code of a refusal of the operation's own, with 499."),
    ];
    known.insert("RefusalHeaders".to_owned(), object(&[&answer[..3], &refused[..]].concat()));
    known
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference;

    #[test]
    fn the_document_of_subjects_is_made_of_the_operations() {
        reference::assert_made("asyncapi.json", &format!("{:#}\n", document(&Namespace::none())));
    }

    #[test]
    fn the_table_of_operations_on_the_page_of_the_wire_is_that_of_the_code() {
        let page = reference::read("wire.md");
        let (_, table) = page.split_once("| operation | subject | kind |").expect("the table");
        let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
        let told: Vec<_> =
            rows.map(|row| row.split('|').map(str::trim).take(4).skip(1).collect::<Vec<_>>()).collect();
        let kinds = Op::SPECS.iter().map(|spec| (spec, format!("{:?}", spec.kind).to_lowercase()));
        let made: Vec<_> =
            kinds.map(|(spec, kind)| (spec.name, format!("`{}`", spec.subject), kind)).collect();
        let made: Vec<_> = made.iter().map(|(name, subject, kind)| vec![*name, subject, kind]).collect();
        let sorted = |mut rows: Vec<Vec<_>>| {
            rows.sort();
            rows
        };
        assert_eq!(sorted(told), sorted(made));
    }

    #[test]
    fn every_operation_is_there_and_its_example_has_the_fields_of_its_payload() {
        let document = document(&"lounge".parse().expect("a namespace"));
        for spec in Op::SPECS {
            let name = spec.name;
            assert_eq!(document["channels"][name]["address"], format!("lounge.{}", spec.subject));
            assert_eq!(document["operations"][name]["channel"]["$ref"], format!("#/channels/{name}"));
            let payload = &document["components"]["messages"][name]["payload"];
            let payload = payload.get("allOf").map_or(payload, |all| &all[0]);
            let named = payload["$ref"].as_str().expect("a type").trim_start_matches('#');
            let fields = document.pointer(named).expect("its schema");
            let example: Map<String, Value> = serde_json::from_str(spec.example).expect("an example");
            for field in example.keys() {
                assert!(fields["properties"].get(field).is_some(), "{name} has no {field}: {fields:#}");
            }
            for field in fields["required"].as_array().into_iter().flatten() {
                assert!(example.contains_key(field.as_str().expect("a name")), "{name} needs {field}");
            }
        }
    }
}
