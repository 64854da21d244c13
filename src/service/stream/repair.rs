//! Puts right what was changed by hand: nothing is lost by that, and what cannot be put right is named.

use std::collections::BTreeMap;

use serde_json::Value;

use super::api::StreamInfo;
use super::declare::{CONSUMER, Declaration};
use super::limits;
use super::settings::{self, REPLICAS};
use super::watch::{PREFIX, Watch};
use crate::operation::Operation;
use crate::service::Shared;
use crate::store::Store;

impl Watch {
    pub(super) async fn stream_settings<O: Operation, D: Store<O>>(
        &mut self,
        shared: &Shared<O, D>,
        declaration: &Declaration,
        stream: &StreamInfo,
        found: &mut BTreeMap<String, String>,
    ) {
        let name = &declaration.name;
        for (setting, is, meaning) in settings::for_good(&stream.settings) {
            found.insert(
                format!("{PREFIX}settings.{setting}"),
                format!("the stream {name:?} {is}, and no server takes that back: {meaning}"),
            );
        }
        declaration.note_bundles(&stream.settings);
        let mut wrong = settings::of_stream(&stream.settings, &declaration.stream_beside(&stream.settings));
        // A stream of an older version takes more: that waits for the next declaration.
        let size = |settings: &Value| settings["max_msg_size"].as_i64().filter(|size| *size > 0);
        let smaller =
            size(&stream.settings).zip(size(&declaration.stream())).is_some_and(|(now, ours)| now < ours);
        wrong.retain(|setting| setting != "max_msg_size" || smaller);
        let listed = wrong.join(", ");
        if wrong.is_empty() || self.stubborn.contains(&listed) {
            return;
        }
        match declaration.repair(&shared.api, stream).await {
            Ok(_) => {
                if self.shown.contains_key("settings") && declaration.unchanged(&shared.api, &wrong).await {
                    self.stubborn.push(listed.clone());
                }
                self.show(
                    "settings",
                    format!(
                        "the settings of the stream {name:?} were changed by hand ({listed}), so that events may be lost or refused: \
                         they are put right. What this service lets an operator choose are its options"
                    ),
                );
            }
            Err(e) if wrong == [REPLICAS] => {
                let copies = &declaration.stream()[REPLICAS];
                let help = limits::forbids(&e).map(|help| format!(". To have them, {help}")).unwrap_or_default();
                found.insert(
                    format!("{PREFIX}replicas"),
                    format!("the stream {name:?} is not kept on {copies} servers: {e}{help}"),
                );
            }
            Err(e) => drop(found.insert(
                format!("{PREFIX}settings"),
                format!(
                    "the settings of the stream {name:?} were changed by hand ({listed}), so that events may be lost or refused, and \
                     cannot be put right: {e}. Put them right (nats stream edit {name})"
                ),
            )),
        }
    }

    pub(super) async fn consumer_settings<O: Operation, D: Store<O>>(
        &mut self,
        shared: &Shared<O, D>,
        declaration: &Declaration,
        wrong: Vec<String>,
        found: &mut BTreeMap<String, String>,
    ) {
        let (name, listed) = (&declaration.name, wrong.join(", "));
        if wrong.is_empty() || self.stubborn.contains(&listed) {
            return;
        }
        match declaration.ensure_consumer(&shared.api).await {
            Ok(now) => {
                let left = settings::of_consumer(&now.config, &declaration.consumer());
                if left == wrong {
                    // The server's own, for every consumer.
                    tracing::info!(stream = name, "the server sets {listed} of the consumer; adapting to it");
                    self.stubborn.push(listed);
                    return;
                }
                self.show(
                    "consumer",
                    format!(
                        "the settings of the consumer {CONSUMER:?} of the stream {name:?} were changed by hand ({listed}), so that \
                         events may stay where they are: they are put right"
                    ),
                );
            }
            Err(e) => drop(found.insert(
                format!("{PREFIX}consumer"),
                format!(
                    "the settings of the consumer {CONSUMER:?} of the stream {name:?} were changed by hand ({listed}), and cannot be \
                     put right: {e}. Delete it, and it is created anew (nats consumer rm {name} {CONSUMER})"
                ),
            )),
        }
    }
}
