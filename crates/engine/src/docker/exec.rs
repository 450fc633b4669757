//! A command in a running container: exit code and what it wrote.
//!
//! Output is framed by the engine: one byte for the stream, three of nothing, four of length, then the
//! bytes. What is beyond the bound is read and dropped, so that the command never blocks on us.

use std::io::{self, Read};
use std::time::Instant;

use hyper::Method;
use serde_json::{Value, json};

use super::http::{Body, ORDINARY, escape};
use super::{DockerEngine, text};
use crate::{Error, ExecOutput, ExecRequest, Result};

const MAX_FRAME: usize = 16 << 10;

impl DockerEngine {
    /// Runs a command in a running container and waits for its end. The command's output stream may
    /// stand still for as long as the request's limit, its whole run may take no longer either; beyond
    /// it the command is killed where its processes can be seen from here, else left to itself: the API cannot
    /// end it.
    ///
    /// # Errors
    /// No such container, it does not run, or the limit passed.
    pub fn exec(&self, id: &str, request: &ExecRequest) -> Result<ExecOutput> {
        let context = format!(
            "run {} in container {id}",
            request.command.first().map_or("nothing", String::as_str)
        );
        let body = json!({
            "AttachStdin": false, "AttachStdout": true, "AttachStderr": true, "Tty": false,
            "Cmd": request.command, "Env": request.env, "User": request.user, "WorkingDir": request.working_dir,
        });
        let late = |exec: &str| {
            self.end_exec(exec, id);
            Error::Timeout {
                context: context.clone(),
                after: request.limit,
            }
        };
        let path = format!("/containers/{}/exec", escape(id));
        let created = self
            .post(&path, Body::Json(&body), &context)?
            .json(&context)?;
        let exec = &escape(text(&created, "Id"));
        let start = json!({"Detach": false, "Tty": false});
        let began = Instant::now();
        let path = format!("/exec/{exec}/start");
        let started = self.call_within(
            Method::POST,
            &path,
            Body::Json(&start),
            &context,
            request.limit,
        );
        let mut answer = match started {
            Err(Error::Timeout { .. }) => return Err(late(exec)),
            other => other?,
        };
        let mut output = ExecOutput::default();
        loop {
            let more = read_frame(&mut answer.body, &mut output, request.max_output).map_err(
                |source| {
                    if source.kind() == io::ErrorKind::TimedOut {
                        late(exec)
                    } else {
                        Error::Transport {
                            context: context.clone(),
                            source,
                        }
                    }
                },
            )?;
            if !more {
                break;
            }
            if began.elapsed() > request.limit {
                return Err(late(exec));
            }
        }
        output.exit_code = self.exit_code(exec, &context)?;
        Ok(output)
    }

    /// The stream can end a moment before the engine has noted the exit.
    fn exit_code(&self, exec: &str, context: &str) -> Result<i64> {
        let end = Instant::now() + ORDINARY;
        loop {
            let state = self.get_json(&format!("/exec/{exec}/json"), context)?;
            if let (Some(false), Some(code)) = (
                state["Running"].as_bool(),
                state.get("ExitCode").and_then(Value::as_i64),
            ) {
                return Ok(code);
            }
            if Instant::now() >= end {
                return Err(Error::Timeout {
                    context: context.to_owned(),
                    after: ORDINARY,
                });
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

/// Reads one frame; `false` at the end.
fn read_frame(stream: &mut impl Read, output: &mut ExecOutput, bound: usize) -> io::Result<bool> {
    let mut head = [0_u8; 8];
    let first = loop {
        match stream.read(&mut head[..1]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => break other?,
        }
    };
    if first == 0 {
        return Ok(false);
    }
    stream.read_exact(&mut head[1..])?;
    let [kind, _, _, _, a, b, c, d] = head;
    let target = match kind {
        0 | 1 => &mut output.stdout,
        2 => &mut output.stderr,
        _ => {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "unknown stream in the command's output",
            ));
        }
    };
    let mut left = u64::from(u32::from_be_bytes([a, b, c, d]));
    let mut buffer = [0_u8; MAX_FRAME];
    while left > 0 {
        let want = usize::try_from(left).unwrap_or(MAX_FRAME).min(MAX_FRAME);
        stream.read_exact(&mut buffer[..want])?;
        let room = bound.saturating_sub(target.len()).min(want);
        target.extend_from_slice(&buffer[..room]);
        output.truncated |= room < want;
        left -= want as u64;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![kind, 0, 0, 0];
        out.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_be_bytes());
        out.extend_from_slice(bytes);
        out
    }

    #[test]
    fn tells_the_streams_apart_and_keeps_the_bound() {
        let stream = [frame(1, b"out"), frame(2, b"error"), frame(1, b"put")].concat();
        let (mut reader, mut output) = (stream.as_slice(), ExecOutput::default());
        while read_frame(&mut reader, &mut output, 4).unwrap() {}
        assert_eq!(
            (output.stdout.as_slice(), output.stderr.as_slice()),
            (&b"outp"[..], &b"erro"[..])
        );
        assert!(output.truncated);
    }

    #[test]
    fn a_stream_that_breaks_off_is_an_error() {
        let stream = frame(1, b"whole");
        let mut reader = &stream[..stream.len() - 1];
        assert!(read_frame(&mut reader, &mut ExecOutput::default(), 99).is_err());
        assert!(read_frame(&mut &b"\x01\x00"[..], &mut ExecOutput::default(), 99).is_err());
    }
}
