use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Subcommand, ValueHint};

/// Looks after the containers of this host: what dies, hangs or vanishes is back within seconds
///
/// Runs until it is interrupted. Looked after is every container with a restart policy other than `no`, or with a label
/// `lifeboat.…` or `autoheal=true`. What a person stopped, killed, paused or removed is left so.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
`lifeboat status` shows what it sees, `lifeboat events` what it did and why.

Examples:
  lifeboat agent                    in the foreground, as a service manager runs it
  lifeboat agent --api-listen 0.0.0.0:8443 --api-cert cert.pem --api-key key.pem
  lifeboat agent --api-socket /run/lifeboat/api --api-operators docker
  lifeboat agent release            restart policies go back to what they were, before Lifeboat is removed
  lifeboat maintenance on shop      leaves `shop` alone for a while"
)]
pub struct AgentArgs {
    #[command(subcommand)]
    pub what: Option<AgentCommand>,

    /// Every container is looked after, as AUTOHEAL_CONTAINER_LABEL=all says it for autoheal
    #[arg(long)]
    pub all: bool,

    /// Send each job as a trace to this OpenTelemetry collector, by OTLP over HTTP
    ///
    /// Without an address it is what OTEL_EXPORTER_OTLP_ENDPOINT says, else http://127.0.0.1:4318.
    #[arg(long, value_name = "ENDPOINT", num_args = 0..=1, require_equals = true)]
    pub otlp: Option<Option<String>>,

    #[command(flatten)]
    pub api: ApiArgs,
}

/// Where the agent is asked, beside its own socket; `[api]` in `lifeboat.toml` says the same.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "API")]
pub struct ApiArgs {
    /// Answer on the network too, by TLS to those who have a token (`lifeboat token`)
    #[arg(long, value_name = "ADDRESS:PORT", requires = "api_cert")]
    pub api_listen: Option<SocketAddr>,

    /// Certificate of the API (PEM), with those that vouch for it
    #[arg(long, value_name = "FILE", requires_all = ["api_listen", "api_key"], value_hint = ValueHint::FilePath)]
    pub api_cert: Option<PathBuf>,

    /// Its key (PEM, without a password)
    #[arg(long, value_name = "FILE", requires = "api_cert", value_hint = ValueHint::FilePath)]
    pub api_key: Option<PathBuf>,

    /// Authority (PEM) of which clients on the network need a certificate, beside their token
    #[arg(long, value_name = "FILE", requires = "api_cert", value_hint = ValueHint::FilePath)]
    pub api_client_ca: Option<PathBuf>,

    /// A second socket, for the members of groups; it lies in a folder that they can enter
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub api_socket: Option<PathBuf>,

    /// Group whose members may look; can be given again
    #[arg(long, value_name = "GROUP", requires = "api_socket")]
    pub api_viewers: Vec<String>,

    /// Group whose members may have things done; can be given again
    #[arg(long, value_name = "GROUP", requires = "api_socket")]
    pub api_operators: Vec<String>,
}

/// What is asked of the agent that runs.
#[derive(Debug, Subcommand)]
pub enum AgentCommand {
    /// Puts back the restart policies that `lifeboat.start=managed` took over
    Release,
}

/// Shows how all containers and objectives are, the bad ones first
///
/// The exit code is 0 when all is well and 20 when not, so that a script can ask.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lifeboat status
  lifeboat status --watch           again every two seconds, until it is interrupted
  lifeboat status -q || echo 'not well'
  lifeboat status -o json | jq '.rows[] | select(.level == \"bad\")'")]
pub struct StatusArgs {
    /// Again every two seconds
    #[arg(short, long)]
    pub watch: bool,

    /// Only this app
    #[arg(value_name = "APP")]
    pub app: Option<String>,
}

/// Shows what happened to containers, what was done and why
///
/// The last some ten thousand events are kept on disk, also when no agent runs.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lifeboat events                   the last 50
  lifeboat events shop -n 500       of one app
  lifeboat events --follow          and whatever comes")]
pub struct EventsArgs {
    /// Only this app, or this container
    #[arg(value_name = "APP")]
    pub app: Option<String>,

    /// So many of the last ones
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 50)]
    pub last: usize,

    /// Go on with what comes, until it is interrupted
    #[arg(short, long)]
    pub follow: bool,
}

/// Leaves an app, or all of them, alone for a while
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lifeboat maintenance on shop
  lifeboat maintenance off shop
  lifeboat maintenance on           everything on this host
  lifeboat maintenance off          ends all of it")]
pub struct MaintenanceArgs {
    /// Whether it begins or ends
    #[arg(value_name = "on|off", value_parser = ["on", "off"])]
    pub word: String,

    /// The app; all of them if none is named
    #[arg(value_name = "APP")]
    pub app: Option<String>,
}
