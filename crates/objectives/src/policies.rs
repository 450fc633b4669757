//! The policies of all apps of an engine.

use lifeboat_engine::Engine;
use lifeboat_plan::{
    app::{App, AppKind, BindClass},
    discover::discover,
    identity::AppIdentity,
    inventory::Inventory,
    name::{HostName, SiteName},
    policy::{Labelled, Layers, Policy, Retain, Settings, resolve},
};
use serde::Serialize;

use crate::{Error, Result};

/// An app and what holds for it.
#[derive(Debug, Clone, Serialize)]
pub struct AppPolicy {
    /// `site/host/app`.
    pub app: String,
    /// Its name on this host.
    pub name: String,
    /// The policy.
    pub policy: Policy,
    /// What `forget` is told to keep.
    #[serde(skip)]
    pub keep: Vec<String>,
}

/// Where apps are.
#[derive(Debug, Clone, Default)]
pub struct Where {
    /// Site.
    pub site: String,
    /// The host's given name; none: the engine's host name.
    pub host: Option<String>,
}

/// Looks at the engine and resolves every app's policy; copies that `restore --as` made have none.
pub fn policies(
    engine: &dyn Engine,
    at: &Where,
    file: &Settings,
    api: &Settings,
) -> Result<Vec<AppPolicy>> {
    let now = jiff::Timestamp::now();
    of_inventory(&engine.inventory()?, at, file, api, now)
}

/// The same of an inventory.
pub fn of_inventory(
    inventory: &Inventory,
    at: &Where,
    file: &Settings,
    api: &Settings,
    now: jiff::Timestamp,
) -> Result<Vec<AppPolicy>> {
    let name = |e: lifeboat_plan::name::NameError| Error::Settings(e.to_string());
    let site = match at.site.is_empty() {
        true => SiteName::default(),
        false => SiteName::new(at.site.as_str()).map_err(name)?,
    };
    let host = match &at.host {
        Some(host) => HostName::new(host.as_str()).map_err(name)?,
        None => HostName::from_engine(&inventory.engine.hostname),
    };
    let zone = jiff::tz::TimeZone::system();
    let mut all = Vec::new();
    for app in discover(inventory).apps {
        if app.kind == AppKind::Copy {
            continue;
        }
        let identity = AppIdentity::new(site.clone(), host.clone(), app.name.clone());
        let labelled = labelled(&app, inventory);
        let holds_data = |container: &str| holds_data(&app, container);
        let policy = resolve(&Layers {
            app: &identity,
            labelled: &labelled,
            holds_data: &holds_data,
            file,
            api: api.get(&identity.to_string()),
            zone: &zone,
            now,
        });
        all.push(AppPolicy {
            app: identity.to_string(),
            name: app.name.to_string(),
            keep: keep(policy.retain.value),
            policy,
        });
    }
    Ok(all)
}

/// What `forget` is told to keep.
pub(crate) fn keep(retain: Retain) -> Vec<String> {
    let counts = [
        ("--keep-last", retain.last),
        ("--keep-hourly", retain.hours),
        ("--keep-daily", retain.days),
        ("--keep-weekly", retain.weeks),
        ("--keep-monthly", retain.months),
        ("--keep-yearly", retain.years),
    ];
    let given = counts.into_iter().filter(|(_, count)| *count > 0);
    given
        .flat_map(|(flag, count)| [flag.to_owned(), count.to_string()])
        .collect()
}

fn labelled<'a>(app: &App, inventory: &'a Inventory) -> Vec<Labelled<'a>> {
    let containers = inventory.containers.iter();
    let mut labelled: Vec<Labelled<'a>> = containers
        .filter(|c| app.container(&c.id).is_some())
        .map(|c| Labelled {
            name: &c.name,
            labels: &c.labels,
        })
        .collect();
    if app.kind == AppKind::Volume {
        let volumes = inventory.volumes.iter();
        let of_app = volumes.filter(|v| app.volumes.iter().any(|own| own.name == v.name));
        labelled.extend(of_app.map(|v| Labelled {
            name: &v.name,
            labels: &v.labels,
        }));
    }
    labelled.sort_by_key(|who| who.name);
    labelled
}

fn holds_data(app: &App, container: &str) -> bool {
    let volumes = app.volumes.iter().flat_map(|v| &v.uses);
    let binds = app.binds.iter().filter(|b| b.class == BindClass::Data);
    let mut uses = volumes.chain(binds.flat_map(|b| &b.uses));
    uses.any(|u| u.container_name == container)
}
