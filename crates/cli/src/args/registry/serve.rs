use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, ValueHint};

/// Serves the images in recovery points as a registry: docker, containerd and podman pull from it
///
/// What is served: of each registry that was backed up and of each app the newest recovery point, as
/// one registry. Images keep their names and tags; those of a registry keep their digests. New points
/// are seen without a restart. Nothing can be pushed or deleted without --accept. Each byte is checked; where one is
/// wrong the connection is broken off. Runs until it is interrupted (ctrl-C).
#[derive(Debug, Args)]
#[command(after_help = "\
Images of one point alone are under point-ID/: localhost:5000/point-5e1f9a27/team/app:1.0

Beyond this machine it speaks TLS; without a certificate of yours it makes one and keeps it. Without
--user or --users everybody who reaches it can pull.

Examples:
  lifeboat registry serve                               on 127.0.0.1:5000, plain HTTP
  lifeboat registry serve --at '2026-11-17 18:00'       as it was on Tuesday evening
  lifeboat registry serve --listen 10.0.0.5:443 --name registry.example
                                                        in the place of registry.example
  lifeboat registry serve --accept                      a small registry: docker push lands in the vault
  lifeboat registry serve --listen 0.0.0.0:5000 --tls-cert cert.pem --tls-key key.pem \\
    --users /etc/lifeboat/registry-users")]
pub struct RegistryServeArgs {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:5000")]
    pub listen: SocketAddr,

    /// Name of a registry that this one stands in for: clients come here under it; can be given again
    #[arg(long = "name", value_name = "REGISTRY")]
    pub names: Vec<String>,

    /// Serve this point alone
    #[arg(long, value_name = "REF", conflicts_with = "at")]
    pub point: Option<String>,

    /// Serve what was there at this time: `2026-10-01`, `2026-10-01 14:30`
    #[arg(long, value_name = "TIME", value_parser = crate::human::parse_time)]
    pub at: Option<i64>,

    /// Take pushes and deletions too, for the registry of the first --name, else of the address it listens on
    ///
    /// A manifest that was taken is in a recovery point of that registry; what is deleted stays in earlier points until
    /// they are forgotten.
    #[arg(long, conflicts_with_all = ["point", "at"])]
    pub accept: bool,

    /// GiB of pushes that may wait on this host's disk until a manifest names them
    #[arg(long, value_name = "GIB", default_value = "20", requires = "accept", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub most_staged: u64,

    /// Certificate of the server (PEM), with those that vouch for it
    #[arg(long, value_name = "FILE", requires = "tls_key", value_hint = ValueHint::FilePath)]
    pub tls_cert: Option<PathBuf>,

    /// Its key (PEM, without a password)
    #[arg(long, value_name = "FILE", requires = "tls_cert", value_hint = ValueHint::FilePath)]
    pub tls_key: Option<PathBuf>,

    /// TLS on this machine too, with a certificate of its own making
    #[arg(long, conflicts_with = "tls_cert")]
    pub tls_self_signed: bool,

    /// No TLS, though other machines can reach it: everyone on the way can read and change what is pulled
    #[arg(long, conflicts_with_all = ["tls_cert", "tls_self_signed"])]
    pub plain_http: bool,

    /// Name that may pull, with its password in --user-password-file
    #[arg(long, value_name = "NAME", requires = "user_password_file")]
    pub user: Option<String>,

    /// File that holds the password of --user
    #[arg(long, value_name = "FILE", requires = "user", value_hint = ValueHint::FilePath)]
    pub user_password_file: Option<PathBuf>,

    /// Tokens instead of the password with each request, from a token endpoint of our own (bearer authentication)
    #[arg(long)]
    pub token_auth: bool,

    /// Of the names that may pull only this one may push and delete; can be given again [default: all of them]
    #[arg(long = "pusher", value_name = "NAME", requires = "accept")]
    pub pushers: Vec<String>,

    /// File of names and passwords that may pull, as `htpasswd -B` writes it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub users: Option<PathBuf>,
}
