//! Which containers run a database, as far as their definition tells: by what runs (the command, or
//! a health check that asks the server itself). Variables that images set and the image's name tell
//! what the image is for, so they count only where the image decides what runs: a worker may be made
//! of the database's image and run a script.

mod command;

use command::{Command, command};

use crate::app::{AppVolume, Database, DatabaseKind, Note};
use crate::inventory::{Container, Inventory, Mount, MountKind};
use crate::path;

use DatabaseKind::{Mariadb, Mongodb, Mysql, Postgres, Redis, SqlServer};

/// Programs.
const PROGRAMS: &[(&str, DatabaseKind)] = &[
    ("postgres", Postgres),
    ("postmaster", Postgres),
    ("mariadbd", Mariadb),
    ("mysqld", Mysql),
    ("mysqld_safe", Mysql),
    ("redis-server", Redis),
    ("valkey-server", Redis),
    ("keydb-server", Redis),
    ("mongod", Mongodb),
    ("sqlservr", SqlServer),
];

/// Variables that only a server's image or its set-up has (clients have `…_HOST`).
const VARIABLES: &[(&str, DatabaseKind)] = &[
    ("PGDATA", Postgres),
    ("MARIADB_ROOT_PASSWORD", Mariadb),
    ("MARIADB_ROOT_PASSWORD_FILE", Mariadb),
    ("MARIADB_VERSION", Mariadb),
    ("MYSQL_ROOT_PASSWORD", Mysql),
    ("MYSQL_ROOT_PASSWORD_FILE", Mysql),
    ("MYSQL_MAJOR", Mysql),
    ("REDIS_DOWNLOAD_URL", Redis),
    ("VALKEY_DOWNLOAD_URL", Redis),
    ("MONGO_INITDB_ROOT_USERNAME", Mongodb),
    ("MONGO_MAJOR", Mongodb),
    ("MSSQL_SA_PASSWORD", SqlServer),
    ("MSSQL_PID", SqlServer),
];

/// Words in an image's name.
const IMAGE_WORDS: &[(&str, DatabaseKind)] = &[
    ("postgres", Postgres),
    ("postgresql", Postgres),
    ("postgis", Postgres),
    ("pgvector", Postgres),
    ("timescaledb", Postgres),
    ("mariadb", Mariadb),
    ("mysql", Mysql),
    ("percona", Mysql),
    ("redis", Redis),
    ("valkey", Redis),
    ("keydb", Redis),
    ("mongo", Mongodb),
    ("mongodb", Mongodb),
    ("mssql", SqlServer),
];

/// Words that say that an image only has to do with a database.
const NOT_A_SERVER: &[&str] = &[
    "exporter",
    "express",
    "admin",
    "backup",
    "commander",
    "insight",
    "ui",
    "client",
    "operator",
    "proxy",
    "pgbouncer",
    "bouncer",
    "sentinel",
    "cli",
    "migrate",
    "dump",
];

/// Probes that ask a server on the same machine.
const PROBES: &[(&str, DatabaseKind)] = &[
    ("pg_isready", Postgres),
    ("mysqladmin", Mysql),
    ("mariadb-admin", Mariadb),
    ("redis-cli", Redis),
    ("valkey-cli", Redis),
];

pub(super) fn databases(
    containers: &[&Container],
    inventory: &Inventory,
    volumes: &[AppVolume],
    notes: &mut Vec<Note>,
) -> Vec<Database> {
    let mut found: Vec<Database> = containers
        .iter()
        .filter_map(|c| database(c, inventory))
        .collect();
    found.sort_by(|a, b| a.container_name.cmp(&b.container_name));
    for database in &found {
        let Some(c) = containers.iter().find(|c| c.id == database.container) else {
            continue;
        };
        where_it_lies(database, c, volumes, notes);
    }
    found
}

fn database(c: &Container, inventory: &Inventory) -> Option<Database> {
    let (kind, recognised_by) = recognise(c, &command(c, inventory))?;
    let data_path = data_path(c, kind);
    let stored_in =
        mount_of(&data_path, c).map(|m| m.name.clone().unwrap_or_else(|| m.source.clone()));
    Some(Database {
        container: c.id.clone(),
        container_name: c.name.clone(),
        kind,
        data_path: Some(data_path),
        stored_in,
        recognised_by,
    })
}

fn recognise(c: &Container, command: &Command) -> Option<(DatabaseKind, String)> {
    let program = command
        .programs
        .iter()
        .find_map(|name| PROGRAMS.iter().find(|(program, _)| program == name));
    if let Some((program, kind)) = program {
        return Some((exactly(*kind, c), format!("the command {program}")));
    }
    let image = image_words(c);
    if image.iter().any(|w| NOT_A_SERVER.contains(w)) {
        return None;
    }
    if let Some((probe, kind)) = probe(c) {
        return Some((exactly(kind, c), format!("the health check {probe}")));
    }
    if !command.is_default {
        return None;
    }
    if let Some((name, kind)) = VARIABLES.iter().find(|(name, _)| has(c, name)) {
        return Some((*kind, format!("the variable {name}")));
    }
    let (word, kind) = IMAGE_WORDS.iter().find(|(word, _)| image.contains(word))?;
    Some((*kind, format!("the image's name ({word})")))
}

