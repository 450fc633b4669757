//! `restore --definition`: the compose file of a recovery point, as it was; or one made from what the
//! engine said of the containers, where the app had none. No engine is needed, and nothing is
//! restored but the text.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use lifeboat_engine::ApiVersion;
use lifeboat_plan::{
    compose::{Facts, from_inspect},
    manifest::{ProjectRecord, layout},
    path,
};
use lifeboat_vault::{Reader, id::SnapshotId, snapshot::Snapshot};
use serde::Serialize;
use serde_json::Value;

use super::told::Told;
use crate::{
    Context, RecoveryError, Result,
    points::read_file,
    restore::{Step, Way, Work, kept, point::OpenPoint, report::Stopwatch},
    setup::write_private,
};

/// Which one is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Which {
    /// The app's own where the point has it, else a made one.
    #[default]
    Any,
    /// The app's own.
    AsItWas,
    /// Made from the containers.
    Made,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DefinitionFile {
    /// Where it lay; `compose.yaml` for a made one.
    pub path: String,
    /// What is in it. Holds secrets.
    #[serde(serialize_with = "as_text")]
    pub content: Vec<u8>,
}

/// The definition of an app.
#[derive(Debug, Clone, Serialize)]
pub struct Definition {
    /// `site/host/app`.
    pub app: String,
    /// The point.
    pub id: SnapshotId,
    /// When its capture began.
    pub time: String,
    /// Made from the containers.
    pub made: bool,
    /// Compose files, in the order in which Compose reads them.
    pub files: Vec<DefinitionFile>,
    /// Env files that go with them.
    pub environment: Vec<DefinitionFile>,
    /// What is not in them, or differs.
    pub notes: Vec<String>,
}

/// What will be printed or written, or was. Holds no secret.
#[derive(Debug, Clone, Serialize)]
pub struct Delivered {
    /// `site/host/app`.
    pub app: String,
    /// The point.
    pub id: SnapshotId,
    /// When its capture began.
    pub time: String,
    /// Made from the containers.
    pub made: bool,
    /// Steps and times.
    #[serde(flatten)]
    pub told: Told,
    /// Files that were written.
    pub written: Vec<PathBuf>,
    /// What stands in the way. Not empty: it is refused.
    pub obstacles: Vec<String>,
    /// What is not in the files, or differs.
    pub notes: Vec<String>,
}

/// Where it goes.
pub enum To<'a> {
    /// To whoever asks.
    Out,
    /// Into this file or folder.
    Place(&'a Path),
}

/// Says what would be printed or written, and writes nothing.
pub fn plan(
    ctx: &Context,
    id: SnapshotId,
    snapshot: &Snapshot,
    which: Which,
    to: &To<'_>,
) -> Result<Delivered> {
    let found = definition(ctx, id, snapshot, which)?;
    let mut ahead = found.ahead(ctx, to);
    if let To::Place(target) = to
        && let Err(why) = found.places(target)
    {
        ahead.obstacles.push(why.to_string());
    }
    Ok(ahead)
}

/// Prints or writes it, with a report.
pub fn deliver(
    ctx: &Context,
    id: SnapshotId,
    snapshot: &Snapshot,
    which: Which,
    to: &To<'_>,
) -> Result<(Definition, Delivered)> {
    let mut watch = Stopwatch::start();
    let found = definition(ctx, id, snapshot, which)?;
    let mut done = found.ahead(ctx, to);
    let ctx = &ctx.following(&done.told.steps);
    match to {
        To::Out => {
            for file in found.wanted(to) {
                ctx.take(Work::Definition, &file.path);
            }
        }
        To::Place(target) => {
            let each = |path: &str| ctx.take(Work::Definition, path);
            done.written = found.write(target, &each)?;
        }
    }
    ctx.taken();
    // Reading them from the vault is what takes time.
    watch.split("definition");
    done.told.ended(ctx, &done.app, &watch, true);
    if !done.written.is_empty() {
        kept::keep(ctx, &done.app, &done);
    }
    Ok((found, done))
}

/// Reads it from a point.
fn definition(
    ctx: &Context,
    id: SnapshotId,
    snapshot: &Snapshot,
    which: Which,
) -> Result<Definition> {
    let reader = ctx.vault.reader()?;
    let point = OpenPoint::open(&reader, id, snapshot, ApiVersion::OLDEST)?;
    let app = point.manifest.identity.to_string();
    let empty = |made| Definition {
        app: app.clone(),
        id,
        time: point.time.clone(),
        made,
        files: Vec::new(),
        environment: Vec::new(),
        notes: Vec::new(),
    };
    let mut missing = Vec::new();
    if let (Some(project), false) = (&point.manifest.project, which == Which::Made) {
        let mut found = empty(false);
        missing = own(&reader, snapshot, project, &mut found)?;
        if missing.is_empty() && !found.files.is_empty() {
            return Ok(found);
        }
    }
    if which == Which::AsItWas {
        return Err(RecoveryError::NotFound(format!(
            "the point holds no compose file of {app}{}; --definition=made makes one from its containers",
            missing
                .first()
                .map_or_else(String::new, |path| format!(" ({path} is not in it)"))
        )));
    }
    if point.manifest.containers.is_empty() {
        return Err(RecoveryError::NotFound(format!(
            "{app} has no containers, so there is no definition to make a compose file from"
        )));
    }
    let mut made = empty(true);
    made.notes.extend(
        missing
            .iter()
            .map(|path| format!("{path} is not in the point")),
    );
    make(&reader, snapshot, &point, &mut made)?;
    Ok(made)
}

