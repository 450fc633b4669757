//! Traces by OpenTelemetry: each job that ended is a span, its phases are the spans in it.
//!
//! They are made of the job's record when it ends, so that no job ever waits for a collector and none knows of one.
//! Spans are sent in batches by a thread of the SDK's; what a collector does not take in time is dropped, and said.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use lifeboat_plan::schedule::{Job, Outcome, Time};
use opentelemetry::{
    Context, KeyValue,
    trace::{
        Span as _, SpanBuilder, Status, TraceContextExt as _, Tracer as _, TracerProvider as _,
    },
};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{SdkTracer, SdkTracerProvider},
};

use reqwest::{Certificate, blocking::Client};

use crate::{Error, Result, commands};

/// A request may take so long.
const PATIENCE: Duration = Duration::from_secs(5);
/// What is under way at the end gets so long.
const AT_THE_END: Duration = Duration::from_secs(2);

/// Who is sent traces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collector {
    /// `http://127.0.0.1:4318`, or `https://…`.
    pub endpoint: String,
    /// File of authorities (PEM) that may vouch for it, beside the system's.
    pub authority: Option<PathBuf>,
}

/// Where spans go.
pub(crate) struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

impl Traces {
    /// Sends them to a collector. `OTEL_EXPORTER_OTLP_HEADERS` holds as it does elsewhere.
    ///
    /// # Errors
    /// The address or the authorities cannot be used.
    pub fn to(collector: &Collector) -> Result<Self> {
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(place(&collector.endpoint))
            .with_timeout(PATIENCE);
        if let Some(file) = &collector.authority {
            exporter = exporter.with_http_client(trusting(file)?);
        }
        let exporter = exporter
            .build()
            .map_err(|why| Error::Traces(why.to_string()))?;
        let resource = Resource::builder()
            .with_service_name("lifeboat")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_resource(resource)
            .with_batch_exporter(exporter)
            .build();
        let tracer = provider.tracer("lifeboat");
        Ok(Self { provider, tracer })
    }

    /// Tells of a job that ended.
    pub fn ended(&self, job: &Job) {
        let (Some(began), Some(ended), Some(outcome)) = (job.began, job.ended, job.outcome())
        else {
            return;
        };
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let mut attributes = vec![
            KeyValue::new("lifeboat.job", number(job.id)),
            KeyValue::new("lifeboat.outcome", outcome.word()),
            KeyValue::new("lifeboat.files", number(job.files)),
            KeyValue::new("lifeboat.bytes", number(job.bytes)),
            KeyValue::new("lifeboat.bytes_added", number(job.added)),
        ];
        let point = job
            .point
            .clone()
            .map(|id| KeyValue::new("lifeboat.point", id));
        attributes.extend(point);
        let stall = job
            .stall
            .map(|stall| KeyValue::new("lifeboat.stall_ms", number(stall)));
        attributes.extend(stall);
        let first = job
            .phases
            .first()
            .map_or(began, |phase| phase.began.min(began));
        let mut span = self.tracer.build_with_context(
            SpanBuilder::from_name(commands::shown(&job.work))
                .with_start_time(moment(first))
                .with_attributes(attributes),
            &Context::new(),
        );
        match outcome {
            Outcome::Done => span.set_status(Status::Ok),
            Outcome::Failed { why } => span.set_status(Status::error(why.clone())),
            Outcome::Incomplete { why } => span.set_status(Status::error(why.join("; "))),
            other => span.set_status(Status::error(other.word())),
        }
        let within = Context::new().with_remote_span_context(span.span_context().clone());
        let ends = job.phases.iter().skip(1).map(|next| next.began);
        for (phase, end) in job.phases.iter().zip(ends.chain([ended])) {
            let mut part = self.tracer.build_with_context(
                SpanBuilder::from_name(phase.name.clone()).with_start_time(moment(phase.began)),
                &within,
            );
            part.end_with_timestamp(moment(end.max(phase.began)));
        }
        span.end_with_timestamp(moment(ended.max(first)));
    }

    /// Sends what waits.
    pub fn finish(&self) {
        if let Err(why) = self.provider.shutdown_with_timeout(AT_THE_END) {
            tracing::warn!("the last spans were not taken: {why}");
        }
    }
}

fn trusting(file: &Path) -> Result<Client> {
    let unfit = |why: String| Error::Authority(format!("{}: {why}", file.display()));
    let pem = fs_err::read(file).map_err(|why| Error::Authority(why.to_string()))?;
    let all = Certificate::from_pem_bundle(&pem).map_err(|why| unfit(why.to_string()))?;
    if all.is_empty() {
        return Err(unfit("it holds no certificate in PEM".to_owned()));
    }
    Client::builder()
        .timeout(PATIENCE)
        .tls_certs_merge(all)
        .build()
        .map_err(|why| unfit(why.to_string()))
}

/// Where spans are taken, where only the collector is named.
fn place(endpoint: &str) -> String {
    let bare = endpoint.trim_end_matches('/');
    let path = bare.split_once("://").map_or(bare, |(_, rest)| rest);
    match path.contains('/') {
        true => endpoint.to_owned(),
        false => format!("{bare}/v1/traces"),
    }
}

fn moment(at: Time) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(at.0).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_named_with_or_without_the_path() {
        assert_eq!(place("http://c:4318"), "http://c:4318/v1/traces");
        assert_eq!(place("http://c:4318/"), "http://c:4318/v1/traces");
        assert_eq!(
            place("https://c/otlp/v1/traces"),
            "https://c/otlp/v1/traces"
        );
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let to = |endpoint: &str| {
            Traces::to(&Collector {
                endpoint: endpoint.to_owned(),
                authority: None,
            })
        };
        assert!(to("not an address").is_err());
    }
}