/// MariaDB's images still answer to the old names.
fn exactly(kind: DatabaseKind, c: &Container) -> DatabaseKind {
    if kind == Mysql && has(c, "MARIADB_VERSION") {
        Mariadb
    } else {
        kind
    }
}

/// The words of the last part of the image's name.
fn image_words(c: &Container) -> Vec<&str> {
    let repository = c.image_ref.split('@').next().unwrap_or_default();
    let last = repository.rsplit('/').next().unwrap_or_default();
    let name = last.split(':').next().unwrap_or_default();
    name.split(|ch: char| !ch.is_ascii_alphanumeric()).collect()
}

/// A health check that asks a server in the container. One that asks another host, as a worker does
/// that waits for its database, is none.
fn probe(c: &Container) -> Option<(&'static str, DatabaseKind)> {
    let test = c.raw["Config"]["Healthcheck"]["Test"].as_array()?;
    let words: Vec<&str> = test
        .iter()
        .filter_map(|w| w.as_str())
        .flat_map(str::split_whitespace)
        .collect();
    let name = |word: &&str| {
        let name = word.rsplit('/').next().unwrap_or(word);
        PROBES.iter().find(|(probe, _)| *probe == name)
    };
    let at = words.iter().position(|word| name(word).is_some())?;
    let (probe, kind) = name(words.get(at)?)?;
    let mut arguments = words.iter().skip(at + 1);
    while let Some(word) = arguments.next() {
        let host = match *word {
            "-h" | "--host" => arguments.next().copied(),
            word => word.strip_prefix("--host=").or(word.strip_prefix("-h")),
        };
        let is_here = |host: &str| {
            let host = host.trim_matches(['"', '\'']);
            host.starts_with("127.")
                || host.starts_with('/')
                || host == "localhost"
                || host == "::1"
        };
        if host.is_some_and(|host| !is_here(host)) {
            return None;
        }
    }
    Some((probe, *kind))
}

fn variable<'a>(c: &'a Container, name: &str) -> Option<&'a str> {
    c.env.iter().find_map(|e| {
        e.split_once('=')
            .filter(|(key, _)| *key == name)
            .map(|(_, value)| value)
    })
}

fn has(c: &Container, name: &str) -> bool {
    variable(c, name).is_some()
}

fn data_path(c: &Container, kind: DatabaseKind) -> String {
    let set = match kind {
        Postgres => variable(c, "PGDATA"),
        _ => None,
    };
    if let Some(path) = set.and_then(path::clean) {
        return path;
    }
    let mounted = |path: &str| c.mounts.iter().any(|m| m.destination == path);
    match kind {
        // As Debian installs it, where the image's own place is not mounted.
        Postgres if !mounted("/var/lib/postgresql/data") && mounted("/var/lib/postgresql") => {
            "/var/lib/postgresql"
        }
        Postgres => "/var/lib/postgresql/data",
        Mysql | Mariadb => "/var/lib/mysql",
        Redis if !mounted("/data") && mounted("/var/lib/redis") => "/var/lib/redis",
        Redis => "/data",
        Mongodb => "/data/db",
        SqlServer => "/var/opt/mssql",
        DatabaseKind::Sqlite => "/",
    }
    .to_owned()
}

/// The mount that a path in a container lies on.
fn mount_of<'a>(path: &str, c: &'a Container) -> Option<&'a Mount> {
    let holds = |m: &&Mount| path::clean(&m.destination).is_some_and(|d| path::is_within(path, &d));
    let mount = c
        .mounts
        .iter()
        .filter(holds)
        .max_by_key(|m| m.destination.len())?;
    matches!(mount.kind, MountKind::Volume | MountKind::Bind).then_some(mount)
}

/// Data that lies where nobody looks for it.
fn where_it_lies(database: &Database, c: &Container, volumes: &[AppVolume], notes: &mut Vec<Note>) {
    let (name, product) = (&database.container_name, database.kind.name());
    let Some(path) = &database.data_path else {
        return;
    };
    let Some(stored) = &database.stored_in else {
        // A cache without a volume is how most people run Redis.
        if database.kind != Redis {
            notes.push(Note::warning(format!(
                "{product} in {name} keeps its data ({path}) in no volume: it is lost with the container, and only what fits the bound for writable layers is captured"
            )));
        }
        return;
    };
    let Some(volume) = volumes.iter().find(|v| v.name == *stored && v.anonymous) else {
        return;
    };
    let named = c.mounts.iter().find(|m| {
        m.kind == MountKind::Volume
            && m.name
                .as_ref()
                .is_some_and(|n| volumes.iter().any(|v| v.name == *n && !v.anonymous))
            && path::clean(&m.destination).is_some_and(|d| d.starts_with("/var/lib/postgresql"))
    });
    let short = volume.name.get(..12).unwrap_or(&volume.name);
    let mut text = format!(
        "{product} in {name} keeps its data ({path}) in the anonymous volume {short}…: `down` and `up` give it an empty one"
    );
    if let Some(named) = named.and_then(|m| m.name.as_ref()) {
        text.push_str(&format!(
            "; the named volume {named} is not where the data is"
        ));
    }
    notes.push(Note::warning(text));
}