/// The app's own files; returns those that the point does not hold.
fn own(
    reader: &Reader,
    snapshot: &Snapshot,
    project: &ProjectRecord,
    found: &mut Definition,
) -> Result<Vec<String>> {
    let mut missing = Vec::new();
    let read = |path: &str| match layout::project(path) {
        Some(place) => read_file(reader, snapshot, &place),
        None => Ok(None),
    };
    for path in &project.config_files {
        match read(path)? {
            Some(content) => found.files.push(file(path, content)),
            None => missing.push(path.clone()),
        }
    }
    let dotenv = project.working_dir.as_deref();
    let dotenv = dotenv.and_then(|dir| path::join(dir, ".env"));
    let mut seen = BTreeSet::new();
    for path in project.environment_files.iter().chain(&dotenv) {
        if let (true, Some(content)) = (seen.insert(path), read(path)?) {
            found.environment.push(file(path, content));
        }
    }
    Ok(missing)
}

fn make(
    reader: &Reader,
    snapshot: &Snapshot,
    point: &OpenPoint,
    made: &mut Definition,
) -> Result<()> {
    let raw = |place: String| -> Result<Option<Value>> {
        let bytes = read_file(reader, snapshot, &place)?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    };
    let engine = raw(layout::ENGINE.to_owned())?.unwrap_or_default();
    let mut images = BTreeMap::new();
    for image in &point.manifest.images {
        if let Some(raw) = raw(layout::image_definition(&image.id))? {
            images.insert(image.id.clone(), raw);
        }
    }
    let file = from_inspect(Facts {
        manifest: &point.manifest,
        engine: &engine,
        containers: &point.definitions.containers,
        networks: &point.definitions.networks,
        volumes: &point.definitions.volumes,
        images: &images,
    });
    let heading = format!(
        "# Made by lifeboat from the containers of {} as they were at {} (point {}).\n# It holds the values of their environment, secrets included.\n",
        plain(&made.app),
        plain(&point.time),
        point.id.short()
    );
    let notes = file
        .notes
        .iter()
        .map(|note| format!("# - {}\n", plain(note)));
    let notes: String = notes.collect();
    let notes = if notes.is_empty() {
        notes
    } else {
        format!("# What it cannot say:\n{notes}")
    };
    made.files.push(DefinitionFile {
        path: "compose.yaml".to_owned(),
        content: format!("{heading}{notes}\n{}", file.text).into_bytes(),
    });
    made.notes.extend(file.notes);
    Ok(())
}

impl Definition {
    fn ahead(&self, ctx: &Context, to: &To<'_>) -> Delivered {
        let action = match (to, self.made) {
            (To::Out, false) => "print".to_owned(),
            (To::Out, true) => "make from the containers, and print".to_owned(),
            (To::Place(at), false) => format!("write to {}", at.display()),
            (To::Place(at), true) => {
                format!("make from the containers, and write to {}", at.display())
            }
        };
        let steps = self.wanted(to).map(|file| {
            let step = Step::new(Work::Definition, &file.path, &action);
            step.bytes(file.content.len() as u64)
        });
        Delivered {
            app: self.app.clone(),
            id: self.id,
            time: self.time.clone(),
            made: self.made,
            told: Told::ahead(ctx, &self.app, Way::Definition, steps.collect()),
            written: Vec::new(),
            obstacles: Vec::new(),
            notes: self.notes.clone(),
        }
    }

    /// The files that go there: env files where each file has a name of its own.
    fn wanted(&self, to: &To<'_>) -> impl Iterator<Item = &DefinitionFile> {
        let with_environment = matches!(to, To::Place(at) if at.is_dir());
        let environment = self.environment.iter().filter(move |_| with_environment);
        self.files.iter().chain(environment)
    }

    /// The compose files as one: the file itself where there is one, else its documents one after
    /// another, which Compose reads as it reads several files.
    pub fn text(&self) -> Vec<u8> {
        if let [only] = self.files.as_slice() {
            return only.content.clone();
        }
        let mut all = Vec::new();
        for (index, file) in self.files.iter().enumerate() {
            if index > 0 {
                all.extend_from_slice(b"---\n");
            }
            all.extend_from_slice(format!("# {}\n", plain(&file.path)).as_bytes());
            all.extend_from_slice(&file.content);
            if !file.content.ends_with(b"\n") {
                all.push(b'\n');
            }
        }
        all
    }

