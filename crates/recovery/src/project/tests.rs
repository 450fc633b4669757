//! Fixtures with every form, and what is taken of a project on disk.

use std::{collections::BTreeSet, path::Path};

use lifeboat_capture::SkipSet;
use lifeboat_plan::{
    app::{App, AppBind, AppKind, BindClass, ComposeProject, FilePlace, ProjectFile},
    bind::Decision,
    manifest::{BindContent, LeftOut, PathKind},
    name::AppName,
};

use super::{
    Need, Role, choose,
    reader::{Start, read},
};
use crate::selection::{BindChoice, ProjectChoice};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/project/fixtures");

/// The fixtures as they lie in a folder that is in nobody's home, wherever the sources lie.
fn fixture(files: &[&str], services: &[&'static str]) -> (tempfile::TempDir, super::ProjectFiles) {
    let place = place();
    let root = place.path().join("all");
    std::os::unix::fs::symlink(FIXTURES, &root).unwrap();
    let folder = root.join("shop").display().to_string();
    let files: Vec<String> = files.iter().map(|f| format!("{folder}/{f}")).collect();
    let found = read(&Start {
        name: "shop",
        folder: &folder,
        config_files: &files,
        environment_files: &[],
        services: services.iter().copied().collect(),
    });
    (place, found)
}

fn place() -> tempfile::TempDir {
    let mut builder = tempfile::Builder::new();
    builder.prefix("lb-").tempdir_in("/tmp").unwrap()
}

#[test]
fn every_form_is_found() {
    use Need::{Later, Optional, Required};
    use Role::{BuildContext, Config, Dockerfile, EnvFile, Extends, Include, LabelFile, Secret};
    let (place, found) = fixture(&["compose.yaml", "override.yaml"], &["running-tools"]);
    let root = place.path().join("all").display().to_string();
    let short: BTreeSet<(&str, Role, Need)> = found
        .references
        .iter()
        .map(|r| (r.path.strip_prefix(&root).unwrap(), r.role, r.need))
        .collect();
    let expected = BTreeSet::from([
        ("/tool/compose.yaml", Include, Required),
        ("/tool/.env", EnvFile, Optional),
        ("/tool/from-the-project-own.env", EnvFile, Required),
        ("/shop/monitoring/.env", EnvFile, Optional),
        ("/shop/.env", EnvFile, Optional),
        ("/shop/monitoring/compose.yaml", Include, Required),
        ("/shop/monitoring/probe.env", EnvFile, Required),
        ("/shop/compose.yaml", Include, Required),
        ("/common/many-1.yaml", Include, Required),
        ("/common/many-2.yaml", Include, Required),
        ("/common/many.env", EnvFile, Required),
        ("/common/one.env", EnvFile, Required),
        ("/common/two.env", EnvFile, Required),
        ("/tool/other.yaml", Include, Required),
        ("/tool/a.env", EnvFile, Required),
        ("/tool/b.env", EnvFile, Required),
        ("/tool/ab.env", EnvFile, Required),
        ("/shop/anchored.env", EnvFile, Required),
        ("/common/base.yaml", Extends, Required),
        ("/common/base.env", EnvFile, Required),
        ("/common", BuildContext, Later),
        ("/common/lib/deep.yaml", Extends, Required),
        ("/common/lib/deep.env", EnvFile, Required),
        ("/web", BuildContext, Later),
        ("/shop/web.labels", LabelFile, Required),
        ("/shop/api.env", EnvFile, Required),
        ("/maybe.env", EnvFile, Optional),
        ("/common/dev.env", EnvFile, Required),
        ("/api", BuildContext, Later),
        ("/docker/api.Dockerfile", Dockerfile, Later),
        ("/assets", BuildContext, Later),
        ("/shop/api-1.labels", LabelFile, Required),
        ("/shop/api-2.labels", LabelFile, Required),
        ("/tools.env", EnvFile, Later),
        ("/shop", BuildContext, Later),
        ("/secrets/token", Secret, Required),
        ("/secrets/key", Secret, Required),
        ("/shop/site.conf", Config, Required),
        ("/shop/override.env", EnvFile, Required),
    ]);
    let more: Vec<_> = short.difference(&expected).collect();
    let less: Vec<_> = expected.difference(&short).collect();
    assert!(
        more.is_empty() && less.is_empty(),
        "more {more:#?}, less {less:#?}"
    );
    let unresolved: Vec<_> = found
        .unresolved
        .iter()
        .map(|u| (u.text.as_str(), u.need))
        .collect();
    assert_eq!(
        unresolved,
        [
            ("${FROM_A_SHELL}/cron.env", Required),
            ("oci://registry.example/shop:latest", Later),
            ("~/tools.env", Required),
        ]
    );
    assert!(
        found
            .unresolved
            .iter()
            .any(|u| u.why.contains("FROM_A_SHELL"))
    );
    assert_eq!(found.hooks, BTreeSet::from(["web".to_owned()]));
    assert_eq!(found.problems, Vec::<String>::new());
}

#[test]
fn a_broken_file_is_a_sentence_and_the_others_are_read() {
    let (_place, found) = fixture(&["broken.yaml", "override.yaml", "gone.yaml"], &[]);
    assert_eq!(found.references.len(), 1);
    assert_eq!(found.problems.len(), 1, "{:?}", found.problems);
    assert!(found.problems[0].contains("broken.yaml"));
    assert!(!found.problems[0].contains("hunter2"));
}

/// A project in `DIR/stack/shop`, with things around it.
struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new(compose: &str) -> Self {
        let world = Self { dir: place() };
        world.write("stack/shop/compose.yaml", compose);
        world
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.dir.path().join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }

    fn bind(&self, name: &str, decision: Decision) -> BindChoice {
        BindChoice {
            bind: AppBind {
                source: self.path(name),
                class: BindClass::Data,
                nested_in: None,
                shared_with: Vec::new(),
                uses: Vec::new(),
            },
            decision,
            kind: Some(PathKind::Dir),
            content: BindContent::Present,
            size: None,
        }
    }

    fn choose(&self, binds: &[BindChoice]) -> (ProjectChoice, Vec<LeftOut>) {
        let file = self.path("stack/shop/compose.yaml");
        let app = App {
            name: AppName::new("shop").unwrap(),
            kind: AppKind::Compose,
            containers: Vec::new(),
            volumes: Vec::new(),
            binds: binds.iter().map(|b| b.bind.clone()).collect(),
            networks: Vec::new(),
            images: Vec::new(),
            project: Some(ComposeProject {
                name: "shop".to_owned(),
                working_dir: Some(self.path("stack/shop")),
                config_files: vec![ProjectFile {
                    label: file.clone(),
                    place: FilePlace::Path { path: file },
                    alternatives: Vec::new(),
                }],
                ..ComposeProject::default()
            }),
            databases: Vec::new(),
            notes: Vec::new(),
            enabled: true,
        };
        let mut left_out = Vec::new();
        let choice = choose(&app, binds, &SkipSet::new(), &mut left_out).unwrap();
        (choice, left_out)
    }

    fn roots(&self, choice: &ProjectChoice) -> Vec<String> {
        let short = |root: &std::path::PathBuf| {
            let root = root.strip_prefix(self.dir.path()).unwrap_or(root);
            root.display().to_string()
        };
        choice.roots.iter().map(short).collect()
    }
}

