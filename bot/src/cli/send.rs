//! `rosey send`.

use std::io::Read;
use std::time::Instant;

use super::args::{Global, SendArgs};
use super::exit::{Exit, Failure};
use super::path_stats::millis;
use super::paths::Paths;
use super::{console, shown};
use crate::op::{Op, Request};
use eitherway::__private::wire;
use eitherway::clock;
use eitherway::operation::Operation;
use eitherway::request::OpId;

/// The list of operations, for the help.
pub(super) fn operations_help() -> String {
    let lines = Op::SPECS.iter().map(|spec| format!("  {:<22}{}\n", spec.name, spec.example));
    format!(
        "Examples:\n  rosey send user_joined '{{\"username\":\"alice\"}}'\n  rosey send recent_chat '{{\"limit\":5}}' --json\n\
         \x20 echo '{{\"username\":\"alice\"}}' | rosey send user_left -\n\n\
         Operations, each with an example payload (`timestamp`, unix seconds, is optional in all):\n{}",
        lines.collect::<String>()
    )
}

pub(super) async fn run(global: &Global, args: SendArgs) -> Result<Exit, Failure> {
    let usage = |message: String| Failure::new(Exit::Usage, message);
    let index = Op::NAMES.iter().position(|name| *name == args.operation).ok_or_else(|| {
        usage(format!("there is no operation {:?}; there are: {}", args.operation, Op::NAMES.join(", ")))
    })?;
    let payload = if args.payload == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(|e| usage(format!("stdin: {e}")))?;
        text
    } else {
        args.payload
    };
    let refused = |cause: eitherway::Cause| Failure::of(Exit::Refused, &cause);
    let mut head = wire::head(None, payload.as_bytes(), clock::issue()).map_err(refused)?;
    if let Some(id) = &args.id {
        head.id = OpId::parse(id).map_err(refused)?;
    }
    head.occurred_at = args.at.unwrap_or(head.occurred_at);
    let op = Op::decode(index, payload.as_bytes()).map_err(|invalid| refused(invalid.into()))?;
    let request = Request::with_head(head, op);
    let id = request.head.id.clone();

    let paths = Paths::open_for_one(&args.paths, Op::SPECS[index].kind).await?;
    let start = Instant::now();
    let result = paths.db.send(request).await;
    let took = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
    paths.close().await;
    let reply = result?;
    let answer = Op::encode_answer(reply.answer).map_err(|e| Failure::new(Exit::Failed, e.0))?;
    let answer = String::from_utf8_lossy(&answer);
    if global.json {
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap_or_default();
        let (operation, via, ack) = (args.operation, reply.via.as_str(), reply.ack.as_str());
        let mut said = serde_json::json!({
            "operation": operation, "id": id.to_string(), "via": via, "ack": ack, "micros": took, "answer": answer});
        if reply.omitted > 0 {
            said["omitted"] = reply.omitted.into();
        }
        console::print_json(&said);
    } else {
        let omitted = if reply.omitted > 0 { format!(" omitted={}", reply.omitted) } else { String::new() };
        console::print(format!(
            "{}\nvia={} ack={} time={} id={id}{omitted}",
            shown::json(&answer),
            reply.via,
            reply.ack,
            millis(took).replace(' ', "")
        ));
    }
    Ok(Exit::Ok)
}
