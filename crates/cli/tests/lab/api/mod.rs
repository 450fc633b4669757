//! The API of a real agent over a real engine, asked by curl: over the socket and over TLS.

mod access;
mod doing;
mod interrupted;
mod orders;
mod prometheus;
mod restoring;
mod soak;
mod through;
mod wrong;

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use lifeboat_testkit::{certificates, engine::PrivateEngine, images, packages};
use serde_json::{Value, json};

use crate::support::{Lab, PATIENCE};

/// An agent with its API on the network, tokens, and apps to ask about.
pub struct Served {
    pub engine: PrivateEngine,
    // After the engine: its files lie in there.
    pub lab: Lab,
    pub at: String,
    agent: Option<Child>,
}

/// Who asks.
#[derive(Clone, Copy)]
pub enum Via<'a> {
    /// Root, over the socket.
    Socket,
    /// The owner of a token, over TLS.
    Token(&'a str),
    /// Nobody, over TLS.
    Nobody,
}

/// What was answered.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    pub fn header(&self, name: &str) -> Option<String> {
        let mut lines = self.head.lines();
        lines.find_map(|line| {
            let (is, value) = line.split_once(':')?;
            is.eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        })
    }

    /// It is a problem of this status, and its sentence holds these words.
    pub fn refused(&self, status: u16, words: &str) -> Value {
        assert_eq!(self.status, status, "{} {}", self.head, self.body);
        let kind = self.header("content-type").unwrap();
        assert_eq!(kind, "application/problem+json", "{}", self.body);
        let problem = self.json();
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(words), "{detail}");
        assert_eq!(problem["status"], status);
        assert!(
            problem["type"]
                .as_str()
                .unwrap()
                .starts_with("urn:lifeboat:problem:")
        );
        problem
    }
}

impl Served {
    /// Starts engine, apps, and the agent with these arguments more.
    pub fn start(args: &[&str], settings: &str) -> Self {
        packages::ensure(&[("curl", "asks the API")]).unwrap();
        let lab = Lab::new();
        let engine = lab.engine("a");
        images::busybox().unwrap().load(&engine).unwrap();
        lab.init();
        fs_err::write(lab.path("etc/lifeboat.toml"), settings).unwrap();
        let local = std::net::Ipv4Addr::LOCALHOST.into();
        certificates::make(&lab.path("certs"), local).unwrap();
        let free = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let mut served = Self {
            lab,
            engine,
            at: free.to_string(),
            agent: None,
        };
        served.begin(args);
        served
    }

    /// As a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            agent.kill().unwrap();
            agent.wait().unwrap();
        }
    }

    pub fn begin(&mut self, args: &[&str]) {
        self.begin_with(args, &[]);
    }

    /// The same with these variables, which its jobs inherit.
    pub fn begin_with(&mut self, args: &[&str], environment: &[(&str, &Path)]) {
        let log = fs_err::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.lab.path("agent.log"))
            .unwrap();
        let (cert, key) = (
            self.lab.path("certs/server/cert.pem"),
            self.lab.path("certs/server/key.pem"),
        );
        let mut command = self
            .lab
            .command(Some(&self.engine), &["agent", "--api-listen", &self.at]);
        command
            .arg("--api-cert")
            .arg(cert)
            .arg("--api-key")
            .arg(key)
            .args(args)
            .envs(environment.iter().copied());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.into_parts().0);
        self.agent = Some(command.spawn().unwrap());
        self.until("the agent answers", || {
            let answer = self.ask(Via::Socket, "GET", "/status", None);
            answer.status == 200 && answer.json()["connected"] == true
        });
    }

    /// Makes a token and says it.
    pub fn token(&self, name: &str, args: &[&str]) -> String {
        let words = [&["token", "add", name], args].concat();
        let made = self.lab.run(None, &words, 0);
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    }

    /// curl, pointed at the agent.
    pub fn curl(&self, via: Via) -> Command {
        let mut command = Command::new("curl");
        command.args(["-sS", "-i", "--max-time", "40"]);
        match via {
            Via::Socket => {
                command.arg("--unix-socket").arg(self.socket());
            }
            Via::Token(token) => {
                command
                    .arg("-H")
                    .arg(format!("Authorization: Bearer {token}"));
            }
            Via::Nobody => {}
        }
        command.arg("--cacert").arg(self.authority());
        command
    }

    pub fn socket(&self) -> PathBuf {
        self.lab.path("state/agent/socket")
    }

    /// Who vouches for the agent.
    pub fn authority(&self) -> PathBuf {
        self.lab.path("certs/nobody/ca.pem")
    }

    pub fn url(&self, via: Via, path: &str) -> String {
        match via {
            Via::Socket => format!("http://lifeboat/api/v1{path}"),
            _ => format!("https://{}/api/v1{path}", self.at),
        }
    }

    /// Asks, with a body where there is one.
    pub fn ask(&self, via: Via, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.ask_with(via, method, path, body, &[])
    }

    /// The same with more arguments of curl.
    pub fn ask_with(
        &self,
        via: Via,
        method: &str,
        path: &str,
        body: Option<&Value>,
        args: &[&str],
    ) -> Answer {
        let mut command = self.curl(via);
        command.args(["--path-as-is", "-X", method]).args(args);
        if let Some(body) = body {
            command.args(["-H", "Content-Type: application/json", "--data-binary"]);
            command.arg(body.to_string());
        }
        answer(&command.arg(self.url(via, path)).output().unwrap())
    }

    pub fn until(&self, what: &str, is: impl FnMut() -> bool) {
        let log = self.lab.path("agent.log");
        until(
            what,
            || fs_err::read_to_string(&log).unwrap_or_default(),
            is,
        );
    }

    /// An app that does nothing, with data and these labels.
    pub fn app(&self, name: &str, labels: &Value, script: &str) {
        let body = json!({
            "Image": "lifeboat/busybox:latest",
            "Cmd": ["sh", "-c", format!("{script}; sleep 1000")],
            "Env": ["DB_PASSWORD=s3cret"],
            "Labels": labels,
            "HostConfig": {"Binds": [format!("{name}_data:/data")]},
        });
        self.engine.api().create_container(name, &body).unwrap();
        let start = format!("/containers/{name}/start");
        self.engine.api().post(&start, &json!({})).unwrap();
        let path = format!("/apps/{name}");
        self.until("the app is known", || {
            self.ask(Via::Socket, "GET", &path, None).status == 200
        });
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            let _ = agent.kill();
            let _ = agent.wait();
        }
    }
}

pub fn until(what: &str, log: impl Fn() -> String, mut is: impl FnMut() -> bool) {
    let clock = Instant::now();
    while !is() {
        assert!(clock.elapsed() < PATIENCE, "{what}: {}", log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What curl printed with `-i`.
pub fn answer(output: &Output) -> Answer {
    let text = String::from_utf8_lossy(&output.stdout).replace('\r', "");
    let mut rest = text.as_str();
    // `100 Continue` is not the answer.
    while let Some(("HTTP/1.1 100 Continue", after)) = rest.split_once("\n\n") {
        rest = after;
    }
    let (head, body) = rest.split_once("\n\n").unwrap_or((rest, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Answer {
        status: status.unwrap_or(0),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}
