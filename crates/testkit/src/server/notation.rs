//! Signatures of images as the Notary Project makes them: an artifact that refers to the image.

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use serde_json::json;

use crate::Result;
use crate::command::run;
use crate::go::GoTool;

pub(super) const NOTATION: GoTool = GoTool {
    program: "notation",
    module: "github.com/notaryproject/notation",
    version: "v1.3.2",
    package: "github.com/notaryproject/notation/cmd/notation",
    flags: "",
    main: "",
};

/// Who signs, and who trusts nobody else.
#[derive(Debug)]
pub struct Notation {
    program: PathBuf,
    home: PathBuf,
}

impl Notation {
    /// With a key and a trust policy of its own below `home`.
    pub fn new(home: &Path) -> Result<Self> {
        let settings = home.join("notation");
        fs::create_dir_all(&settings)?;
        let notation = Self {
            program: NOTATION.ensure()?,
            home: home.to_owned(),
        };
        notation.run(&["cert", "generate-test", "--default", "lab"])?;
        let policy = json!({"version": "1.0", "trustPolicies": [{
            "name": "lab", "registryScopes": ["*"], "signatureVerification": {"level": "strict"},
            "trustStores": ["ca:lab"], "trustedIdentities": ["*"],
        }]});
        fs::write(settings.join("trustpolicy.json"), policy.to_string())?;
        Ok(notation)
    }

    /// Signs `HOST/NAME@DIGEST`; the registry is told by a tag, as those without referrers need it.
    pub fn sign(&self, name: &str) -> Result<()> {
        self.run(&["sign", "--insecure-registry", name])
    }

    /// Whether the registry has a signature of ours for `HOST/NAME@DIGEST`, and what was signed is what it has.
    pub fn verify(&self, name: &str) -> Result<()> {
        self.run(&["verify", "--insecure-registry", name])
    }

    fn run(&self, args: &[&str]) -> Result<()> {
        let mut command = Command::new(&self.program);
        command.args(args).env("XDG_CONFIG_HOME", &self.home);
        run(command.env("XDG_CACHE_HOME", &self.home)).map(drop)
    }
}
