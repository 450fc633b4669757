use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueHint};
use lifeboat_recovery::restore::beside::Allow;

use super::{MapArgs, PartArgs};

/// Brings an app back, whole and in one step; or the files of a point into a directory
///
/// Nothing that exists is touched: where a name is in use, the restore is refused before anything
/// is changed.
///
/// With --replace the point takes the place of the app that is here. The app as it is goes into the
/// vault first, as a safety point. All data is restored beside what is in use, and checked, while the
/// app runs on; then the app stops, old and new change places, and the new containers start. Where
/// they do not come up, everything is swapped back. The old data stays aside for 7 days.
///
/// A restore that was interrupted goes on with the same command or with --continue; --undo takes it
/// back.
///
/// With --as a copy comes up beside the app that runs: containers, volumes, networks and bind
/// sources of its own, no port published, no way out of its networks, no label by which proxies,
/// updaters or backup tools would act on it. It is never protected; `lifeboat rm` takes it away.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("files").args(["target", "into"]).multiple(true)))]
#[command(after_help = "\
REF is an app, `[[SITE/]HOST/]APP[@POINT]`; the id of a point, 8 digits or more; or `latest`.
An app alone is its newest complete point; `APP@latest` is the newest, complete or not.

Examples:
  lifeboat restore shop                            the newest complete point of `shop`
  lifeboat restore shop@6f1d3c20                   an older one
  lifeboat restore shop --dry-run                  what would be done, and what stands in the way
  lifeboat restore shop --as shop-try              a copy beside the one that runs
  lifeboat restore shop --as shop-try --dry-run    what would be called what
  lifeboat restore shop --as shop-try --ports      with its ports open until Ctrl-C
  lifeboat restore shop --as shop-try --network-access
                                                   with ports on 127.0.0.1 and a way out
  lifeboat restore shop@6f1d3c20 --replace         over the one that runs
  lifeboat restore shop --replace --map-env web:DEBUG=1
                                                   and something of it otherwise than it was
  lifeboat restore --continue                      the one that was interrupted
  lifeboat restore --undo                          or back to how it was before
  lifeboat restore shop --map-port 8080:8081 --map-bind /srv:/data --dry-run
                                                   otherwise than at the point, shown first
  lifeboat restore shop --target /tmp/shop         its files only, no engine needed
  lifeboat restore shop --target /tmp/shop --include '*.sql'
  lifeboat restore shop --into shop-web-1:/www/index.html
                                                   one file back into a container that runs
  lifeboat restore shop --volume shop_db --as db-then
                                                   a volume of it beside the original
  lifeboat restore shop --service web              one service that is gone
  lifeboat restore shop --definition > compose.yaml
  lifeboat restore shop --images                   its images only")]
pub struct RestoreArgs {
    /// Recovery point
    #[arg(value_name = "REF", required_unless_present_any = ["go_on", "undo"])]
    pub reference: Option<String>,

    /// Put the point in the place of the app that is here
    #[arg(long, conflicts_with_all = ["copy", "target"])]
    pub replace: bool,

    /// Do not save the app as it is first
    #[arg(long, requires = "replace")]
    pub no_safety_point: bool,

    /// Finish a restore that was interrupted on this host: the only one, or that of REF
    #[arg(long = "continue", conflicts_with_all = ["replace", "copy", "target", "dry_run", "MapArgs"])]
    pub go_on: bool,

    /// Take back a restore that was interrupted on this host: the only one, or that of REF
    #[arg(long, conflicts_with_all = ["go_on", "replace", "copy", "target", "dry_run", "MapArgs"])]
    pub undo: bool,

    /// Show the plan, change nothing; exit code 1 if it would be refused
    #[arg(short = 'n', long)]
    pub dry_run: bool,

    /// Bring up a copy under this name beside the original, and touch nothing of that
    #[arg(long = "as", value_name = "NAME", conflicts_with = "target")]
    pub copy: Option<String>,

    /// Let the copy out: networks with a way out, and its ports on free ports of 127.0.0.1
    #[arg(long, requires = "copy")]
    pub network_access: bool,

    /// Stay, and open the copy's ports on 127.0.0.1 until Ctrl-C; `lifeboat ports` does so later
    #[arg(long, requires = "copy", conflicts_with_all = ["network_access", "dry_run"])]
    pub ports: bool,

    /// Let the copy have something of the host or of others: network:NAME, bind:PATH (read-only),
    /// volume:NAME (an empty one), host-network, host-pid, host-ipc, host-uts, devices, privileged,
    /// engine-socket
    #[arg(long, value_name = "WHAT", requires = "copy")]
    pub allow: Vec<Allow>,

    #[command(flatten)]
    pub maps: MapArgs,

    /// Restore files into this directory, which is never left, instead of the app; with --definition
    /// the file or folder that it is written to
    #[arg(short, long, value_name = "DIR", conflicts_with = "MapArgs", value_hint = ValueHint::DirPath)]
    pub target: Option<PathBuf>,

    /// Only files that match this pattern (with --target or --into)
    #[arg(short, long = "include", value_name = "PATTERN", requires = "files")]
    pub includes: Vec<String>,

    /// Continue an interrupted restore of files: keep what is there already and equal
    #[arg(long, requires = "target")]
    pub resume: bool,

    #[command(flatten)]
    pub part: PartArgs,
}

impl RestoreArgs {
    /// What was named; empty where nothing has to be.
    pub fn reference(&self) -> &str {
        self.reference.as_deref().unwrap_or_default()
    }
}
