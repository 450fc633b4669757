//! A real Prometheus reads the figures over TLS with a token; our rules fire in it, the dashboard's queries run in it.

use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
};

use lifeboat_testkit::packages;
use serde_json::{Value, json};

use super::{Served, Via};

struct Prometheus(Child, String);

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Prometheus {
    fn start(served: &Served, token: &str) -> Self {
        packages::ensure(&[("prometheus", "reads our figures")]).unwrap();
        let lab = &served.lab;
        let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy");
        let rules = deploy
            .join("prometheus/lifeboat-rules.yaml")
            .canonicalize()
            .unwrap();
        fs_err::write(lab.path("token"), token).unwrap();
        let settings = json!({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [rules],
            "scrape_configs": [{
                "job_name": "lifeboat",
                "scheme": "https",
                "metrics_path": "/api/v1/metrics",
                "authorization": {"credentials_file": lab.path("token")},
                "tls_config": {"ca_file": served.authority()},
                "static_configs": [{"targets": [served.at]}],
            }],
        });
        // YAML is JSON too.
        let file = lab.path("prometheus.yml");
        fs_err::write(&file, settings.to_string()).unwrap();
        let checked = Command::new("promtool")
            .args(["check", "config"])
            .arg(&file)
            .output();
        let checked = checked.unwrap();
        assert!(
            checked.status.success(),
            "{}",
            String::from_utf8_lossy(&checked.stderr)
        );
        let free = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let log = fs_err::File::create(lab.path("prometheus.log")).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                lab.path("tsdb").display()
            ))
            .arg(format!("--web.listen-address={free}"))
            .stdout(Stdio::null())
            .stderr(log.into_parts().0)
            .spawn()
            .unwrap();
        Self(child, free.to_string())
    }

    fn ask(&self, path: &str, query: Option<&str>) -> Value {
        let mut command = Command::new("curl");
        command.args(["-sS", "-G", "--max-time", "5"]);
        if let Some(query) = query {
            command
                .arg("--data-urlencode")
                .arg(format!("query={query}"));
        }
        let output = command
            .arg(format!("http://{}/api/v1/{path}", self.1))
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }
}

/// Grafana is not to be had here; its own library reads the dashboard strictly instead.
#[test]
fn the_dashboard_is_one_by_grafanas_own_schema() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/grafana/lifeboat.json");
    let dashboard: Value = serde_json::from_slice(&fs_err::read(&file).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().len();
    assert_eq!(lifeboat_testkit::grafana::check(&file).unwrap(), panels);
    // A slip is found, in a panel as well.
    let dir = tempfile::tempdir().unwrap();
    let wrong = dir.path().join("wrong.json");
    let mut slipped = dashboard;
    slipped["panels"][0]["tittle"] = json!("x");
    slipped["panels"][6]["gridPos"]["w"] = json!("wide");
    fs_err::write(&wrong, slipped.to_string()).unwrap();
    let said = lifeboat_testkit::grafana::check(&wrong)
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("tittle") && said.contains("gridPos.w"),
        "{said}"
    );
}

#[test]
fn soak_prometheus_reads_figures_and_its_rules_fire() {
    let served = Served::start(&[], "");
    served.app("kept", &json!({}), "true");
    let points = || served.ask(Via::Socket, "GET", "/points", None).json()["items"].clone();
    served.until("the first point", || {
        points().as_array().is_some_and(|p| !p.is_empty())
    });
    let token = served.token("prometheus", &["--role", "viewer"]);
    let prometheus = Prometheus::start(&served, &token);
    served.until("it reads", || {
        let up = prometheus.ask("query", Some("up"));
        up["data"]["result"][0]["value"][1] == "1"
    });

    // The dashboard's queries: all run, and those that every host has something for give something.
    let dashboard =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/grafana/lifeboat.json");
    let dashboard: Value = serde_json::from_slice(&fs_err::read(dashboard).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().unwrap());
    // Nobody stated an RTO, and no message was lost.
    let may_be_empty = |query: &str| query.contains("rto_target") || query.contains("undelivered");
    for target in targets {
        let query = target["expr"].as_str().unwrap().replace("$app", ".*");
        // A rate needs figures of more than one moment.
        served.until(&query, || {
            let answer = prometheus.ask("query", Some(&query));
            assert_eq!(answer["status"], "success", "{query}: {answer}");
            let found = answer["data"]["result"].as_array().unwrap();
            !found.is_empty() || may_be_empty(&query)
        });
    }

    // The vault is gone, and an RPO is missed.
    fs_err::rename(served.lab.vault(), served.lab.path("away")).unwrap();
    served.app("missed", &json!({"lifeboat.rpo": "8s"}), "true");
    let fires = |name: &str| {
        let alerts = prometheus.ask("alerts", None);
        let alerts = alerts["data"]["alerts"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        alerts.iter().any(|alert| {
            let is = alert["labels"]["alertname"] == name && alert["state"] == "firing";
            is && alert["labels"]["app"] == "default/lab/missed"
        })
    };
    served.until("at risk", || {
        fires("LifeboatRpoAtRisk") || fires("LifeboatRpoMissed")
    });
    served.until("missed", || fires("LifeboatRpoMissed"));
    let status = served.lab.run(None, &["status"], 20);
    let status = String::from_utf8(status.stdout).unwrap();
    let line = status.lines().find(|line| line.contains("OVERDUE"));
    assert!(line.is_some_and(|line| line.starts_with("!!")), "{status}");
}
