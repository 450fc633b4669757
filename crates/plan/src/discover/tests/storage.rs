//! Volumes, binds, project files and databases of what was found.

use serde_json::json;

use super::*;
use crate::app::{BindClass, DatabaseKind, FilePlace, Severity, VolumeBacking};

#[test]
fn project_files_are_understood() {
    let found = discover(&world());
    let project = found.app("shop").unwrap().project.clone().unwrap();
    assert_eq!(project.working_dir.as_deref(), Some("/srv/shop"));
    assert_eq!(project.version.as_deref(), Some("2.40.3"));
    let places: Vec<_> = project
        .config_files
        .iter()
        .map(|f| f.place.clone())
        .collect();
    assert_eq!(
        places,
        [
            FilePlace::Path {
                path: "/srv/shop/compose.yml".into()
            },
            FilePlace::Relative {
                path: "/srv/shop/override.yml".into()
            }
        ]
    );
    assert_eq!(project.environment_files.len(), 1);
    assert_eq!(
        found
            .app("gone")
            .unwrap()
            .project
            .as_ref()
            .unwrap()
            .version
            .as_deref(),
        Some("2.1")
    );
}

#[test]
fn piped_files_and_paths_in_a_managers_container() {
    let pairs = [
        (label::PROJECT, "p"),
        (label::WORKING_DIR, "/data/compose/1"),
        (label::CONFIG_FILES, "-,/data/compose/1/docker-compose.yml"),
    ];
    let mut manager = container('2', "portainer", &[]);
    manager.mounts = vec![
        bind_mount("/var/run/docker.sock", "/var/run/docker.sock"),
        bind_mount("/srv", "/"),
        volume_mount("portainer_data", "/data"),
    ];
    let world = Inventory {
        containers: vec![container('1', "p-a-1", &pairs), manager],
        ..Inventory::default()
    };
    let found = discover(&world);
    let project = found.app("p").unwrap().project.clone().unwrap();
    assert_eq!(project.config_files[0].place, FilePlace::Stdin);
    assert_eq!(
        project.config_files[1].alternatives,
        ["/var/lib/docker/volumes/portainer_data/_data/compose/1/docker-compose.yml"]
    );
    assert_eq!(
        project.working_dir_alternatives,
        ["/var/lib/docker/volumes/portainer_data/_data/compose/1"]
    );
}

#[test]
fn binds_are_classified_and_nested_ones_known() {
    let found = discover(&world());
    let shop = found.app("shop").unwrap();
    let of = |source: &str| shop.binds.iter().find(|b| b.source == source).unwrap();
    assert_eq!(
        of("/srv/shop/init").class,
        BindClass::Project {
            relative: "init".into()
        }
    );
    assert_eq!(
        of("/srv/shop/init/sub").nested_in.as_deref(),
        Some("/srv/shop/init")
    );
    assert!(of("/etc/localtime").is_system());
    assert_eq!(of("/srv/media").class, BindClass::Data);
    assert_eq!(shop.binds.len(), 4);
}

#[test]
fn a_path_into_a_volume_is_that_volumes_data() {
    let mut c = container('1', "c", &[]);
    c.mounts = vec![
        volume_mount("v", "/v"),
        bind_mount("/var/lib/docker/volumes/v/_data/sub", "/sub"),
        bind_mount("/var/lib/docker/volumes/w/_data", "/w"),
    ];
    let world = Inventory {
        engine: EngineFacts {
            data_root: "/var/lib/docker".into(),
            ..EngineFacts::default()
        },
        containers: vec![c],
        volumes: vec![volume("v", &[]), volume("w", &[])],
        ..Inventory::default()
    };
    let found = discover(&world);
    let app = found.app("c").unwrap();
    assert_eq!(
        app.binds[0].nested_in.as_deref(),
        Some("/var/lib/docker/volumes/v/_data")
    );
    assert!(app.binds[1].is_system() && has_note(app, "volume:w"));
    assert!(found.app("volume:w").is_some());
}

#[test]
fn volume_backings() {
    let with = |driver: &str, options: &[(&str, &str)]| {
        let mut v = volume("v", &[]);
        v.driver = driver.into();
        v.options = labels(options);
        discover(&Inventory {
            volumes: vec![v],
            ..Inventory::default()
        })
        .apps[0]
            .volumes[0]
            .backing
    };
    assert_eq!(with("local", &[]), VolumeBacking::Directory);
    assert_eq!(with("local", &[("size", "10G")]), VolumeBacking::Directory);
    assert_eq!(
        with(
            "local",
            &[("type", "none"), ("o", "rw,bind"), ("device", "/x")]
        ),
        VolumeBacking::LocalBind
    );
    assert_eq!(
        with("local", &[("type", "nfs4"), ("o", "addr=1.2.3.4")]),
        VolumeBacking::Remote
    );
    assert_eq!(
        with("local", &[("type", "cifs"), ("o", "password=x")]),
        VolumeBacking::Remote
    );
    assert_eq!(
        with("local", &[("type", "tmpfs"), ("device", "tmpfs")]),
        VolumeBacking::Memory
    );
    assert_eq!(
        with("local", &[("type", "ext4"), ("device", "/dev/sdb")]),
        VolumeBacking::OtherMount
    );
    assert_eq!(with("rclone", &[]), VolumeBacking::Plugin);
}