    /// Writes it, for its owner alone, never over what is there: into the file `target`, or under
    /// their own names into the folder `target`, there with the env files that go with them. `each` hears
    /// of each file before it is written.
    fn write(&self, target: &Path, each: &dyn Fn(&str)) -> Result<Vec<PathBuf>> {
        let places = self.places(target)?;
        if let [only] = places.as_slice()
            && only == target
        {
            self.files.iter().for_each(|file| each(&file.path));
            write_private(target, &self.text(), false)?;
            return Ok(places);
        }
        for (file, place) in self.wanted(&To::Place(target)).zip(&places) {
            each(&file.path);
            write_private(place, &file.content, false)?;
        }
        Ok(places)
    }

    /// Where it would be written, unless something is there.
    fn places(&self, target: &Path) -> Result<Vec<PathBuf>> {
        if !target.is_dir() {
            if fs_err::symlink_metadata(target).is_ok() {
                return Err(is_there(target));
            }
            return Ok(vec![target.to_owned()]);
        }
        let mut places = Vec::new();
        for file in self.wanted(&To::Place(target)) {
            let name = path::clean(&file.path).unwrap_or_else(|| file.path.clone());
            let name = name.rsplit('/').next().unwrap_or_default();
            if name.is_empty() || name == "." || name == ".." || name.contains('\0') {
                return Err(RecoveryError::Refused(format!(
                    "`{}` is no name of a compose file; nothing was written",
                    file.path.escape_debug()
                )));
            }
            let place = target.join(name);
            if places.contains(&place) {
                return Err(RecoveryError::Refused(format!(
                    "two of the files are called {name}; give a file as --target, which gets them one after another"
                )));
            }
            if fs_err::symlink_metadata(&place).is_ok() {
                return Err(is_there(&place));
            }
            places.push(place);
        }
        Ok(places)
    }
}

fn is_there(path: &Path) -> RecoveryError {
    RecoveryError::Refused(format!(
        "{} is there already and is never overwritten; choose another --target",
        path.display()
    ))
}

fn file(path: &str, content: Vec<u8>) -> DefinitionFile {
    DefinitionFile {
        path: path.to_owned(),
        content,
    }
}

/// A text from a vault on one line of a comment.
fn plain(text: &str) -> String {
    text.replace(char::is_control, " ")
}

fn as_text<S: serde::Serializer>(bytes: &[u8], to: S) -> std::result::Result<S::Ok, S::Error> {
    to.serialize_str(&String::from_utf8_lossy(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(files: &[(&str, &str)]) -> Definition {
        let all = files
            .iter()
            .map(|(path, text)| file(path, text.as_bytes().to_vec()));
        Definition {
            app: "default/web1/shop".to_owned(),
            id: SnapshotId([0x6f; 32]),
            time: String::new(),
            made: false,
            files: all.collect(),
            environment: vec![file("/srv/shop/.env", b"A=1\n".to_vec())],
            notes: Vec::new(),
        }
    }

    #[test]
    fn one_file_is_given_as_it_was_and_several_as_documents() {
        let one = definition(&[("/srv/shop/compose.yml", "services: {}")]);
        assert_eq!(one.text(), b"services: {}");
        let two = definition(&[("/srv/a.yml", "a: 1"), ("/srv/b\n.yml", "b: 2\n")]);
        let text = String::from_utf8(two.text()).unwrap();
        assert_eq!(text, "# /srv/a.yml\na: 1\n---\n# /srv/b .yml\nb: 2\n");
    }

    #[test]
    fn nothing_that_is_there_is_overwritten_and_nothing_is_left_half_written() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let two = definition(&[("/srv/shop/a.yml", "a: 1"), ("/srv/shop/b.yml", "b: 2")]);
        let written = two.write(dir.path(), &|_| {}).unwrap();
        assert_eq!(written.len(), 3);
        let dotenv = fs_err::metadata(dir.path().join(".env")).unwrap();
        assert_eq!(dotenv.permissions().mode() & 0o777, 0o600);
        fs_err::remove_file(dir.path().join("a.yml")).unwrap();
        for target in [dir.path().to_owned(), dir.path().join("b.yml")] {
            let refused = two.write(&target, &|_| {}).unwrap_err().to_string();
            assert!(refused.contains("never overwritten"), "{refused}");
        }
        assert!(!dir.path().join("a.yml").exists());
        let same = definition(&[("/x/a.yml", ""), ("/y/a.yml", "")]);
        same.write(dir.path(), &|_| {}).unwrap_err();
        let up = definition(&[("/x/..", "")]);
        up.write(dir.path(), &|_| {}).unwrap_err();
        assert!(!dir.path().join("a.yml").exists());
    }
}
