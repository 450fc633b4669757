//! `dump`: the bytes themselves, so there is no `-o json`.

use std::{
    io::{self, Write},
    os::unix::ffi::OsStrExt,
};

use lifeboat_recovery::{RecoveryError, inspect, points};

use crate::{
    args::DumpArgs,
    exit::{Exit, Failure, Result},
    human,
    output::Output,
    session::Session,
};

/// Bytes that are gathered before they are written.
const BUFFER: usize = 256 << 10;

/// Standard output as a stream.
struct Stream<'a>(&'a Output);

impl Write for Stream<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.0.bytes(bytes);
        written.map_err(|failure| io::Error::other(failure.to_string()))?;
        match self.0.is_closed() {
            // Nobody reads any more: the rest need not be read from the vault.
            true => Err(io::ErrorKind::BrokenPipe.into()),
            false => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a file or a folder.
pub fn run(session: &Session, args: &DumpArgs) -> Result<Exit> {
    if session.out.is_json() {
        return Err(Failure::usage(
            "`dump` writes the content itself, which is no JSON; leave -o json out",
        ));
    }
    let ctx = session.context(None)?;
    let (_, snapshot) = points::resolve(&ctx.vault, &args.reference)?;
    let reader = ctx.vault.reader()?;
    let terminal = session.out.is_terminal();
    let mut before = |archive| match archive && terminal {
        true => Err(RecoveryError::Refused(
            "an archive is not for a terminal; send it to a file or to `tar -t`".to_owned(),
        )),
        false => Ok(()),
    };
    let mut out = io::BufWriter::with_capacity(BUFFER, Stream(&session.out));
    let dumped = inspect::dump(
        &reader,
        &snapshot,
        args.path.as_bytes(),
        args.archive.is_some(),
        &ctx.cancel,
        &mut out,
        &mut before,
    );
    session.reporter.finish();
    // What is left in the buffer was checked too, but an archive without its end must not look whole.
    let (_, rest) = out.into_parts();
    if session.out.is_closed() {
        return Ok(Exit::Done);
    }
    let dumped = match dumped {
        Ok(dumped) => dumped,
        Err(error) => {
            if ctx.cancel.is_cancelled() {
                return Err(Failure::interrupted());
            }
            return Err(error.into());
        }
    };
    if rest.is_ok_and(|rest| !rest.is_empty()) {
        return Err(Failure::new("standard output cannot be written"));
    }
    if dumped.left_out > 0 {
        session.reporter.warn_once(&format!(
            "{} left out: an archive has no place for them",
            human::plural(dumped.left_out, "socket")
        ));
    }
    Ok(Exit::Done)
}
