//! Traces, to a receiver of the OpenTelemetry protocol. Without the feature `otlp` this is a sentence in the log.

mod args;
#[cfg(feature = "otlp")]
mod client;
#[cfg(feature = "otlp")]
mod export;
#[cfg(feature = "otlp")]
mod queue;
#[cfg(feature = "otlp")]
mod sampler;

pub(super) use args::TraceArgs;
#[cfg(feature = "otlp")]
pub(super) use export::Traces;

#[cfg(not(feature = "otlp"))]
pub(super) use without::Traces;

/// What stands in the place of it all.
#[cfg(not(feature = "otlp"))]
mod without {
    use tokio::runtime::Handle;
    use tracing_subscriber::layer::Identity;

    use super::TraceArgs;
    use crate::cli::exit::Failure;

    pub(in crate::cli) struct Traces {
        wanted: bool,
    }

    impl Traces {
        pub(in crate::cli) fn begin(
            wanted: Option<(&TraceArgs, &'static str)>,
            _: &Handle,
        ) -> Result<Self, Failure> {
            Ok(Self { wanted: wanted.is_some_and(|(args, _)| args.otlp_endpoint.is_some()) })
        }

        pub(in crate::cli) fn layer(&self) -> Option<Identity> {
            None
        }

        pub(in crate::cli) fn started(&self) {
            if self.wanted {
                tracing::warn!(
                    "--otlp-endpoint: no traces are sent, because this program was built without the feature `otlp`"
                );
            }
        }

        pub(in crate::cli) fn finish(self) {}
    }
}
