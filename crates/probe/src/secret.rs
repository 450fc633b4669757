//! Secrets, where a check's reference says that they are.

use std::io::Read as _;
use std::sync::Arc;

use lifeboat_plan::probe::{HeaderText, Login, Reference};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use zeroize::Zeroizing;

use crate::target::Target;

/// The longest secret.
const LONGEST: u64 = 4096;

/// A secret that is wiped when it is no longer needed.
pub(crate) type Secret = Zeroizing<String>;

/// Reads what a reference points to. The phrase of an error names the place, never what is there.
pub(crate) async fn read(target: &Arc<Target>, reference: &Reference) -> Result<Secret, String> {
    match reference {
        Reference::Environment(name) => {
            let found = target.variable(name);
            let found = found.ok_or_else(|| {
                format!("the container's environment has no {name}, which the password is to be in")
            })?;
            Ok(Zeroizing::new(found.to_owned()))
        }
        Reference::ContainerFile(path) => {
            let (target, path) = (Arc::clone(target), path.clone());
            blocking(move || in_container(&target, &path)).await
        }
        Reference::HostFile(path) => {
            let path = path.clone();
            blocking(move || {
                let opened = fs_err::File::open(&path);
                text(
                    opened.map(fs_err::File::into_parts).map(|(file, _)| file),
                    &path,
                )
            })
            .await
        }
    }
}

/// The password of a login, if it names one.
pub(crate) async fn password(
    target: &Arc<Target>,
    login: &Login,
) -> Result<Option<Secret>, String> {
    match &login.password {
        Some(reference) => read(target, reference).await.map(Some),
        None => Ok(None),
    }
}

/// What a header says.
pub(crate) async fn header(target: &Arc<Target>, header: &HeaderText) -> Result<Secret, String> {
    match header {
        HeaderText::Plain(text) => Ok(Zeroizing::new(text.clone())),
        HeaderText::From(reference) => read(target, reference).await,
    }
}

async fn blocking<F>(work: F) -> Result<Secret, String>
where
    F: FnOnce() -> Result<Secret, String> + Send + 'static,
{
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err("the password could not be read".to_owned()))
}

/// A file as the container sees it. Its links lead nowhere but into the container.
fn in_container(target: &Target, path: &str) -> Result<Secret, String> {
    // That this process is the container's is found out there.
    target.namespace().map_err(str::to_owned)?;
    let failed = |e: &dyn std::fmt::Display| format!("{path} of the container cannot be read: {e}");
    let root = fs_err::File::open(format!("/proc/{}/root", target.pid)).map_err(|e| failed(&e))?;
    // Without waiting for whoever would write into a pipe.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let opened = openat2(root.file(), path, flags, Mode::empty(), how).map_err(|e| failed(&e))?;
    text(Ok(opened.into()), path)
}

fn text(opened: std::io::Result<std::fs::File>, path: &str) -> Result<Secret, String> {
    let failed = |e: &dyn std::fmt::Display| {
        format!("{path}, which the password is to be in, cannot be read: {e}")
    };
    let file = opened.map_err(|e| failed(&e))?;
    if !file.metadata().is_ok_and(|m| m.is_file()) {
        return Err(failed(&"it is no file"));
    }
    let mut text = Zeroizing::new(String::new());
    file.take(LONGEST)
        .read_to_string(&mut text)
        .map_err(|e| failed(&e.kind()))?;
    Ok(Zeroizing::new(
        text.trim_end_matches(['\n', '\r']).to_owned(),
    ))
}
