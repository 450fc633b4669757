//! Who one logs in as. Passwords never stand in a label or a setting, only where they are found.

use std::fmt;

/// Where a secret is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// `env:NAME`: in the environment that the container was made with.
    Environment(String),
    /// `file:/path`: in a file **of the container**, for instance `/run/secrets/…`. A label can be brought by
    /// an image, so it never names a file of the host.
    ContainerFile(String),
    /// `host-file:/path`: in a file of the host. In `lifeboat.toml` alone.
    HostFile(String),
}

impl Reference {
    /// Reads one. What is no reference may be the secret itself, and is not quoted.
    pub(super) fn parse(text: &str, from_label: bool) -> Result<Self, String> {
        let absolute = |path: &str| path.starts_with('/') && !path.contains('\0');
        match text.trim().split_once(':') {
            Some(("env", name)) if !name.is_empty() && !name.contains(['=', '\0']) => {
                Ok(Self::Environment(name.to_owned()))
            }
            Some(("file", path)) if absolute(path) => Ok(Self::ContainerFile(path.to_owned())),
            Some(("host-file", _)) if from_label => Err(
                "a label cannot name a file of the host, since an image can bring labels; write file:/path of the container, or put it into lifeboat.toml".to_owned(),
            ),
            Some(("host-file", path)) if absolute(path) => Ok(Self::HostFile(path.to_owned())),
            _ => Err(
                "a secret is not written here but where it is found: env:NAME of the container's environment, or file:/path in the container"
                    .to_owned(),
            ),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(name) => write!(f, "env:{name}"),
            Self::ContainerFile(path) => write!(f, "file:{path}"),
            Self::HostFile(path) => write!(f, "host-file:{path}"),
        }
    }
}

/// A name, and where its password is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// The name.
    pub user: Option<String>,
    /// Where the password is.
    pub password: Option<Reference>,
}
