//! The images of many recovery points as one registry.

use std::{collections::BTreeMap, sync::Arc};

use lifeboat_images::registry::{Repository, registry_name};
use lifeboat_vault::{SnapshotId, node::Timestamp};

use super::holding::{Listed, Of, Repositories, add};

/// Repositories by registry and name.
#[derive(Default)]
pub struct View {
    hosts: BTreeMap<String, BTreeMap<String, Seen>>,
}

/// A repository.
pub struct Seen {
    pub repository: Arc<Repository>,
    /// The points that it was found in; what the first has is taken from there.
    pub places: Vec<SnapshotId>,
    newest: Option<Timestamp>,
}

/// The points that count, in the order in which they do: registries before apps (they have what was pulled, byte for byte),
/// the newer before the older. Of each registry and app that is its newest, and where that lacks something the newest
/// whole one too. A point that was made right before an app was replaced counts only where there is no other.
pub fn that_count<'p>(points: impl Iterator<Item = &'p Listed>) -> Vec<&'p Listed> {
    let mut of_each: BTreeMap<&Of, Vec<&Listed>> = BTreeMap::new();
    for point in points {
        of_each.entry(&point.of).or_default().push(point);
    }
    let mut taken = Vec::new();
    for (_, mut points) in of_each {
        points.sort_by_key(|p| std::cmp::Reverse((!p.is_safety, p.time, p.id)));
        let whole = points.iter().position(|p| !p.is_partial && !p.is_safety);
        taken.extend(points.first());
        if let Some(number) = whole.filter(|&number| number > 0) {
            taken.push(points[number]);
        }
    }
    taken.sort_by_key(|p| {
        let is_app = matches!(p.of, Of::App(_));
        (is_app, std::cmp::Reverse((p.time, p.id)))
    });
    taken
}

impl View {
    /// Puts points together, the first before the others.
    pub fn of<'p>(points: impl Iterator<Item = (&'p Listed, Arc<Repositories>)>) -> Self {
        let mut view = Self::default();
        for (point, held) in points {
            for (host, repositories) in held.iter() {
                let here = view.hosts.entry(host.clone()).or_default();
                for (name, repository) in repositories {
                    match here.get_mut(name) {
                        None => {
                            let seen = Seen {
                                repository: Arc::clone(repository),
                                places: vec![point.id],
                                newest: point.time,
                            };
                            here.insert(name.clone(), seen);
                        }
                        Some(seen) => seen.add(point, repository),
                    }
                }
            }
        }
        view
    }

    /// Names, sorted.
    pub fn names(&self, host: Option<&str>) -> Vec<String> {
        let wanted = host.map(registry_name);
        let here = self.hosts.iter();
        let here = here.filter(|(host, _)| wanted.as_ref().is_none_or(|wanted| wanted == *host));
        let names = here.flat_map(|(_, repositories)| repositories.keys());
        let names: std::collections::BTreeSet<&String> = names.collect();
        names.into_iter().cloned().collect()
    }

    /// A repository: of this registry; where none is named of one of `preferred`, else of the one that was seen last.
    pub fn find(&self, host: Option<&str>, preferred: &[String], name: &str) -> Option<&Seen> {
        let of = |host: &str| self.hosts.get(&registry_name(host))?.get(name);
        if let Some(host) = host {
            return of(host);
        }
        preferred.iter().find_map(|host| of(host)).or_else(|| {
            let all = self.hosts.values();
            let all = all.filter_map(|repositories| repositories.get(name));
            all.max_by_key(|seen| seen.newest)
        })
    }

    /// Registries, and how many repositories each has here.
    pub fn hosts(&self) -> impl Iterator<Item = (&str, usize)> {
        self.hosts
            .iter()
            .map(|(host, all)| (host.as_str(), all.len()))
    }
}

impl Seen {
    fn add(&mut self, point: &Listed, repository: &Repository) {
        let mine = Arc::make_mut(&mut self.repository);
        for (tag, digest) in &repository.tags {
            mine.tags
                .entry(tag.clone())
                .or_insert_with(|| digest.clone());
        }
        add(mine, &repository.manifests);
        self.places.push(point.id);
        self.newest = self.newest.max(point.time);
    }
}
