//! The options of traces.

use axum::http::Uri;
use clap::Args;

/// Where the traces of this process go.
#[cfg_attr(not(feature = "otlp"), allow(dead_code, reason = "they are options of every build"))]
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Traces")]
pub(in crate::cli) struct TraceArgs {
    /// Send traces to this receiver of the OpenTelemetry protocol over HTTP, such as http://127.0.0.1:4318; /v1/traces is
    /// appended. Needs a program that was built with the feature `otlp` [default: off]
    #[arg(long, env = "ROSEY_OTLP_ENDPOINT", value_name = "ENDPOINT", value_parser = endpoint)]
    pub(super) otlp_endpoint: Option<String>,
    /// What this process is called in traces [default: rosey-serve, rosey-bot or rosey-up]
    #[arg(long, env = "ROSEY_OTLP_SERVICE_NAME", value_name = "NAME")]
    pub(super) otlp_service_name: Option<String>,
    /// What else traces say of this process: NAME=VALUE, several separated by commas
    #[arg(long, env = "ROSEY_OTLP_ATTRIBUTES", value_name = "LIST", value_parser = attributes)]
    pub(super) otlp_attributes: Option<Attributes>,
    /// The part of the traces beginning here that is recorded, from 0 to 1. Traces that began elsewhere are recorded as was
    /// decided there [default: 1]
    #[arg(long, env = "ROSEY_OTLP_SAMPLE", value_name = "RATIO", value_parser = ratio)]
    pub(super) otlp_sample: Option<f64>,
}

/// Names and values.
pub(super) type Attributes = std::sync::Arc<[(String, String)]>;

/// An address of HTTP.
fn endpoint(text: &str) -> Result<String, String> {
    let uri = text.parse::<Uri>().ok();
    let known = uri.is_some_and(|uri| {
        // What is sent has no name and password: a token belongs into OTEL_EXPORTER_OTLP_HEADERS.
        let named = uri.authority().is_some_and(|to| !to.host().is_empty() && !to.as_str().contains('@'));
        matches!(uri.scheme_str(), Some("http" | "https")) && named
    });
    if known {
        Ok(text.to_owned())
    } else {
        Err("an address such as http://127.0.0.1:4318, without a password".to_owned())
    }
}

/// As `OTEL_RESOURCE_ATTRIBUTES` has them.
fn attributes(text: &str) -> Result<Attributes, String> {
    let parts = text.split(',').filter(|part| !part.trim().is_empty());
    let pair = |part: &str| {
        let (name, value) = part.split_once('=')?;
        let value = percent_encoding::percent_decode_str(value.trim()).decode_utf8().ok()?;
        (!name.trim().is_empty()).then(|| (name.trim().to_owned(), value.into_owned()))
    };
    parts.map(|part| pair(part).ok_or_else(|| "NAME=VALUE, separated by commas".to_owned())).collect()
}

fn ratio(text: &str) -> Result<f64, String> {
    let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.ok_or_else(|| "a number from 0 to 1".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_no_list_or_no_ratio_is_refused() {
        assert!(endpoint("https://[::1]:4318/otlp").is_ok());
        for bad in ["", "localhost:4318", "grpc://host", "http://", "/v1/traces", "http://me:pw@host"] {
            assert!(endpoint(bad).is_err(), "{bad}");
        }
        let list = attributes(" a=1, deployment.environment.name=a%20b ,").expect("a list");
        assert_eq!(
            *list,
            [("a", "1"), ("deployment.environment.name", "a b")].map(|(n, v)| (n.into(), v.into()))
        );
        assert!(attributes("a").is_err() && attributes("=1").is_err());
        assert!(
            ratio("0.25").is_ok() && ratio("1.1").is_err() && ratio("NaN").is_err() && ratio("x").is_err()
        );
    }
}
