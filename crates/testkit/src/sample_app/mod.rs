//! The sample app `shop`: what a small company might run, with an oracle.
//!
//! PostgreSQL and Redis keep what a worker writes; the worker remembers in a bind mount, outside the
//! databases, which rows were acknowledged and when. Whoever recovers the app is measured by that:
//! every row acknowledged before the recovery point's instant has to be there.
//!
//! Beside the data the app uses about everything that can be said of a container, so that
//! [`SampleApp::fingerprint`] before and after tells what a recovery forgot: `definitions.rs` is the list.
//! It is created through the API with the labels that Docker Compose would set.

pub mod client;
mod definitions;
mod fingerprint;
mod oracle;

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fs_err as fs;
use serde_json::{Value, json};

use crate::api::{Client, text};
use crate::engine::PrivateEngine;
use crate::images::{self, Image};
use crate::{Error, Result};

pub use fingerprint::diff;
pub use oracle::{Acked, Recovered};

/// The Compose project, and so the app's name.
pub const PROJECT: &str = "shop";
/// Its containers, in the order of their dependencies.
pub const CONTAINERS: &[&str] = &[DB, CACHE, MIGRATE, WORKER, WEB];
/// PostgreSQL.
pub const DB: &str = "shop-db-1";
/// Redis.
pub const CACHE: &str = "shop-cache-1";
/// What ran once and is stopped.
pub const MIGRATE: &str = "shop-migrate-1";
/// What writes the numbered rows.
pub const WORKER: &str = "shop-worker-1";
/// The web front.
pub const WEB: &str = "shop-web-1";
/// A volume of the project that no container uses.
pub const ARCHIVE: &str = "shop_archive";
/// A volume that no container uses and no label claims: an app of its own.
pub const ATTIC: &str = "attic";
/// Where the web front is published, in the engine's network.
pub const WEB_PORT: u16 = 18080;
/// Where the database listens, in the engine's network.
pub const DB_ADDRESS: Ipv4Addr = Ipv4Addr::new(172, 28, 5, 10);
/// What must never be seen in a log, an error or `app.json`.
pub const SECRET: &str = "correct-horse-battery-staple";

const READY_WITHIN: Duration = Duration::from_secs(90);

/// The app's files on the host; its containers are in an engine.
#[derive(Debug, Clone)]
pub struct SampleApp {
    dir: PathBuf,
    services: Image,
    busybox: Image,
}

impl SampleApp {
    /// Loads the images, creates the app in an engine and starts it. Its bind mounts and its project
    /// folder go into `dir`, which is made.
    pub fn create(engine: &PrivateEngine, dir: &Path) -> Result<Self> {
        let mut app = Self {
            dir: std::path::absolute(dir)?,
            services: images::services()?,
            busybox: images::busybox()?,
        };
        app.services.load(engine)?;
        app.busybox.load(engine)?;
        app.make_files()?;
        let api = engine.api();
        // What Compose notes is the engine's own id, which is another one in containerd's store.
        for image in [&mut app.services, &mut app.busybox] {
            let here = api.get(&format!("/images/{}/json", image.reference()))?;
            text(&here, "/Id")?.clone_into(&mut image.id);
        }
        for volume in definitions::volumes() {
            api.post("/volumes/create", &volume)?;
        }
        for network in definitions::networks() {
            api.post("/networks/create", &network)?;
        }
        for (name, definition) in app.definitions() {
            api.create_container(name, &definition)?;
        }
        app.connect_web(&api)?;
        definitions::put_worker_file(&api)?;
        app.fill_quiet_volumes(engine)?;
        api.post(&format!("/containers/{MIGRATE}/start"), &Value::Null)?;
        api.post(&format!("/containers/{MIGRATE}/wait"), &Value::Null)?;
        app.start(engine)?;
        Ok(app)
    }

    /// Starts what should run and does not, dependencies first. (After a crash, Docker 20.10 itself
    /// leaves a container stopped that is to run unless stopped.)
    pub fn start(&self, engine: &PrivateEngine) -> Result<()> {
        let api = engine.api();
        for name in [DB, CACHE, WORKER, WEB] {
            api.post(&format!("/containers/{name}/start"), &Value::Null)?;
            if name == DB {
                wait_healthy(&api, name)?;
            }
        }
        Ok(())
    }

    /// Where the app's files on the host are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The file in which the worker remembers what was acknowledged.
    pub fn acked_log(&self) -> PathBuf {
        self.dir.join("acked/log")
    }

    /// The images that it runs.
    pub fn images(&self) -> [&Image; 2] {
        [&self.services, &self.busybox]
    }

