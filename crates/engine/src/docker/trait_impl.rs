//! [`Engine`] for Docker: each method is the inherent one of the same name.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::Duration;

use lifeboat_plan::fingerprint::Fingerprints;
use lifeboat_plan::inventory::{EngineFacts, Inventory};
use serde_json::Value;

use super::{
    ApiVersion, DockerEngine, EventStream, HostNetwork, Listed, LoadedImages, OwnPath, OwnPathQuery,
};
use crate::{Change, Checked, Engine, ExecOutput, ExecRequest, Health, HostPath, Result};

impl Engine for DockerEngine {
    fn api(&self) -> ApiVersion {
        Self::api(self)
    }

    fn endpoint(&self) -> String {
        self.endpoint().to_string()
    }

    fn host_network(&self) -> Option<HostNetwork> {
        Self::host_network(self)
    }

    fn facts(&self) -> Result<EngineFacts> {
        Self::facts(self)
    }

    fn inventory(&self) -> Result<Inventory> {
        Self::inventory(self)
    }

    fn fingerprints(&self) -> Result<Fingerprints> {
        Self::fingerprints(self)
    }

    fn prove_local(&self, image: Option<&str>) -> Result<()> {
        Self::prove_local(self, image)
    }

    fn events(&self, since: Option<i64>) -> Result<Box<dyn EventStream>> {
        Self::events(self, since)
    }

    fn own_path(&self, query: &OwnPathQuery) -> Result<Vec<OwnPath>> {
        Self::own_path(self, query)
    }

    fn host_path(&self, path: &str) -> Result<HostPath> {
        Self::host_path(self, path)
    }

    fn create_helper(&self, name: &str, image: Option<&str>, host: &Value) -> Result<String> {
        Self::create_helper(self, name, image, host)
    }

    fn remove_helper(&self, name: &str) -> Result<()> {
        Self::remove_helper(self, name)
    }

    fn list_containers(&self) -> Result<Vec<Listed>> {
        Self::list_containers(self)
    }

    fn inspect_container(&self, id: &str) -> Result<Value> {
        Self::inspect_container(self, id)
    }

    fn create_container(&self, name: &str, body: &Value) -> Result<String> {
        Self::create_container(self, name, body)
    }

    fn rename(&self, id: &str, name: &str) -> Result<()> {
        Self::rename(self, id, name)
    }

    fn update_container(&self, id: &str, changes: &Value) -> Result<()> {
        Self::update_container(self, id, changes)
    }

    fn remove_container(&self, id: &str, force: bool, with_anonymous_volumes: bool) -> Result<()> {
        Self::remove_container(self, id, force, with_anonymous_volumes)
    }

    fn start(&self, id: &str) -> Result<()> {
        Self::start(self, id)
    }

    fn stop(&self, id: &str, grace: Option<Duration>) -> Result<()> {
        Self::stop(self, id, grace)
    }

    fn kill(&self, id: &str, signal: &str) -> Result<()> {
        Self::kill(self, id, signal)
    }

    fn log_tail(&self, id: &str, lines: usize) -> Result<String> {
        Self::log_tail(self, id, lines)
    }

    fn pause(&self, id: &str) -> Result<()> {
        Self::pause(self, id)
    }

    fn unpause(&self, id: &str) -> Result<()> {
        Self::unpause(self, id)
    }

    fn wait_healthy(&self, id: &str, limit: Duration) -> Result<Health> {
        Self::wait_healthy(self, id, limit)
    }

    fn exec(&self, id: &str, request: &ExecRequest) -> Result<ExecOutput> {
        Self::exec(self, id, request)
    }

    fn changes(&self, id: &str) -> Result<Vec<Change>> {
        Self::changes(self, id)
    }

    fn archive_get(&self, id: &str, path: &str) -> Result<Box<dyn Read + Send>> {
        Self::archive_get(self, id, path)
    }

    fn archive_put(&self, id: &str, directory: &str, tar: &mut dyn Read) -> Result<()> {
        Self::archive_put(self, id, directory, tar)
    }

    fn inspect_volume(&self, name: &str) -> Result<Value> {
        Self::inspect_volume(self, name)
    }

    fn create_volume(&self, body: &Value) -> Result<Value> {
        Self::create_volume(self, body)
    }

    fn remove_volume(&self, name: &str) -> Result<()> {
        Self::remove_volume(self, name)
    }

    fn inspect_network(&self, id: &str) -> Result<Value> {
        Self::inspect_network(self, id)
    }

    fn create_network(&self, body: &Value) -> Result<String> {
        Self::create_network(self, body)
    }

    fn remove_network(&self, id: &str) -> Result<()> {
        Self::remove_network(self, id)
    }

    fn connect_network(&self, network: &str, container: &str, endpoint: &Value) -> Result<()> {
        Self::connect_network(self, network, container, endpoint)
    }

    fn disconnect_network(&self, network: &str, container: &str, force: bool) -> Result<()> {
        Self::disconnect_network(self, network, container, force)
    }

    fn inspect_image(&self, name: &str) -> Result<Value> {
        Self::inspect_image(self, name)
    }

    fn save_images(&self, names: &[&str]) -> Result<Box<dyn Read + Send>> {
        Self::save_images(self, names)
    }

    fn load_images(&self, tar: &mut dyn Read) -> Result<LoadedImages> {
        Self::load_images(self, tar)
    }

    fn tag_image(&self, id: &str, tag: &str) -> Result<()> {
        Self::tag_image(self, id, tag)
    }

    fn remove_image(&self, name: &str, force: bool) -> Result<()> {
        Self::remove_image(self, name, force)
    }

    fn image_for_create(&self, reference: &str, id: &str) -> Result<String> {
        Self::image_for_create(self, reference, id)
    }

    fn health_states(&self) -> Result<BTreeMap<String, Checked>> {
        Self::health_states(self)
    }

    fn network_is_ours(&self) -> bool {
        Self::network_is_ours(self)
    }
}
