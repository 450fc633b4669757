//! Volumes and networks.

use serde_json::Value;

use super::http::{Body, escape};
use super::{DockerEngine, text};
use crate::{Error, Result};

impl DockerEngine {
    /// Raw `/volumes/{name}`.
    ///
    /// # Errors
    /// No such volume.
    pub fn inspect_volume(&self, name: &str) -> Result<Value> {
        self.get_json(
            &format!("/volumes/{}", escape(name)),
            &format!("inspect volume {name}"),
        )
    }

    /// Makes a volume and returns its raw inspect. **An engine answers a name that exists with the
    /// existing volume**: look first with [`Self::inspect_volume`].
    ///
    /// # Errors
    /// The driver refuses, or the name exists with another driver.
    pub fn create_volume(&self, body: &Value) -> Result<Value> {
        let context = format!("create volume {}", text(body, "Name"));
        self.post("/volumes/create", Body::Json(body), &context)?
            .json(&context)
    }

    /// Removes a volume with its data.
    ///
    /// # Errors
    /// No such volume, or a container uses it.
    pub fn remove_volume(&self, name: &str) -> Result<()> {
        self.delete(
            &format!("/volumes/{}", escape(name)),
            &format!("remove volume {name}"),
        )
    }

    /// Raw `/networks/{id}`.
    ///
    /// # Errors
    /// No such network.
    pub fn inspect_network(&self, id: &str) -> Result<Value> {
        self.get_json(
            &format!("/networks/{}", escape(id)),
            &format!("inspect network {id}"),
        )
    }

    /// Makes a network and returns its id.
    ///
    /// # Errors
    /// The name is in use, its addresses overlap with another network's, or the driver refuses.
    pub fn create_network(&self, body: &Value) -> Result<String> {
        let context = format!("create network {}", text(body, "Name"));
        let answer = self
            .post("/networks/create", Body::Json(body), &context)?
            .json(&context)?;
        match text(&answer, "Id") {
            "" => Err(Error::Protocol {
                context,
                why: "it names no id".to_owned(),
            }),
            id => Ok(id.to_owned()),
        }
    }

    /// Removes a network.
    ///
    /// # Errors
    /// No such network, or containers are attached.
    pub fn remove_network(&self, id: &str) -> Result<()> {
        self.delete(
            &format!("/networks/{}", escape(id)),
            &format!("remove network {id}"),
        )
    }
}
