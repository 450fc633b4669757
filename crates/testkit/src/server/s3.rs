//! S3, as versitygw serves a directory: each folder is a bucket.

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use rustix::fs::XattrFlags;
use sha2::{Digest, Sha256};

use super::{Server, free_port};
use crate::command::run;
use crate::go::GoTool;
use crate::{Error, Result, packages};

/// The SHA-256 of no bytes, which curl does not add by itself.
const NOTHING: &str =
    "x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

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
    /// Where versions lie that are not the newest.
    versions: Option<PathBuf>,
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
        fs::create_dir_all(buckets.join(Self::BUCKET))?;
        Self::serve(dir, buckets, None, &[])
    }

    /// Serves a directory to users beside the owner of all: key, secret, and a bucket that is this user's alone.
    pub fn start_with_users(dir: &Path, users: &[(&str, &str, &str)]) -> Result<Self> {
        let (buckets, accounts) = (dir.join("buckets"), dir.join("accounts"));
        fs::create_dir_all(buckets.join(Self::BUCKET))?;
        fs::create_dir_all(&accounts)?;
        let iam = accounts.display().to_string();
        let server = Self::serve(dir, &buckets, None, &["--iam-dir", &iam])?;
        for (key, secret, bucket) in users {
            let admin = |words: &[&str]| {
                let mut admin = Command::new(VERSITYGW.ensure()?);
                admin
                    .env("ADMIN_ACCESS_KEY", Self::KEY)
                    .env("ADMIN_SECRET_KEY", Self::SECRET)
                    .arg("admin")
                    .args([
                        "--endpoint-url",
                        &format!("http://127.0.0.1:{}", server.port),
                    ]);
                run(admin.args(words)).map(drop)
            };
            let user = ["create-user", "--access", key, "--secret", secret];
            admin(&[&user[..], &["--role", "user"]].concat())?;
            admin(&["create-bucket", "--owner", key, "--bucket", bucket])?;
        }
        Ok(server)
    }

    /// Serves a directory in which the bucket keeps all versions and has Object Lock.
    pub fn start_locking(dir: &Path) -> Result<Self> {
        let (buckets, versions) = (dir.join("buckets"), dir.join("versions"));
        fs::create_dir_all(&buckets)?;
        fs::create_dir_all(&versions)?;
        let server = Self::serve(dir, &buckets, Some(versions), &[])?;
        let with = ["-H", "x-amz-bucket-object-lock-enabled: true"];
        server.ask("PUT", "", &with)?;
        Ok(server)
    }

    fn serve(dir: &Path, buckets: &Path, versions: Option<PathBuf>, more: &[&str]) -> Result<Self> {
        let program = VERSITYGW.ensure()?;
        fs::create_dir_all(dir)?;
        let port = free_port()?;
        let server = Server::start(&program, port, &dir.join("log"), |command| {
            command
                .env("ROOT_ACCESS_KEY", Self::KEY)
                .env("ROOT_SECRET_KEY", Self::SECRET)
                .args(["--quiet", "--port", &format!("127.0.0.1:{port}")])
                .args(["--region", "us-east-1"])
                .args(more)
                .arg("posix");
            if let Some(versions) = &versions {
                command.arg("--versioning-dir").arg(versions);
            }
            command.arg(buckets);
        })?;
        Ok(Self {
            server,
            port,
            buckets: buckets.to_owned(),
            versions,
        })
    }

    /// Asks the server as another program would, with the same keys: by curl, which signs by itself. `path` is below
    /// the bucket, with its query. Gives what the server answers; a refusal is an error that holds its words.
    pub fn ask(&self, method: &str, path: &str, more: &[&str]) -> Result<String> {
        packages::ensure(&[("curl", "asks the S3 server")])?;
        let url = format!("http://127.0.0.1:{}/{}{path}", self.port, Self::BUCKET);
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail-with-body", "--user"]);
        curl.arg(format!("{}:{}", Self::KEY, Self::SECRET));
        curl.args(["--aws-sigv4", "aws:amz:us-east-1:s3", "-X", method]);
        curl.args(["-H", NOTHING]).args(more);
        run(curl.arg(url))
    }

    /// Writes over an object, or beside all, as another program with the same keys would. A bucket with versions keeps
    /// below it what was there.
    pub fn write_over(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let body = self.buckets.with_extension("body");
        fs::write(&body, bytes)?;
        packages::ensure(&[("curl", "asks the S3 server")])?;
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail-with-body", "--user"]);
        curl.arg(format!("{}:{}", Self::KEY, Self::SECRET));
        curl.args(["--aws-sigv4", "aws:amz:us-east-1:s3", "-X", "PUT"]);
        let sum = hex::encode(Sha256::digest(bytes));
        curl.args(["-H", &format!("x-amz-content-sha256: {sum}")]);
        curl.arg("--data-binary")
            .arg(format!("@{}", body.display()));
        curl.arg(format!(
            "http://127.0.0.1:{}/{}{path}",
            self.port,
            Self::BUCKET
        ));
        run(&mut curl).map(drop)
    }

    /// As if the time of everything that is locked and has this in its path were over: the dates that the server
    /// keeps beside the objects are put back by a century. What is hidden has no path; an empty text means all.
    pub fn let_locks_end(&self, part: &str) -> Result<()> {
        let name = "user.object-retention";
        for top in self.versions.iter().chain([&self.buckets]) {
            let mut find = Command::new("find");
            let found = run(find.arg(top).args(["-type", "f"]))?;
            for file in found.lines().filter(|path| path.contains(part)) {
                let mut kept = vec![0; 4096];
                let Ok(length) = rustix::fs::getxattr(file, name, &mut kept[..]) else {
                    continue;
                };
                let kept = String::from_utf8_lossy(&kept[..length]);
                let past = kept.replace("\"RetainUntilDate\":\"20", "\"RetainUntilDate\":\"19");
                rustix::fs::setxattr(file, name, past.as_bytes(), XattrFlags::empty())
                    .map_err(|errno| Error::malformed(file.to_owned(), errno))?;
            }
        }
        Ok(())
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
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
