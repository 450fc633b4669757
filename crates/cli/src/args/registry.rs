mod serve;

use std::{collections::BTreeMap, path::PathBuf};

use clap::{ArgGroup, Args, Subcommand, ValueHint};
use lifeboat_images::registry::Platform;
use lifeboat_plan::retention::Span;

pub use serve::RegistryServeArgs;

/// Backs up image repositories, brings them back, and serves them from the vault
///
/// Without its image no container starts. A registry becomes recovery points of the vault, like an app: every
/// repository, tag, manifest, layer and signature, byte for byte, each checked against its digest.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lifeboat registry backup registry.example:5000        all of it
  lifeboat registry backup registry.example --repo 'team/*'
  lifeboat registry check                               is the newest point whole
  lifeboat registry restore --to other.example:5000     into another registry, with the same digests
  lifeboat registry serve                               engines pull from the vault itself")]
pub struct RegistryArgs {
    #[command(subcommand)]
    pub what: Registry,
}

/// What is done.
#[derive(Debug, Subcommand)]
pub enum Registry {
    Backup(RegistryBackupArgs),
    Check(RegistryCheckArgs),
    Forget(RegistryForgetArgs),
    Restore(RegistryRestoreArgs),
    Serve(RegistryServeArgs),
}

/// How a registry is reached.
#[derive(Debug, Args)]
#[command(next_help_heading = "Reaching the registry")]
pub struct RegistryAccessArgs {
    /// Plain HTTP to another machine; to this one it is tried where TLS is not spoken
    #[arg(long)]
    pub plain_http: bool,

    /// File of authorities (PEM) that may vouch for the registry, beside the system's
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub registry_ca: Option<PathBuf>,

    /// File of our certificate and its key (PEM), where the registry asks for one
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub registry_cert: Option<PathBuf>,

    /// Name to log in with [default: as `docker login` keeps it]
    #[arg(long, value_name = "NAME", requires = "registry_password_file")]
    pub registry_user: Option<String>,

    /// File that holds the password of that name
    #[arg(long, value_name = "FILE", requires = "registry_user", value_hint = ValueHint::FilePath)]
    pub registry_password_file: Option<PathBuf>,

    /// Requests at the same time
    #[arg(long, value_name = "N", default_value = "8", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub jobs: u8,
}

/// Makes a recovery point of a registry
///
/// What the vault has is not fetched again: an unchanged registry costs one question a tag. Others may push meanwhile.
/// What is broken or missing at the source is listed, in the point as well, and the exit code is 3.
#[derive(Debug, Args)]
#[command(after_help = "\
Logins come from docker's config.json and its helpers.

Examples:
  lifeboat registry backup registry.example:5000
  lifeboat registry backup docker.io --repo library/postgres --tag '16*' --platform linux/amd64
  lifeboat registry backup /var/lib/registry --name registry.example:5000
  lifeboat registry backup registry.lan --registry-ca /etc/docker/certs.d/registry.lan/ca.crt")]
pub struct RegistryBackupArgs {
    /// Address, as the names of images have it: HOST or HOST:PORT; or the folder of a registry's own storage, with --name
    #[arg(value_name = "REGISTRY")]
    pub registry: String,

    /// What images call the registry whose storage the folder is: HOST or HOST:PORT
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,

    /// Only these repositories; `*` stands for anything; may be given again [default: all that the registry shows]
    #[arg(long = "repo", value_name = "PATTERN")]
    pub repositories: Vec<String>,

    /// Only these tags; `*` stands for anything; may be given again [default: all]
    #[arg(long = "tag", value_name = "PATTERN")]
    pub tags: Vec<String>,

    /// Only images for these platforms, OS/ARCH[/VARIANT]; may be given again [default: all]
    #[arg(long = "platform", value_name = "PLATFORM")]
    pub platforms: Vec<Platform>,

    /// Tag of the recovery point; may be given again
    #[arg(long = "point-tag", value_name = "TAG")]
    pub point_tags: Vec<String>,

