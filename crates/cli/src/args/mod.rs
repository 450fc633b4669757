//! The command line: what can be said, with help and examples. One file a command.

mod access;
mod agent;
mod apps;
mod backup;
mod cache;
mod check;
mod copy;
mod diff;
mod dump;
mod filter;
mod find;
mod forget;
mod gone;
mod init;
mod key;
mod ls;
mod maps;
mod mount;
mod objectives;
mod part;
mod pin;
mod points;
mod ports;
mod prune;
mod registry;
mod repair;
mod report;
mod restore;
mod rm;
mod stats;
mod tools;

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{ArgAction, Args, Parser, Subcommand, ValueHint};

use crate::{environment, human, output::Format};

pub use self::{
    access::{Audit, AuditArgs, Token, TokenArgs},
    agent::{AgentArgs, AgentCommand, ApiArgs, EventsArgs, MaintenanceArgs, StatusArgs},
    apps::AppsArgs,
    backup::BackupArgs,
    cache::CacheArgs,
    check::CheckArgs,
    copy::CopyArgs,
    diff::DiffArgs,
    dump::DumpArgs,
    filter::FilterArgs,
    find::FindArgs,
    forget::ForgetArgs,
    gone::{Gone, GoneArgs},
    init::InitArgs,
    key::{Key, KeyAddArgs, KeyArgs, KeyPasswdArgs, KeyRemoveArgs, NewPasswordArgs},
    ls::LsArgs,
    maps::MapArgs,
    mount::MountArgs,
    objectives::{Jobs, JobsArgs, Notify, NotifyArgs, PolicyArgs},
    part::{PartArgs, Which},
    pin::{PinArgs, UnpinArgs},
    points::PointsArgs,
    ports::PortsArgs,
    prune::{PruneArgs, PruneSize},
    registry::{
        Registry, RegistryAccessArgs, RegistryArgs, RegistryBackupArgs, RegistryCheckArgs,
        RegistryForgetArgs, RegistryRestoreArgs, RegistryServeArgs,
    },
    repair::{Repair, RepairArgs, RepairPacksArgs, RepairPointsArgs},
    report::ReportArgs,
    restore::RestoreArgs,
    rm::RmArgs,
    stats::StatsArgs,
    tools::{CompletionArgs, ManArgs},
};

const EXAMPLES: &str = "\
Examples:
  lifeboat apps                     what runs here, where its data lies, what would be missed
  lifeboat init                     a vault with a generated key, and the recovery sheet
  lifeboat backup --all             a recovery point of every app
  lifeboat points                   what can be brought back
  lifeboat restore shop             the newest complete point of `shop`, whole, in one step
  lifeboat restore shop --as try    a copy of it beside the one that runs; `lifeboat rm try`

  On an empty machine, vault and key are enough:
  lifeboat --vault /mnt/vault --password-file key points
  lifeboat --vault /mnt/vault --password-file key restore HOST/shop

Exit codes:
  0 done, 1 failed, 2 wrong arguments, 3 done but incomplete, 10 no vault there,
  11 vault locked, 12 wrong password or key, 20 not well (`status`), 130 interrupted";

/// Protects containerised applications and brings them back after a disaster.
///
/// A recovery point is one app (containers, networks, volumes, bind mounts, images, compose
/// files) as it was at one instant. Points lie in a vault: a deduplicated, compressed, encrypted
/// restic repository, which `restic` itself can read as well.
#[derive(Debug, Parser)]
#[command(
    name = "lifeboat",
    version,
    after_help = EXAMPLES,
    arg_required_else_help = true,
    propagate_version = true,
    max_term_width = 100
)]
pub struct Cli {
    #[command(flatten)]
    pub global: GlobalArgs,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command understands.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// Place of the vault [default: as `init` remembered it, else /var/lib/lifeboat/vault]
    ///
    /// A directory, or as restic has it: s3:https://host/bucket/prefix, s3:bucket/prefix (Amazon's),
    /// gs:bucket:/prefix, azure:container:/prefix, rest:https://user@host/path,
    /// sftp:user@host:/path. Credentials come from the environment, under the names that restic and
    /// the stores' own programs use.
    #[arg(long, value_name = "PLACE", global = true, env = environment::VAULT, hide_env_values = true, value_hint = ValueHint::DirPath)]
    pub vault: Option<String>,

    /// File that holds the vault's password [env: LIFEBOAT_PASSWORD_FILE] [default: as `init`
    /// remembered it, else /etc/lifeboat/key]
    ///
    /// The password itself can stand in LIFEBOAT_PASSWORD. There is no flag for it, because every
    /// user of a machine sees the arguments of every program. Where none is given and a terminal is
    /// there, it is asked for.
    #[arg(long, value_name = "FILE", global = true, value_hint = ValueHint::FilePath)]
    pub password_file: Option<PathBuf>,

