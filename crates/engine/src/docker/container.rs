//! What is done to one container, and what is read from it.

use std::io::Read;
use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::{Value, json};

use super::http::{Body, ORDINARY, STREAM, escape};
use super::{DockerEngine, text};
use crate::{Change, ChangeKind, Error, Health, Result};

/// How often a container's health is looked at.
const HEALTH_INTERVAL: Duration = Duration::from_millis(200);

impl DockerEngine {
    fn act(&self, id: &str, verb: &str) -> Result<()> {
        let path = format!("/containers/{}/{verb}", escape(id));
        self.post(&path, Body::Empty, &format!("{verb} container {id}"))
            .map(drop)
    }

    /// Freezes all processes of a container. One that is paused already is a conflict.
    ///
    /// # Errors
    /// No such container, or it does not run, or is paused already.
    pub fn pause(&self, id: &str) -> Result<()> {
        self.act(id, "pause")
    }

    /// Thaws a container that the engine paused. See [`crate::freezer::reconcile`] for one that was
    /// thawed behind the engine's back.
    ///
    /// # Errors
    /// No such container, or it is not paused.
    pub fn unpause(&self, id: &str) -> Result<()> {
        self.act(id, "unpause")
    }

    /// Starts a container. One that runs already is left alone.
    ///
    /// # Errors
    /// No such container, or it cannot be started.
    pub fn start(&self, id: &str) -> Result<()> {
        self.act(id, "start")
    }

    /// Stops a container: its stop signal, then, after the grace, the kill. One that does not run is left
    /// alone. Without `grace` the container's own holds. We wait for longer than the grace lasts.
    ///
    /// # Errors
    /// No such container, or the engine cannot stop it.
    pub fn stop(&self, id: &str, grace: Option<Duration>) -> Result<()> {
        let query = grace
            .map(|grace| format!("?t={}", grace.as_secs()))
            .unwrap_or_default();
        let path = format!("/containers/{}/stop{query}", escape(id));
        let limit = ORDINARY + grace.unwrap_or(Duration::from_secs(3600));
        self.call_within(
            Method::POST,
            &path,
            Body::Empty,
            &format!("stop container {id}"),
            limit,
        )
        .map(drop)
    }

    /// Gives a container another name.
    ///
    /// # Errors
    /// No such container, or the name is in use.
    pub fn rename(&self, id: &str, name: &str) -> Result<()> {
        let path = format!("/containers/{}/rename?name={}", escape(id), escape(name));
        self.post(
            &path,
            Body::Empty,
            &format!("rename container {id} to {name}"),
        )
        .map(drop)
    }

    /// Changes what can be changed of a container that is there: its restart policy and its limits.
    ///
    /// # Errors
    /// No such container, or the engine refuses the change (a restart policy for one that is removed
    /// when it ends).
    pub fn update_container(&self, id: &str, changes: &Value) -> Result<()> {
        let path = format!("/containers/{}/update", escape(id));
        self.post(
            &path,
            Body::Json(changes),
            &format!("change container {id}"),
        )
        .map(drop)
    }

    /// Removes a container. Its volumes stay, anonymous ones too, unless `with_anonymous_volumes`.
    ///
    /// # Errors
    /// No such container, or it runs and `force` is not given.
    pub fn remove_container(
        &self,
        id: &str,
        force: bool,
        with_anonymous_volumes: bool,
    ) -> Result<()> {
        let path = format!(
            "/containers/{}?force={force}&v={with_anonymous_volumes}",
            escape(id)
        );
        self.delete(&path, &format!("remove container {id}"))
    }

