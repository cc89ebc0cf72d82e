//! The `OTEL_*` variables that we read ourselves; the SDK reads the others (batches, sampler, resource, headers).
//!
//! One that asks for what is not here ends the start: spans would go nowhere, or elsewhere. One that cannot be read otherwise is
//! told and left aside, as the specification has it.

use std::path::PathBuf;
use std::time::Duration;

use crate::fetch::Url;
use crate::tls::{TlsError, UpstreamTls};

/// OTLP's port for HTTP.
const ENDPOINT: &str = "http://localhost:4318";
/// How long one batch may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Spans that wait.
const QUEUE: usize = 2048;

/// Why there are no spans.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// A value that is not understood, or not here.
    #[error("the variable `{name}` cannot be used: {reason}")]
    Variable {
        /// Which.
        name: &'static str,
        /// Why, without its value where that may hold a secret.
        reason: String,
    },
    /// Certificates.
    #[error("spans cannot be exported over tls: {0}")]
    Tls(#[from] TlsError),
    /// The SDK refused.
    #[error("spans cannot be exported: {0}")]
    Sdk(String),
}

/// What the variables say.
#[derive(Debug)]
pub(super) struct Environment {
    pub endpoint: Url,
    /// The variables name roots or a certificate of our own.
    pub tls: Option<UpstreamTls>,
    pub timeout: Duration,
    pub queue: usize,
    pub propagates: bool,
    /// What we are called; `None`: as OTEL_RESOURCE_ATTRIBUTES says.
    pub name: Option<String>,
}

/// Looks up a variable; one that is empty is not set.
type Look<'l> = &'l dyn Fn(&str) -> Option<String>;

/// That of traces goes before that of all signals.
fn either(look: Look<'_>, [traces, all]: [&'static str; 2]) -> Option<(&'static str, String)> {
    look(traces).map(|value| (traces, value)).or_else(|| look(all).map(|value| (all, value)))
}