    #[command(flatten)]
    pub access: RegistryAccessArgs,
}

/// Says whether a registry's recovery point is whole
///
/// Every manifest's closure has to be in the vault; with `--read-data` every byte is hashed.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit code 3: the point lacks what its registry lacked. Exit code 1: something is damaged in the vault.")]
pub struct RegistryCheckArgs {
    /// Address of the registry, or id of a point [default: the newest of the only registry]
    #[arg(value_name = "POINT")]
    pub point: Option<String>,

    /// Hash every byte
    #[arg(long)]
    pub read_data: bool,
}

/// Takes tags that no rule keeps out of a registry that the vault is itself
///
/// For a registry that `registry serve --accept` keeps in the vault. A tag stays where any rule keeps it; with it all that it
/// leads to: the parts of an index, signatures, SBOMs. What the newest recovery point of an app names stays in any case.
/// What goes is missing in a new point; earlier points have it until `lifeboat forget` and `lifeboat prune`. Servers
/// go on meanwhile, and a tag that is pushed meanwhile stays.
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("rules").required(true).multiple(true).args(["keep_last", "keep_tag", "keep_within"])),
    after_help = "\
Of a registry that is elsewhere and is backed up, the next backup brings back what it still has.

Examples:
  lifeboat registry forget --keep-last 10 --keep-tag 'v*' --dry-run
  lifeboat registry forget registry.example --repo 'team/*' --keep-within 30d --keep-tag latest"
)]
pub struct RegistryForgetArgs {
    /// Address of the registry [default: the only registry]
    #[arg(value_name = "REGISTRY")]
    pub registry: Option<String>,

    /// Only of these repositories; `*` stands for anything; may be given again [default: all]
    #[arg(long = "repo", value_name = "PATTERN")]
    pub repositories: Vec<String>,

    /// So many tags of each repository stay, those that were pushed or moved last
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub keep_last: Option<u32>,

    /// Tags that are called so stay; `*` stands for anything; may be given again
    #[arg(long, value_name = "PATTERN")]
    pub keep_tag: Vec<String>,

    /// Tags that were pushed or moved within this span stay, like `1y5m7d2h`
    #[arg(long, value_name = "SPAN")]
    pub keep_within: Option<Span>,

    /// Manifests that never had a tag go as well
    #[arg(long)]
    pub untagged: bool,

    /// Say what would go and why the rest stays, and change nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
}

/// Pushes a recovery point into a registry
///
/// Digests stay the same. What is there is not sent again; a run that was interrupted is run again. Tags that point
/// elsewhere are set anew; tags that the point does not have are left. Each tag is asked for at the end.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lifeboat registry restore --to registry.example:5000
  lifeboat registry restore old.example:5000 --to new.example --repo 'team/*' --rename team=dr/team")]
pub struct RegistryRestoreArgs {
    /// Address of the registry that was backed up, or id of a point [default: the newest of the only registry]
    #[arg(value_name = "POINT")]
    pub point: Option<String>,

    /// The registry that gets it: HOST or HOST:PORT
    #[arg(long, value_name = "REGISTRY")]
    pub to: String,

    /// Only these repositories; `*` stands for anything; may be given again [default: all]
    #[arg(long = "repo", value_name = "PATTERN")]
    pub repositories: Vec<String>,

    /// Another name for a repository, or for all below one: OLD=NEW; may be given again
    #[arg(long = "rename", value_name = "OLD=NEW", value_parser = rename)]
    pub renames: Vec<(String, String)>,

    #[command(flatten)]
    pub access: RegistryAccessArgs,
}

impl RegistryRestoreArgs {
    /// The renames, by their old name.
    pub fn renames(&self) -> BTreeMap<String, String> {
        self.renames.iter().cloned().collect()
    }
}

fn rename(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((old, new)) if !old.is_empty() && !new.is_empty() => {
            Ok((old.to_owned(), new.to_owned()))
        }
        _ => Err("it is written OLD=NEW".to_owned()),
    }
}
