//! A command of this program whose output is read as it comes, however long it is.

use std::ffi::OsString;
use std::io::Read;
use std::process::{Child, ChildStdout};

use crate::{process, results::Said, run::Files};

/// What it writes. Dropped before its end, the command is ended too: it only reads.
pub struct Flow {
    child: Child,
    out: ChildStdout,
    files: Files,
}

impl Flow {
    pub(crate) fn start(
        program: &[OsString],
        args: &[String],
        files: Files,
    ) -> std::io::Result<Self> {
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        let mut child = process::start_piped(program, &args, &files)?;
        let out = child.stdout.take();
        let out = out.ok_or_else(|| std::io::Error::other("it has no output"))?;
        Ok(Self { child, out, files })
    }

    /// How it ended, once all is read.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub fn end(mut self) -> std::io::Result<Said> {
        let status = self.child.wait()?;
        Ok(self.files.said(status.code()))
    }
}

impl Read for Flow {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.out.read(buffer)
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.files.remove();
    }
}