    /// Waits until everything answers: the database is healthy, the worker appends, the web front
    /// serves its page.
    pub fn wait_ready(&self, engine: &PrivateEngine) -> Result<()> {
        let api = engine.api();
        wait_healthy(&api, DB)?;
        let before = self.acked()?.len();
        let end = Instant::now() + READY_WITHIN;
        loop {
            let grows = self.acked()?.len() >= before + 3;
            let serves = engine
                .http_get(IpAddr::V4(Ipv4Addr::LOCALHOST), WEB_PORT, "/index.html")
                .is_ok_and(|(status, body)| status == 200 && body.contains("shop"));
            if grows && serves {
                return Ok(());
            }
            if Instant::now() >= end {
                let said = |name| api.logs(name).unwrap_or_default();
                return Err(Error::Timeout {
                    what: format!("the sample app (worker appends: {grows}, web serves: {serves})"),
                    seconds: READY_WITHIN.as_secs(),
                    hint: format!("worker: {}\nweb: {}", said(WORKER), said(WEB)),
                });
            }
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// Removes the app from an engine, volumes included. Its files on the host stay.
    pub fn remove(&self, engine: &PrivateEngine) -> Result<()> {
        let api = engine.api();
        for name in CONTAINERS.iter().rev() {
            ignore_missing(api.delete(&format!("/containers/{name}?force=1&v=1")))?;
        }
        for volume in definitions::volumes() {
            ignore_missing(api.delete(&format!("/volumes/{}", text(&volume, "/Name")?)))?;
        }
        for network in definitions::networks() {
            ignore_missing(api.delete(&format!("/networks/{}", text(&network, "/Name")?)))?;
        }
        Ok(())
    }

    /// Removes the app's files on the host, as a lost disk would.
    pub fn remove_files(&self) -> Result<()> {
        Ok(fs::remove_dir_all(&self.dir)?)
    }

    /// Labels the app as it runs: the web front is made again with these labels, as Docker Compose does after its file
    /// was changed. The other containers and all data stay as they are.
    pub fn label(&self, engine: &PrivateEngine, labels: &[(&str, &str)]) -> Result<()> {
        let api = engine.api();
        let mut definitions = self.definitions().into_iter();
        let Some((name, mut definition)) = definitions.find(|(name, _)| *name == WEB) else {
            return Err(Error::malformed("the sample app", WEB));
        };
        for (label, value) in labels {
            definition["Labels"][label] = json!(value);
        }
        api.delete(&format!("/containers/{name}?force=1"))?;
        api.create_container(name, &definition)?;
        self.connect_web(&api)?;
        api.post(&format!("/containers/{name}/start"), &Value::Null)?;
        Ok(())
    }

    fn make_files(&self) -> Result<()> {
        for part in ["acked", "web", "project"] {
            fs::create_dir_all(self.dir.join(part))?;
        }
        fs::write(
            self.dir.join("web/index.html"),
            "<h1>shop</h1>\n<p>It is open.</p>\n",
        )?;
        fs::write(self.dir.join("project/.env"), "COLOUR=blue\n")?;
        let compose = definitions::compose_file(&self.services, &self.busybox);
        fs::write(self.dir.join("project/compose.yaml"), compose)?;
        Ok(())
    }

    fn connect_web(&self, api: &Client) -> Result<()> {
        let body = json!({
            "Container": WEB,
            "EndpointConfig": {"Aliases": ["web", "front"], "IPAMConfig": {"IPv4Address": "172.28.5.80"}},
        });
        let path = format!("/networks/{}/connect", definitions::BACKEND);
        api.post(&path, &body).map(drop)
    }

    /// Puts files into the volumes that nothing writes to, so that their content can be compared.
    fn fill_quiet_volumes(&self, engine: &PrivateEngine) -> Result<()> {
        for name in fingerprint::quiet_volumes(&engine.api())? {
            let dir = engine.volume_path(&name)?;
            fs::create_dir(dir.join("empty"))?;
            let note = dir.join("note");
            fs::write(&note, format!("kept in a volume of {PROJECT}\n"))?;
            fs::os::unix::fs::symlink("note", dir.join("link"))?;
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(&note, std::fs::Permissions::from_mode(0o640))?;
            std::os::unix::fs::lchown(&note, Some(1234), Some(5678))?;
        }
        Ok(())
    }
}

/// Waits until the engine calls a container healthy.
pub fn wait_healthy(api: &Client, name: &str) -> Result<()> {
    let end = Instant::now() + READY_WITHIN;
    loop {
        let state = api.get(&format!("/containers/{name}/json"))?["State"].take();
        if state["Health"]["Status"] == "healthy" {
            return Ok(());
        }
        if Instant::now() >= end || state["Status"] == "exited" {
            return Err(Error::Timeout {
                what: format!("health of {name} ({state})"),
                seconds: READY_WITHIN.as_secs(),
                hint: api.logs(name).unwrap_or_default(),
            });
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn ignore_missing(result: Result<()>) -> Result<()> {
    match result {
        Err(Error::Api { status: 404, .. }) => Ok(()),
        other => other,
    }
}
