//! S3, as versitygw serves a directory: each folder is a bucket.

use std::path::{Path, PathBuf};

use fs_err as fs;

use super::{Server, free_port};
use crate::Result;
use crate::go::GoTool;

pub(super) const VERSITYGW: GoTool = GoTool {
    program: "versitygw",
    module: "github.com/versity/versitygw",
    version: "v1.8.0",
    package: "github.com/versity/versitygw/cmd/versitygw",
    flags: "",
    main: "",
};

/// An S3 server with one bucket, `vaults`.
#[derive(Debug)]
pub struct S3Server {
    /// The server.
    pub server: Server,
    port: u16,
    buckets: PathBuf,
}

impl S3Server {
    /// The key that it takes.
    pub const KEY: &str = "lifeboat";
    /// Its secret.
    pub const SECRET: &str = "correct-horse";
    /// The bucket.
    pub const BUCKET: &str = "vaults";

    /// Serves a directory, which is made if it is not there.
    pub fn start(dir: &Path) -> Result<Self> {
        Self::start_over(dir, &dir.join("buckets"))
    }

    /// The same with its buckets in a place of their own.
    pub fn start_over(dir: &Path, buckets: &Path) -> Result<Self> {
        let program = VERSITYGW.ensure()?;
        fs::create_dir_all(dir)?;
        fs::create_dir_all(buckets.join(Self::BUCKET))?;
        let port = free_port()?;
        let server = Server::start(&program, port, &dir.join("log"), |command| {
            command
                .env("ROOT_ACCESS_KEY", Self::KEY)
                .env("ROOT_SECRET_KEY", Self::SECRET)
                .args(["--quiet", "--port", &format!("127.0.0.1:{port}")])
                .args(["--region", "us-east-1", "posix"])
                .arg(buckets);
        })?;
        Ok(Self {
            server,
            port,
            buckets: buckets.to_owned(),
        })
    }

    /// A place in the bucket, in the form that restic takes.
    pub fn place(&self, prefix: &str) -> String {
        format!(
            "s3:http://127.0.0.1:{}/{}/{prefix}",
            self.port,
            Self::BUCKET
        )
    }

    /// What an environment has to hold to get in.
    pub fn environment() -> [(&'static str, &'static str); 2] {
        [
            ("AWS_ACCESS_KEY_ID", Self::KEY),
            ("AWS_SECRET_ACCESS_KEY", Self::SECRET),
        ]
    }

    /// Where the bucket's objects lie.
    pub fn bucket(&self) -> PathBuf {
        self.buckets.join(Self::BUCKET)
    }
}
