//! A program of this machine that is told: only one that nobody but root can change.

use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Message, NotSent};

const PATIENCE: Duration = Duration::from_secs(30);

/// Refuses what somebody else could have put there.
pub(crate) fn refuse_others(program: &Path) -> Result<(), NotSent> {
    let failed = |e: std::io::Error| NotSent(format!("the program cannot be looked at: {e}"));
    let real = fs_err::canonicalize(program).map_err(failed)?;
    for path in real.ancestors() {
        let facts = fs_err::metadata(path).map_err(failed)?;
        // A folder like /tmp lets nobody replace what is another's.
        let sticky = facts.is_dir() && facts.mode() & 0o1000 != 0;
        if facts.uid() != 0 || (facts.mode() & 0o022 != 0 && !sticky) {
            return Err(NotSent(format!(
                "{} is not run: {} can be changed by others than root",
                program.display(),
                path.display()
            )));
        }
    }
    Ok(())
}

/// Runs it with the message on its input as JSON and in its environment; blocks.
#[allow(
    clippy::disallowed_methods,
    reason = "this is what it is for; the file is root's own"
)]
pub(crate) fn run(program: &Path, message: &Message) -> Result<(), NotSent> {
    refuse_others(program)?;
    let failed = |e: std::io::Error| NotSent(format!("the program cannot be run: {e}"));
    let mut child = Command::new(program)
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env("LIFEBOAT_LEVEL", message.level.word())
        .env("LIFEBOAT_TITLE", message.title.replace('\0', " "))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir("/")
        .spawn()
        .map_err(failed)?;
    if let Some(mut input) = child.stdin.take() {
        let text = serde_json::to_vec(message).unwrap_or_default();
        // One that does not read is no failure.
        let _ = input.write_all(&text);
    }
    let status = wait(&mut child).map_err(failed)?;
    match status {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(NotSent(format!("the program ended with {status}"))),
        None => Err(NotSent(
            "the program did not end in time and was killed".to_owned(),
        )),
    }
}

fn wait(child: &mut Child) -> std::io::Result<Option<std::process::ExitStatus>> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::Level;

    #[test]
    fn only_roots_own_programs_are_run() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("tell");
        let out = dir.path().join("out");
        let script = format!(
            "#!/bin/sh\n(echo \"$LIFEBOAT_LEVEL\"; cat) >{}\n",
            out.display()
        );
        fs_err::write(&program, script).unwrap();
        let mode = |mode| {
            fs_err::set_permissions(&program, std::fs::Permissions::from_mode(mode)).unwrap()
        };
        let message = Message {
            level: Level::Failure,
            title: "shop".to_owned(),
            body: "missed".to_owned(),
        };
        mode(0o777);
        let refused = run(&program, &message).unwrap_err().to_string();
        assert!(
            refused.contains("can be changed by others than root"),
            "{refused}"
        );
        if rustix::process::geteuid().is_root() {
            mode(0o755);
            run(&program, &message).unwrap();
            let said = fs_err::read_to_string(&out).unwrap();
            assert!(
                said.starts_with("failure\n{") && said.contains("\"body\":\"missed\""),
                "{said}"
            );
        }
    }
}