    /// Makes a container from a raw create body (see [`crate::recreate`]) and returns its id. What the
    /// engine warns of goes to the log.
    ///
    /// # Errors
    /// The name is in use, the image is missing, or the engine refuses the definition.
    pub fn create_container(&self, name: &str, body: &Value) -> Result<String> {
        let context = format!("create container {name}");
        let path = format!("/containers/create?name={}", escape(name));
        let answer = self
            .post(&path, Body::Json(body), &context)?
            .json(&context)?;
        for warning in answer["Warnings"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
        {
            tracing::warn!(
                container = name,
                warning,
                "the engine warns about a container"
            );
        }
        match text(&answer, "Id") {
            "" => Err(Error::Protocol {
                context,
                why: "it names no id".to_owned(),
            }),
            id => Ok(id.to_owned()),
        }
    }

    /// Waits until a container is healthy, or runs if it has no health check.
    ///
    /// # Errors
    /// It ended, turned unhealthy, or `limit` passed.
    pub fn wait_healthy(&self, id: &str, limit: Duration) -> Result<Health> {
        let end = Instant::now() + limit;
        loop {
            let raw = self.inspect_container(id)?;
            let name = text(&raw, "Name").trim_start_matches('/').to_owned();
            let state = &raw["State"];
            let health = state
                .get("Health")
                .map(|health| text(health, "Status"))
                .unwrap_or_default();
            let status = text(state, "Status");
            let failed = |why: String| {
                Err(Error::NotHealthy {
                    name: name.clone(),
                    why,
                })
            };
            match (status, health) {
                ("running", "healthy") => return Ok(Health::Healthy),
                ("running", "" | "none") => return Ok(Health::NoCheck),
                ("running", "unhealthy") => return failed("its health check fails".to_owned()),
                ("running" | "restarting" | "created", _) => {}
                (other, _) => {
                    return failed(format!("it is {other}, exit code {}", state["ExitCode"]));
                }
            }
            if Instant::now() >= end {
                return failed(format!(
                    "after {} s it is {status}, {health}",
                    limit.as_secs()
                ));
            }
            std::thread::sleep(HEALTH_INTERVAL);
        }
    }

    /// What differs between a container's writable layer and its image.
    ///
    /// # Errors
    /// No such container.
    pub fn changes(&self, id: &str) -> Result<Vec<Change>> {
        let context = format!("list the changes in container {id}");
        let list = self.get_json(&format!("/containers/{}/changes", escape(id)), &context)?;
        let entries = list.as_array().map(Vec::as_slice).unwrap_or_default();
        entries
            .iter()
            .map(|entry| {
                let kind = match entry["Kind"].as_u64() {
                    Some(0) => ChangeKind::Modified,
                    Some(1) => ChangeKind::Added,
                    Some(2) => ChangeKind::Deleted,
                    _ => {
                        return Err(Error::Protocol {
                            context: context.clone(),
                            why: format!("unknown kind of change {}", entry["Kind"]),
                        });
                    }
                };
                Ok(Change {
                    path: text(entry, "Path").to_owned(),
                    kind,
                })
            })
            .collect()
    }

    /// A path in a container's file system as a tar stream; its first entry is the last name of the path.
    /// Works on stopped containers too. Dropping the reader ends it.
    ///
    /// # Errors
    /// No such container or path.
    pub fn archive_get(&self, id: &str, path: &str) -> Result<Box<dyn Read + Send>> {
        let context = format!("read {path} of container {id}");
        let path = format!("/containers/{}/archive?path={}", escape(id), escape(path));
        let answer = self.call_within(Method::GET, &path, Body::Empty, &context, STREAM)?;
        Ok(Box::new(answer.body))
    }

    /// Unpacks a tar stream into a directory of a container's file system. Works on stopped containers,
    /// and through mounts. Owners, modes and extended attributes are the archive's.
    ///
    /// # Errors
    /// No such container or directory, a read-only place, or the reader fails (then what was unpacked
    /// so far stays).
    pub fn archive_put(&self, id: &str, directory: &str, tar: &mut dyn Read) -> Result<()> {
        let context = format!("write into {directory} of container {id}");
        let path = format!(
            "/containers/{}/archive?path={}&noOverwriteDirNonDir=1&copyUIDGID=0",
            escape(id),
            escape(directory)
        );
        let mut answer = self.call_within(Method::PUT, &path, Body::Tar(tar), &context, STREAM)?;
        // Read to the end: the engine is done when it has closed the answer.
        answer.bytes(&context).map(drop)
    }

    /// Attaches a container to a further network, with the endpoint's settings as raw JSON.
    ///
    /// # Errors
    /// No such container or network, attached already, or an address that is in use.
    pub fn connect_network(&self, network: &str, container: &str, endpoint: &Value) -> Result<()> {
        let path = format!("/networks/{}/connect", escape(network));
        let body = json!({"Container": container, "EndpointConfig": endpoint});
        let context = format!("connect container {container} to network {network}");
        self.post(&path, Body::Json(&body), &context).map(drop)
    }

    /// Detaches a container from a network.
    ///
    /// # Errors
    /// No such container or network, or not attached.
    pub fn disconnect_network(&self, network: &str, container: &str, force: bool) -> Result<()> {
        let path = format!("/networks/{}/disconnect", escape(network));
        let body = json!({"Container": container, "Force": force});
        let context = format!("disconnect container {container} from network {network}");
        self.post(&path, Body::Json(&body), &context).map(drop)
    }
}