#[test]
fn databases_are_recognised_by_what_runs() {
    let found = discover(&world());
    let db = &found.app("shop").unwrap().databases;
    assert_eq!(db.len(), 1);
    assert_eq!(
        (db[0].kind, db[0].stored_in.as_deref()),
        (DatabaseKind::Postgres, Some("shop_db"))
    );
    let kind = |image: &str, env: &[&str], cmd: serde_json::Value| {
        let mut c = container('1', "c", &[]);
        c.image_ref = image.into();
        c.env = env.iter().map(|e| (*e).to_owned()).collect();
        c.raw = json!({"Config": {"Cmd": cmd}});
        let found = discover(&Inventory {
            containers: vec![c],
            ..Inventory::default()
        });
        found.apps[0].databases.first().map(|d| d.kind)
    };
    assert_eq!(
        kind(
            "mine",
            &[],
            json!(["/usr/lib/postgresql/16/bin/postgres", "-D", "/x"])
        ),
        Some(DatabaseKind::Postgres)
    );
    assert_eq!(
        kind(
            "mine",
            &[],
            json!(["sh", "-c", "exec redis-server --appendonly yes"])
        ),
        Some(DatabaseKind::Redis)
    );
    assert_eq!(
        kind("x", &["MARIADB_VERSION=1"], json!(["mysqld"])),
        Some(DatabaseKind::Mariadb)
    );
    assert_eq!(
        kind(
            "ghcr.io:443/immich-app/postgres:16@sha256:ab",
            &[],
            json!(null)
        ),
        Some(DatabaseKind::Postgres)
    );
    assert_eq!(
        kind("pgvector/pgvector:pg16", &[], json!(null)),
        Some(DatabaseKind::Postgres)
    );
    for no in [
        "prom/mysqld-exporter",
        "mongo-express",
        "phpmyadmin",
        "nextcloud",
        "postgres-backup:1",
        "redis/redisinsight",
    ] {
        assert_eq!(kind(no, &["POSTGRES_HOST=db"], json!(null)), None, "{no}");
    }
}

#[test]
fn the_image_says_what_runs_only_where_nobody_put_another_command() {
    let kind = |image: serde_json::Value, config: serde_json::Value| {
        let mut c = container('1', "c", &[]);
        c.image_ref = "postgres:16".into();
        c.env = vec!["PGDATA=/var/lib/postgresql/data".into()];
        let all = |key: &str| config[key].as_array().cloned().unwrap_or_default();
        let mut words = all("Entrypoint");
        words.extend(all("Cmd"));
        c.raw = json!({"Path": words.first(), "Args": words.get(1..), "Config": config});
        let image = Image {
            id: c.image_id.clone(),
            raw: json!({"Config": image}),
            ..Image::default()
        };
        let found = discover(&Inventory {
            containers: vec![c],
            images: vec![image],
            ..Inventory::default()
        });
        found.apps[0].databases.first().map(|d| d.kind)
    };
    let official = json!({"Entrypoint": ["docker-entrypoint.sh"], "Cmd": ["postgres"]});
    let own = json!({"Entrypoint": ["/opt/start"], "Cmd": ["serve"]});
    let plain = json!({"Cmd": ["bash"]});
    for (image, config) in [
        (&official, official.clone()),
        (
            &official,
            json!({"Entrypoint": ["docker-entrypoint.sh"], "Cmd": ["-c", "max_connections=9"]}),
        ),
        (&own, own.clone()),
        (
            &plain,
            json!({"Entrypoint": ["/usr/local/bin/shop-postgres"], "Healthcheck": {
            "Test": ["CMD", "pg_isready", "-q", "-h", "127.0.0.1", "-U", "postgres"]}}),
        ),
    ] {
        let said = format!("{config}");
        assert_eq!(
            kind(image.clone(), config),
            Some(DatabaseKind::Postgres),
            "{said}"
        );
    }
    for (image, config) in [
        // The sample app's worker.
        (&plain, json!({"Entrypoint": ["shop-worker"]})),
        (&plain, plain.clone()),
        (
            &plain,
            json!({"Entrypoint": ["shop-worker"], "Healthcheck": {
            "Test": ["CMD-SHELL", "pg_isready -h db"]}}),
        ),
        (
            &official,
            json!({"Entrypoint": ["docker-entrypoint.sh"], "Cmd": ["sh", "-c", "while :; do pg_dump -U postgres >/x; sleep 9; done"]}),
        ),
        (
            &official,
            json!({"Entrypoint": ["/backup.sh"], "Cmd": ["postgres"]}),
        ),
        (
            &own,
            json!({"Entrypoint": ["/opt/start"], "Cmd": ["migrate"]}),
        ),
    ] {
        let said = format!("{config}");
        assert_eq!(kind(image.clone(), config), None, "{said}");
    }
}

#[test]
fn a_database_in_an_anonymous_volume_is_warned_of() {
    let mut c = container('1', "db", &[]);
    c.env = vec!["PGDATA=/var/lib/postgresql/18/docker".into()];
    c.mounts = vec![
        volume_mount(&hex('f'), "/var/lib/postgresql"),
        volume_mount("pg", "/var/lib/postgresql/data"),
    ];
    let volumes = vec![volume(&hex('f'), &[]), volume("pg", &[])];
    let world = Inventory {
        containers: vec![c.clone()],
        volumes,
        ..Inventory::default()
    };
    let found = discover(&world);
    let app = found.app("db").unwrap();
    let note = app
        .notes
        .iter()
        .find(|n| n.text.contains("anonymous volume"))
        .unwrap();
    assert!(
        note.severity == Severity::Warning && note.text.contains("pg is not where the data is"),
        "{note:?}"
    );
    c.mounts.clear();
    let found = discover(&Inventory {
        containers: vec![c],
        ..Inventory::default()
    });
    assert!(has_note(found.app("db").unwrap(), "in no volume"));
}
