//! A collector of OpenTelemetry, made of the project's own parts: it receives OTLP, and writes spans as lines of JSON.

use std::path::{Path, PathBuf};

use fs_err as fs;

use super::{Server, certificate, free_port};
use crate::Result;
use crate::go::GoTool;

pub(super) const COLLECTOR: GoTool = GoTool {
    program: "otel-collector",
    module: "go.opentelemetry.io/collector/otelcol",
    version: "v0.165.0",
    package: "go.opentelemetry.io/collector/otelcol",
    flags: "",
    main: r#"package main

import (
	"context"
	"log"
	"os"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/fileprovider"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/service/telemetry/otelconftelemetry"
)

func write(_ context.Context, spans ptrace.Traces) error {
	line, err := (&ptrace.JSONMarshaler{}).MarshalTraces(spans)
	if err == nil {
		_, err = os.Stdout.Write(append(line, '\n'))
	}
	return err
}

func factories() (otelcol.Factories, error) {
	lines := component.MustNewType("lines")
	traces := func(ctx context.Context, set exporter.Settings, cfg component.Config) (exporter.Traces, error) {
		return exporterhelper.NewTraces(ctx, set, cfg, write)
	}
	none := func() component.Config { return &struct{}{} }
	written := exporter.NewFactory(lines, none, exporter.WithTraces(traces, component.StabilityLevelStable))
	received := otlpreceiver.NewFactory()
	return otelcol.Factories{
		Receivers: map[component.Type]receiver.Factory{received.Type(): received},
		Exporters: map[component.Type]exporter.Factory{lines: written},
		Telemetry: otelconftelemetry.NewFactory(),
	}, nil
}

func main() {
	resolver := confmap.ResolverSettings{
		URIs:              []string{"file:" + os.Args[1]},
		ProviderFactories: []confmap.ProviderFactory{fileprovider.NewFactory()},
	}
	collector, err := otelcol.NewCollector(otelcol.CollectorSettings{
		BuildInfo:              component.NewDefaultBuildInfo(),
		Factories:              factories,
		ConfigProviderSettings: otelcol.ConfigProviderSettings{ResolverSettings: resolver},
	})
	if err == nil {
		err = collector.Run(context.Background())
	}
	if err != nil {
		log.Fatal(err)
	}
}
"#,
};

/// A collector that listens for OTLP over HTTP.
#[derive(Debug)]
pub struct Collector {
    server: Server,
    log: PathBuf,
    authority: Option<PathBuf>,
}

impl Collector {
    /// Starts one; builds it if it is not in the cache.
    pub fn start(dir: &Path) -> Result<Self> {
        Self::start_as(dir, None)
    }

    /// One that speaks TLS, with a certificate of its own.
    pub fn start_with_tls(dir: &Path) -> Result<Self> {
        Self::start_as(dir, Some(certificate(dir)?))
    }

    fn start_as(dir: &Path, tls: Option<(PathBuf, PathBuf)>) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let port = free_port()?;
        let settings = dir.join("collector.yaml");
        let secure = tls.as_ref().map_or_else(String::new, |(cert, key)| {
            let (cert, key) = (cert.display(), key.display());
            format!("        tls:\n          cert_file: {cert}\n          key_file: {key}\n")
        });
        let text = format!(
            "receivers:\n  otlp:\n    protocols:\n      http:\n        endpoint: 127.0.0.1:{port}\n{secure}exporters:\n  lines:\nservice:\n  telemetry:\n    metrics:\n      level: none\n  pipelines:\n    traces:\n      receivers: [otlp]\n      exporters: [lines]\n"
        );
        fs::write(&settings, text)?;
        let log = dir.join("collector.log");
        let server = Server::start(&COLLECTOR.ensure()?, port, &log, |command| {
            command.arg(&settings);
        })?;
        let authority = tls.map(|(cert, _)| cert);
        Ok(Self {
            server,
            log,
            authority,
        })
    }

    /// What `--otlp` is given.
    #[must_use]
    pub fn endpoint(&self) -> String {
        let scheme = if self.authority.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://127.0.0.1:{}", self.server.port)
    }

    /// The file of the authority that vouches for it, if it speaks TLS.
    #[must_use]
    pub fn authority(&self) -> Option<&Path> {
        self.authority.as_deref()
    }

    /// The batches of spans that it was given, each as OTLP's JSON.
    pub fn batches(&self) -> Result<Vec<serde_json::Value>> {
        let text = fs::read_to_string(&self.log)?;
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let batches = lines.filter(|line: &serde_json::Value| line["resourceSpans"].is_array());
        Ok(batches.collect())
    }
}
