//! Traces by OpenTelemetry: each job that ended is a span, its phases are the spans in it.
//!
//! They are made of the job's record when it ends, so that no job ever waits for a collector and none knows of one.
//! Spans are sent in batches by a thread of the SDK's; what a collector does not take in time is dropped, and said.

use std::time::{Duration, SystemTime};

use lifeboat_plan::schedule::{Job, Outcome, Time};
use opentelemetry::{
    Context, KeyValue,
    trace::{
        Span as _, SpanBuilder, Status, TraceContextExt as _, Tracer as _, TracerProvider as _,
    },
};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{SdkTracer, SdkTracerProvider},
};

use crate::{Error, Result, commands};

/// A request may take so long.
const PATIENCE: Duration = Duration::from_secs(5);
/// What is under way at the end gets so long.
const AT_THE_END: Duration = Duration::from_secs(2);

/// Where spans go.
pub(crate) struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

impl Traces {
    /// Sends them to a collector: `http://127.0.0.1:4318`. `OTEL_EXPORTER_OTLP_HEADERS` holds as it does elsewhere.
    ///
    /// # Errors
    /// The address cannot be used.
    pub fn to(endpoint: &str) -> Result<Self> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(place(endpoint))
            .with_timeout(PATIENCE)
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
        assert!(Traces::to("not an address").is_err());
    }
}