/// Reads them; `None`: they turn spans off.
pub(super) fn read(look: Look<'_>) -> Result<Option<Environment>, TraceError> {
    if look("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        tracing::info!("`OTEL_SDK_DISABLED` is true: no spans are made");
        return Ok(None);
    }
    match look("OTEL_TRACES_EXPORTER").as_deref() {
        None | Some("otlp") => {}
        Some("none") => {
            tracing::info!("`OTEL_TRACES_EXPORTER` is none: no spans are made");
            return Ok(None);
        }
        Some(_) => return Err(refused("OTEL_TRACES_EXPORTER", "write otlp or none")),
    }
    let protocol = either(look, ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"]);
    if let Some((name, value)) = protocol
        && value != "http/protobuf"
    {
        return Err(refused(name, "http/protobuf is the one protocol that is spoken, by default on port 4318"));
    }
    let compression = either(look, ["OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"]);
    if let Some((name, value)) = compression
        && !["none", "gzip"].iter().any(|known| value.eq_ignore_ascii_case(known))
    {
        return Err(refused(name, "write gzip or none"));
    }
    Ok(Some(Environment {
        endpoint: endpoint(look)?,
        tls: tls(look)?,
        timeout: timeout(look),
        queue: queue(look),
        propagates: propagates(look),
        name: name(look),
    }))
}

fn name(look: Look<'_>) -> Option<String> {
    let among = |all: String| all.split(',').any(|one| one.trim_start().starts_with("service.name="));
    let named = look("OTEL_RESOURCE_ATTRIBUTES").is_some_and(among);
    look("OTEL_SERVICE_NAME").or_else(|| (!named).then(|| "tagwarden".to_owned()))
}

/// That of traces is taken as it is; to that of all signals `/v1/traces` is added.
fn endpoint(look: Look<'_>) -> Result<Url, TraceError> {
    let found = either(look, ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"]);
    let (name, value) = found.unwrap_or(("OTEL_EXPORTER_OTLP_ENDPOINT", ENDPOINT.to_owned()));
    let whole = match name {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" => value,
        _ => format!("{}/v1/traces", value.trim_end_matches('/')),
    };
    Url::parse(&whole).map_err(|error| TraceError::Variable { name, reason: error.to_string() })
}

fn tls(look: Look<'_>) -> Result<Option<UpstreamTls>, TraceError> {
    let path = |names| either(look, names).map(|(_, value)| PathBuf::from(value));
    let ca = path(["OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"]);
    let cert = path(["OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"]);
    let key = path(["OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "OTEL_EXPORTER_OTLP_CLIENT_KEY"]);
    let client = match (cert, key) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        (Some(_), None) => return Err(refused("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "its key is not given")),
        (None, Some(_)) => return Err(refused("OTEL_EXPORTER_OTLP_CLIENT_KEY", "its certificate is not given")),
    };
    let any = ca.is_some() || client.is_some();
    Ok(any.then_some(UpstreamTls { ca, client, server_name: None }))
}

fn timeout(look: Look<'_>) -> Duration {
    let found = either(look, ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"]);
    let Some((name, value)) = found else { return TIMEOUT };
    value.parse().map(Duration::from_millis).unwrap_or_else(|_| {
        tracing::warn!(variable = name, "not a number of milliseconds: left aside");
        TIMEOUT
    })
}

fn queue(look: Look<'_>) -> usize {
    let Some(value) = look("OTEL_BSP_MAX_QUEUE_SIZE") else { return QUEUE };
    value.parse().ok().filter(|size| *size > 0).unwrap_or_else(|| {
        tracing::warn!(variable = "OTEL_BSP_MAX_QUEUE_SIZE", "not a number of spans: left aside");
        QUEUE
    })
}

/// `baggage` needs nothing: it passes like any other header.
fn propagates(look: Look<'_>) -> bool {
    let Some(names) = look("OTEL_PROPAGATORS") else { return true };
    let mut context = false;
    for name in names.split(',').map(str::trim) {
        match name {
            "tracecontext" => context = true,
            "baggage" | "none" => {}
            _ => tracing::warn!(variable = "OTEL_PROPAGATORS", "only tracecontext and baggage are known: left aside"),
        }
    }
    context
}

/// Tells what the SDK will not, of variables that it reads: it takes its default for what it does not know.
pub(super) fn tell(look: Look<'_>) {
    let aside = |variable: &'static str, known: &'static str| tracing::warn!(variable, known, "left aside");
    let sampler = look("OTEL_TRACES_SAMPLER");
    match sampler.as_deref() {
        None | Some("always_on" | "always_off" | "parentbased_always_on" | "parentbased_always_off") => {}
        Some("traceidratio" | "parentbased_traceidratio") => {
            let share = look("OTEL_TRACES_SAMPLER_ARG").and_then(|share| share.parse::<f64>().ok());
            if !share.is_some_and(|share| (0.0..=1.0).contains(&share)) {
                aside("OTEL_TRACES_SAMPLER_ARG", "0.0 to 1.0");
            }
        }
        Some(_) => aside("OTEL_TRACES_SAMPLER", "always_on, always_off, traceidratio, each also with parentbased_"),
    }
    for variable in ["OTEL_BSP_SCHEDULE_DELAY", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"] {
        if look(variable).is_some_and(|value| value.parse::<u64>().is_err()) {
            aside(variable, "a number");
        }
    }
}

fn refused(name: &'static str, reason: &str) -> TraceError {
    TraceError::Variable { name, reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Option<Environment>, TraceError> {
        read(&|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    fn some(variables: &[(&str, &str)]) -> Environment {
        of(variables).unwrap().unwrap()
    }

    #[test]
    fn what_is_not_set_is_as_the_specification_has_it() {
        let all = some(&[]);
        assert_eq!(all.endpoint.to_string(), "http://localhost:4318/v1/traces");
        assert_eq!((all.timeout, all.queue), (TIMEOUT, QUEUE));
        assert!(all.tls.is_none() && all.propagates);
        assert_eq!(all.name.as_deref(), Some("tagwarden"));
    }

    #[test]
    fn two_variables_turn_spans_off() {
        for (name, value) in
            [("OTEL_SDK_DISABLED", "true"), ("OTEL_SDK_DISABLED", "TRUE"), ("OTEL_TRACES_EXPORTER", "none")]
        {
            assert!(of(&[(name, value)]).unwrap().is_none(), "{name}");
        }
        some(&[("OTEL_SDK_DISABLED", "false"), ("OTEL_TRACES_EXPORTER", "otlp")]);
    }

    #[test]
    fn an_endpoint_of_traces_is_taken_as_it_is() {
        let all = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://c.example:4318/base/");
        assert_eq!(some(&[all]).endpoint.to_string(), "https://c.example:4318/base/v1/traces");
        let traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t.example/x");
        assert_eq!(some(&[all, traces]).endpoint.to_string(), "http://t.example/x");
    }

    #[test]
    fn the_variable_of_traces_goes_before_that_of_all_signals() {
        let timeout = |traces| {
            some(&[("OTEL_EXPORTER_OTLP_TIMEOUT", "7"), ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", traces)]).timeout
        };
        assert_eq!(timeout("9"), Duration::from_millis(9));
        assert_eq!(timeout("nine"), TIMEOUT);
        let protocols =
            [("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf")];
        some(&protocols);
    }

    #[test]
    fn what_would_go_nowhere_is_refused_and_no_value_is_shown() {
        for (name, value, told) in [
            ("OTEL_TRACES_EXPORTER", "zipkin", "write otlp or none"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/protobuf is the one protocol"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "http/protobuf is the one protocol"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "write gzip or none"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:secret@c.example", "a user or a password"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "cannot be used"),
            ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "k.pem", "its certificate is not given"),
        ] {
            let error = of(&[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(told) && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_name_of_ours_is_not_replaced() {
        let both = [("OTEL_SERVICE_NAME", "x"), ("OTEL_RESOURCE_ATTRIBUTES", "a=b, service.name=y")];
        assert_eq!(some(&both).name.as_deref(), Some("x"));
        assert_eq!(some(&both[1..]).name, None);
    }

    #[test]
    fn propagators_but_ours_are_left_aside() {
        for (names, ours) in
            [("tracecontext,baggage", true), ("b3, tracecontext", true), ("baggage", false), ("none", false)]
        {
            assert_eq!(some(&[("OTEL_PROPAGATORS", names)]).propagates, ours, "{names}");
        }
    }
}