    /// Shell command that prints the vault's password
    #[arg(
        long, value_name = "COMMAND", global = true, conflicts_with = "password_file",
        value_hint = ValueHint::CommandString
    )]
    pub password_command: Option<OsString>,

    #[command(flatten)]
    pub store: StoreArgs,

    /// Wait so long for a vault that somebody else holds
    #[arg(
        long, value_name = "DURATION", global = true, default_value = "0s",
        value_parser = human::parse_duration
    )]
    pub retry_lock: Duration,

    /// Address of the container engine: unix:///PATH, tcp://HOST:PORT or ssh://USER@HOST:PORT
    /// [env: DOCKER_HOST] [default: the current Docker context, else unix:///var/run/docker.sock]
    ///
    /// With DOCKER_TLS_VERIFY set, tcp:// is TLS with ca.pem, cert.pem and key.pem in
    /// DOCKER_CERT_PATH, as for the docker program.
    #[arg(
        long,
        value_name = "ADDRESS",
        global = true,
        conflicts_with = "context"
    )]
    pub engine: Option<String>,

    /// Docker context of the engine [env: DOCKER_CONTEXT]
    #[arg(long, value_name = "NAME", global = true)]
    pub context: Option<String>,

    /// Allow plain TCP to an engine on another machine: no one is checked, and everyone on the way
    /// can read and change all of it
    #[arg(long, global = true)]
    pub allow_plain_tcp: bool,

    /// Name of this site [default: as `init` remembered it, else `default`]
    #[arg(long, value_name = "NAME", global = true)]
    pub site: Option<String>,

    /// Name of this host [default: as `init` remembered it, else the engine's host name]
    #[arg(long, value_name = "NAME", global = true)]
    pub host: Option<String>,

    /// Form of the data on standard output
    #[arg(
        short,
        long,
        value_name = "FORM",
        global = true,
        value_enum,
        default_value_t
    )]
    pub output: Format,

    /// No progress and no notes; warnings and errors only
    #[arg(short, long, global = true)]
    pub quiet: bool,

    /// Say more; twice for debugging
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,

    /// Do the work in this process, also where an agent of this host could [env: LIFEBOAT_NO_AGENT]
    #[arg(long, global = true)]
    pub no_agent: bool,

    /// Socket of the agent [default: STATE/agent/socket, else /run/lifeboat/api]
    #[arg(long, value_name = "PATH", global = true, env = environment::AGENT_SOCKET, hide_env_values = true, value_hint = ValueHint::FilePath)]
    pub agent_socket: Option<PathBuf>,

    /// In the place of the vault, another one that is reached as `copy --to` reaches it
    #[arg(long, value_name = "PLACE", global = true, hide = true)]
    pub in_vault: Option<String>,

    /// File of its password [default: the same password]
    #[arg(long, value_name = "FILE", global = true, hide = true)]
    pub in_password_file: Option<PathBuf>,

    /// Folder of settings and key
    #[arg(long, value_name = "DIR", global = true, env = environment::CONFIG_DIR, hide_env_values = true, hide = true)]
    pub config_dir: Option<OsString>,

    /// Folder of journals, spool and default vault
    #[arg(long, value_name = "DIR", global = true, env = environment::STATE_DIR, hide_env_values = true, hide = true)]
    pub state_dir: Option<OsString>,
}

/// How a vault that is not in a directory is reached.
#[derive(Debug, Clone, Default, Args)]
pub struct StoreArgs {
    /// File of authorities (PEM) that may vouch for the vault's server, beside the system's
    #[arg(long, value_name = "FILE", global = true, env = environment::CA_FILE, hide_env_values = true, value_hint = ValueHint::FilePath)]
    pub cacert: Option<PathBuf>,

    /// Reach the vault's server without TLS, though it is another machine
    #[arg(long, global = true)]
    pub insecure_http: bool,

    /// Folder where index, trees and list of points of a vault on a server are kept near
    /// [default: ~/.cache/lifeboat]
    ///
    /// What lies there can be deleted at any time; `lifeboat cache` shows it. Of a large vault in a directory the
    /// index is kept there too.
    #[arg(long, value_name = "DIR", global = true, env = environment::CACHE_DIR, hide_env_values = true, value_hint = ValueHint::DirPath)]
    pub cache_dir: Option<PathBuf>,

    /// Keep nothing of the vault on this machine, and use nothing that is kept
    #[arg(long, global = true)]
    pub no_cache: bool,

    /// Send no more than so many KiB a second to the vault, be it on a server or in a directory
    #[arg(long, value_name = "KIB", global = true)]
    pub limit_upload: Option<u64>,

    /// Read no more than so many KiB a second from the vault
    #[arg(long, value_name = "KIB", global = true)]
    pub limit_download: Option<u64>,

    /// How many seconds to go on trying where the vault's server stops answering [default: 900]
    #[arg(long, value_name = "SECONDS", global = true)]
    pub retry_store: Option<u64>,
}

