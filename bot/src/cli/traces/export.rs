//! From the spans of this process to the receiver.

use std::env;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider};
use tokio::runtime::Handle;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::registry::LookupSpan;

use super::TraceArgs;
use super::client::Client;
use super::queue::{Bounded, Counted, Sent};
use super::sampler::Linked;
use crate::cli::environment;
use crate::cli::exit::{Exit, Failure};
use eitherway::trace;

/// As long takes the end of the process for the last spans.
const LAST: Duration = Duration::from_secs(3);

/// As many spans wait to be sent.
const MOST: usize = 2048;

/// The traces of this process, until it ends.
pub(in crate::cli) struct Traces(Option<Exporting>);

struct Exporting {
    provider: SdkTracerProvider,
    endpoint: String,
    sent: Arc<Sent>,
}

impl Traces {
    /// Prepares to send them, if an option or a variable says where to.
    ///
    /// # Errors
    /// The endpoint, or its certificate, cannot be used.
    pub(in crate::cli) fn begin(
        wanted: Option<(&TraceArgs, &'static str)>,
        runtime: &Handle,
    ) -> Result<Self, Failure> {
        let off = environment::flag("OTEL_SDK_DISABLED")
            || environment::text("OTEL_TRACES_EXPORTER").is_some_and(|exporter| exporter == "none");
        let Some((args, name)) = wanted.filter(|_| !off) else { return Ok(Self(None)) };
        let Some(endpoint) = endpoint(args) else { return Ok(Self(None)) };
        let failed = |why: String| Failure::new(Exit::Usage, format!("--otlp-endpoint {endpoint}: {why}"));
        let sent = Arc::new(Sent::new(endpoint.clone()));
        let certificate = ["OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"];
        let certificate = certificate.into_iter().find_map(environment::text).map(PathBuf::from);
        let client = Client::new(&endpoint, certificate.as_deref(), runtime.clone(), Arc::clone(&sent));
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client.map_err(|e| failed(e.to_string()))?)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(&endpoint)
            .build()
            .map_err(|e| failed(e.to_string()))?;
        let most = environment::text("OTEL_BSP_MAX_QUEUE_SIZE").and_then(|most| most.parse().ok());
        let most = most.filter(|most| *most > 0).unwrap_or(MOST);
        let batches = BatchSpanProcessor::builder(Counted::new(exporter, Arc::clone(&sent)))
            .with_batch_config(BatchConfigBuilder::default().with_max_queue_size(most).build())
            .build();
        let provider = SdkTracerProvider::builder()
            .with_resource(resource(args, name))
            .with_sampler(Linked::new(ratio(args)))
            .with_span_processor(Bounded::new(batches, most, Arc::clone(&sent)))
            .build();
        Ok(Self(Some(Exporting { provider, endpoint, sent })))
    }

    /// What takes the spans out of `tracing`; none, if there is nowhere to send them.
    pub(in crate::cli) fn layer<S>(&self) -> Option<impl Layer<S> + use<S>>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let Exporting { provider, .. } = self.0.as_ref()?;
        let layer = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("rosey"))
            .with_context_activation(false)
            .with_tracked_inactivity(false)
            .with_threads(false)
            .with_location(false)
            .with_target(false);
        Some(layer.with_filter(filter_fn(is_wanted).with_max_level_hint(LevelFilter::DEBUG)))
    }

    /// Begins to record, once the log has started.
    pub(in crate::cli) fn started(&self) {
        if let Some(Exporting { endpoint, .. }) = &self.0 {
            // There is none before: a process starts its log once.
            let _ = trace::set_tracer(trace::OpenTelemetry);
            tracing::info!("traces are sent to {endpoint}");
        }
    }

    /// Sends what waits, within a limit. What does not get through then is lost, and told.
    pub(in crate::cli) fn finish(self) {
        if let Some(Exporting { provider, sent, .. }) = self.0 {
            let ended = provider.shutdown_with_timeout(LAST);
            sent.end(ended.is_ok());
        }
    }
}

/// The spans of ours, and of what the log tells within them what is no detail.
fn is_wanted(place: &Metadata<'_>) -> bool {
    let target = place.target();
    target == trace::TARGET
        || place.is_event()
            && *place.level() <= Level::INFO
            && (target.starts_with("eitherway") || target.starts_with("rosey"))
}

/// Where the traces go: as the option says, or the variable for traces alone, which names the whole address.
fn endpoint(args: &TraceArgs) -> Option<String> {
    let base = args.otlp_endpoint.as_deref().map(|base| format!("{}/v1/traces", base.trim_end_matches('/')));
    base.or_else(|| environment::text("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))
}

/// What the receiver is told of this process.
fn resource(args: &TraceArgs, name: &'static str) -> Resource {
    let said = args.otlp_attributes.iter().flat_map(|attributes| attributes.iter().cloned());
    let resource = Resource::builder()
        .with_service_name(name)
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("process.pid", i64::from(std::process::id())))
        .with_attributes(said.map(|(name, value)| KeyValue::new(name, value)));
    match &args.otlp_service_name {
        Some(name) => resource.with_service_name(name.clone()),
        None => resource,
    }
    .build()
}

/// The part of the traces that is recorded: as the option says, or the variables of the specification.
fn ratio(args: &TraceArgs) -> f64 {
    let of_variables = || {
        let sampler = env::var("OTEL_TRACES_SAMPLER").ok()?;
        let sampler = sampler.strip_prefix("parentbased_").unwrap_or(&sampler);
        match sampler {
            "always_off" => Some(0.0),
            "traceidratio" => environment::text("OTEL_TRACES_SAMPLER_ARG")?.parse().ok(),
            _ => None,
        }
    };
    args.otlp_sample.or_else(of_variables).unwrap_or(1.0)
}
