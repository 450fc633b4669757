//! An engine behind `ssh`: the system's own program runs `docker system dial-stdio` there, as the docker
//! program does it, and its standard streams are the connection.
//!
//! Nobody is asked for anything: a key that wants a password, a host that is not known yet, end with a
//! sentence. A host's key is never accepted by us, whatever ssh's settings say.

use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::endpoint::Ssh;

/// How much of what ssh says is kept.
const KEPT: u64 = 64 << 10;
/// How long ssh may take to say why it ended.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A connection. Dropping it ends ssh.
pub(super) struct Pipe {
    _child: Child,
    to: ChildStdin,
    from: ChildStdout,
}

/// What ssh said on its way.
#[derive(Clone, Default)]
pub(super) struct Said {
    text: Arc<Mutex<Vec<u8>>>,
    ended: Arc<tokio::sync::Notify>,
}

/// Starts ssh. Whether it gets there is seen when something is asked.
pub(super) fn connect(ssh: &Ssh) -> io::Result<(Pipe, Said)> {
    let mut command = Command::new("ssh");
    for option in [
        "BatchMode=yes",
        "StrictHostKeyChecking=yes",
        "ConnectTimeout=10",
        "ServerAliveInterval=30",
    ] {
        command.args(["-o", option]);
    }
    command.arg("-T");
    if let Some(user) = &ssh.user {
        command.args(["-l", user]);
    }
    if let Some(port) = ssh.port {
        command.args(["-p", &port.to_string()]);
    }
    command.args(["--", &ssh.host, "docker"]);
    if let Some(socket) = &ssh.socket {
        // ssh joins its arguments, and a shell over there takes them apart again.
        let address = format!("unix://{}", socket.display());
        command.arg("--host").arg(quoted(&address));
    }
    command.args(["system", "dial-stdio"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    // A group of its own: Ctrl-C is ours to handle, the connection has to outlast it.
    let mut child = command
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    let missing = || io::Error::other("ssh has no standard streams");
    let (to, from) = (child.stdin.take(), child.stdout.take());
    let (to, from) = (to.ok_or_else(missing)?, from.ok_or_else(missing)?);
    let said = Said::default();
    if let Some(stderr) = child.stderr.take() {
        let said = said.clone();
        tokio::spawn(async move {
            let mut stderr = stderr.take(KEPT);
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = stderr.read(&mut piece).await {
                said.lock().extend_from_slice(&piece[..count]);
            }
            said.ended.notify_one();
        });
    }
    let pipe = Pipe {
        _child: child,
        to,
        from,
    };
    Ok((pipe, said))
}

impl Said {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the connection broke, once ssh has had the time to say it.
    pub(super) async fn why(&self, ssh: &Ssh) -> Option<String> {
        let _ = tokio::time::timeout(LAST_WORDS, self.ended.notified()).await;
        let text = String::from_utf8_lossy(&self.lock()).into_owned();
        sentence(&text, ssh)
    }
}

/// A sentence for what ssh, or docker over there, said at its end.
fn sentence(said: &str, ssh: &Ssh) -> Option<String> {
    let host = &ssh.host;
    let by_hand = match (&ssh.user, ssh.port) {
        (Some(user), Some(port)) => format!("ssh -p {port} {user}@{host}"),
        (Some(user), None) => format!("ssh {user}@{host}"),
        (None, Some(port)) => format!("ssh -p {port} {host}"),
        (None, None) => format!("ssh {host}"),
    };
    let has = |words: &str| said.contains(words);
    let last = said.lines().map(str::trim).rfind(|line| !line.is_empty());
    Some(if has("REMOTE HOST IDENTIFICATION HAS CHANGED") {
        format!(
            "the host key of {host} is not the one that this machine knows; either the host was set up anew, or somebody stands between: find out which before you correct known_hosts"
        )
    } else if has("Host key verification failed") || has("host key is known for") {
        format!(
            "the host key of {host} is not known here, and none is accepted unseen; connect once by hand with `{by_hand}` and compare it"
        )
    } else if has("docker.sock") && has("permission denied") || has("to the Docker daemon socket") {
        format!(
            "ssh gets there, but that user may not use the engine on {host}; take a user in the group docker, or root"
        )
    } else if has("Cannot connect to the Docker daemon") || has("raw stream connection") {
        format!("ssh gets there, but no engine runs on {host}; start it")
    } else if has("Permission denied") || has("Too many authentication failures") {
        format!(
            "{host} takes none of our keys, and no password is asked for; see that `{by_hand}` works without one (a key in ~/.ssh or in an agent)"
        )
    } else if has("command not found") || has("docker: not found") {
        format!(
            "there is no docker program on {host}, which has to carry the connection; install it there"
        )
    } else {
        format!("ssh ended: {}", last?)
    })
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.from).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.to).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.to).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.to).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ssh_says_becomes_a_sentence() {
        let ssh = Ssh {
            user: Some("me".to_owned()),
            host: "web1".to_owned(),
            port: Some(2222),
            socket: None,
        };
        for (said, words) in [
            (
                "me@web1: Permission denied (publickey).\r\n",
                "none of our keys",
            ),
            ("Host key verification failed.", "ssh -p 2222 me@web1"),
            (
                "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.",
                "is not the one",
            ),
            ("sh: 1: docker: not found", "no docker program"),
            (
                "Got permission denied while trying to connect to the Docker daemon socket",
                "group docker",
            ),
            (
                "Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?",
                "no engine runs",
            ),
            (
                "failed to open the raw stream connection: dial unix /x: no such file",
                "no engine runs",
            ),
            (
                "ssh: connect to host web1 port 22: Connection refused\n",
                "ssh ended: ssh: connect",
            ),
        ] {
            let sentence = sentence(said, &ssh).unwrap();
            assert!(sentence.contains(words), "{said}: {sentence}");
        }
        assert_eq!(sentence("", &ssh), None);
        assert_eq!(quoted("a'b c"), "'a'\\''b c'");
    }
}