/// One variant a command.
#[derive(Debug, Subcommand)]
pub enum Command {
    Apps(AppsArgs),
    Init(InitArgs),
    Backup(BackupArgs),
    #[command(visible_alias = "snapshots")]
    Points(PointsArgs),
    Restore(RestoreArgs),
    Ports(PortsArgs),
    Rm(RmArgs),
    Ls(LsArgs),
    Find(FindArgs),
    Mount(MountArgs),
    Dump(DumpArgs),
    Diff(DiffArgs),
    Stats(StatsArgs),
    Copy(CopyArgs),
    Forget(ForgetArgs),
    Prune(PruneArgs),
    Pin(PinArgs),
    Unpin(UnpinArgs),
    Key(KeyArgs),
    Registry(RegistryArgs),
    Check(CheckArgs),
    Repair(RepairArgs),
    Cache(CacheArgs),
    Jobs(JobsArgs),
    Policy(PolicyArgs),
    Notify(NotifyArgs),
    Agent(AgentArgs),
    Status(StatusArgs),
    Events(EventsArgs),
    Maintenance(MaintenanceArgs),
    Report(ReportArgs),
    Token(TokenArgs),
    Audit(AuditArgs),
    Completion(CompletionArgs),
    #[command(hide = true, alias = "__man")]
    Man(ManArgs),
    #[command(hide = true, name = "__gone")]
    Gone(GoneArgs),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("lifeboat").chain(line.split_whitespace()))
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_flags_stand_before_and_after_the_command() {
        for line in ["--vault /v -vv points", "points --vault /v -v -v"] {
            let cli = parse(line).unwrap();
            assert_eq!(cli.global.vault.as_deref(), Some("/v"));
            assert_eq!(cli.global.verbose, 2);
        }
    }

    #[test]
    fn a_password_is_no_argument() {
        for line in ["--password x points", "-p x points", "--password=x points"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for line in [
            "",
            "backup",
            "backup --all shop",
            "backup --all --path /etc",
            "backup shop --path /etc",
            "backup --all --take-over a/b",
            "backup --path /etc --include-bind /x",
            "backup shop --retry-lock 30",
            "restore",
            "restore shop --include x",
            "restore shop --resume",
            "restore shop --definition --into a:/b",
            "restore shop --definition=other",
            "restore shop --definition --as x",
            "restore shop --images --target /t",
            "restore shop --into a:/b --target /t",
            "restore shop --into a",
            "restore shop --from volumes/x",
            "restore shop --no-backup",
            "restore shop --volume x --target /t",
            "restore shop --service x --as y",
            "restore shop --bind /x --definition",
            "restore shop --keep-data",
            "restore shop --volume x --undo",
            "restore shop --stop-users",
            "restore shop --images --replace",
            "restore shop --network-access",
            "restore shop --allow devices",
            "restore shop --as x --allow everything",
            "restore shop --as x --target /t",
            "restore shop --as x --replace",
            "restore shop --replace --target /t",
            "restore shop --no-safety-point",
            "restore --continue --undo",
            "restore shop --continue --replace",
            "restore shop --undo --dry-run",
            "restore --replace",
            "rm --expired x",
            "restore shop --ports",
            "restore shop --as x --ports --dry-run",
            "restore shop --as x --ports --network-access",
            "restore shop --target /t --map-port 1:2",
            "ports",
            "rm",
            "rm x --yes --dry-run",
            "--password-file f --password-command c points",
            "points -o yaml",
            "ls",
            "find",
            "find x --newest yesterday",
            "dump shop",
            "dump shop / --archive cpio",
            "diff shop",
            "copy",
            "copy shop",
            "copy --to x --to-password-file f --to-password-command c",
            "key",
            "key remove",
            "key add --new-password x",
            "key add --new-password-file f --new-password-command c",
            "key passwd --generate --new-password-file f",
            "check --read-data --read-data-subset 5%",
            "check --read-data-subset 0%",
            "check --read-data-rolling 2/30",
            "repair",
            "forget --keep-last x",
            "forget --keep-within 1w",
            "forget --group-by colour",
            "forget --max-unused 5%",
            "prune --max-unused 100%",
            "prune --max-repack-size big",
            "pin",
            "unpin",
            "repair packs 12",
            "repair everything",
            "registry",
            "registry serve --listen here",
            "registry serve --tls-cert c",
            "registry serve --tls-cert c --tls-key k --tls-self-signed",
            "registry serve --plain-http --tls-self-signed",
            "registry serve --user ann",
            "registry serve --user-password x",
            "registry serve --point x --at 2026-10-01",
            "registry serve --at yesterday",
            "agent retire",
            "agent --api-listen 0.0.0.0:8443",
            "agent --api-listen here --api-cert c --api-key k",
            "agent --api-cert c --api-key k",
            "agent --api-viewers look",
            "token add x",
            "token add x --role king",
            "audit mend",
            "report --last soon",
            "agent --all release",
            "maintenance",
            "maintenance maybe shop",
            "events -n many",
            "completion csh",
        ] {
            let error = parse(line).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn every_command_says_what_it_does_and_shows_examples() {
        for command in Cli::command()
            .get_subcommands()
            .filter(|command| !command.is_hide_set())
        {
            let name = command.get_name();
            assert!(command.get_about().is_some(), "{name}");
            let examples = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(examples.contains(&format!("lifeboat {name}")), "{name}");
        }
    }
}