#[test]
fn what_lies_outside_is_taken_and_what_is_missing_is_named() {
    let world = World::new(
        "services:\n  a:\n    build: ../../build\n    env_file:\n      - in.env\n      - ../out.env\n      - ../data/in-a-bind.env\n      - ../media/in-a-bind-left-out.env\n      - {path: ../maybe.env, required: false}\n      - ../gone.env\n  b:\n    build: {context: ../gone, dockerfile: D}\n    label_file: /etc/localtime\n",
    );
    for name in [
        "stack/shop/in.env",
        "stack/out.env",
        "stack/data/in-a-bind.env",
        "stack/media/in-a-bind-left-out.env",
        "build/Dockerfile",
        "build/src/main",
    ] {
        world.write(name, "x");
    }
    let left_out = Decision::LeftOut {
        reason: "too large".to_owned(),
        decided: false,
    };
    let binds = [
        world.bind("stack/data", Decision::Captured),
        world.bind("stack/media", left_out),
        world.bind("build/cache", Decision::Captured),
    ];
    let (choice, left_out) = world.choose(&binds);
    assert_eq!(
        world.roots(&choice),
        [
            "build",
            "stack/media/in-a-bind-left-out.env",
            "stack/out.env",
            "stack/shop"
        ]
    );
    assert_eq!(choice.without, [Path::new(&world.path("build/cache"))]);
    let named: Vec<_> = left_out
        .iter()
        .map(|l| (l.what.clone(), l.decided))
        .collect();
    assert_eq!(
        named,
        [
            (world.path("stack/gone"), true),
            (world.path("stack/gone.env"), false),
            ("/etc/localtime".to_owned(), false),
        ],
        "{left_out:#?}"
    );
    assert_eq!(choice.facts.outside.len(), 3);
    assert_eq!(choice.facts.lost.len(), 2);
    assert_eq!(choice.size.files, 6);
}

#[test]
fn a_context_around_the_project_is_taken_entry_by_entry() {
    let world = World::new("services:\n  a:\n    build: {context: .., dockerfile: shop/D}\n");
    for name in ["stack/shop/D", "stack/src/main", "stack/go.mod", "other/x"] {
        world.write(name, "x");
    }
    let (choice, left_out) = world.choose(&[]);
    assert_eq!(
        world.roots(&choice),
        ["stack/go.mod", "stack/shop", "stack/src"]
    );
    assert_eq!(left_out, []);
}

#[test]
fn links_bring_what_they_lead_to() {
    let world = World::new("services:\n  a:\n    env_file: [linked.env, ../folder/a.env]\n");
    world.write("far/real.env", "x");
    world.write("farther/a.env", "x");
    let link = |to: &str, at: &str| {
        std::os::unix::fs::symlink(world.path(to), world.path(at)).unwrap();
    };
    link("far/real.env", "stack/shop/linked.env");
    link("farther", "stack/folder");
    let (choice, left_out) = world.choose(&[]);
    assert_eq!(
        world.roots(&choice),
        ["far/real.env", "stack/folder/a.env", "stack/shop"]
    );
    assert_eq!(left_out, []);
    // The project folder itself.
    let world = World::new("services: {}\n");
    fs_err::rename(world.path("stack/shop"), world.path("moved")).unwrap();
    std::os::unix::fs::symlink(world.path("moved"), world.path("stack/shop")).unwrap();
    let (choice, _) = world.choose(&[]);
    assert_eq!(world.roots(&choice), ["moved", "stack/shop"]);
}

#[test]
fn a_context_that_is_too_large_is_a_decided_omission() {
    let world = World::new("services:\n  a:\n    build: ../big\n    env_file: ../big/a.env\n");
    world.write("stack/big/a.env", "x");
    let file = fs_err::File::create(world.path("stack/big/disk.img")).unwrap();
    file.set_len(2 << 30).unwrap();
    let (choice, left_out) = world.choose(&[]);
    assert_eq!(world.roots(&choice), ["stack/big/a.env", "stack/shop"]);
    assert_eq!(left_out.len(), 1);
    assert!(left_out[0].decided && left_out[0].reason.contains("more than 1 GiB"));
}
