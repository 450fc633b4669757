use clap::{Args, ValueEnum};
use lifeboat_recovery::restore::part::{into::Wanted, pieces::Pieces};

/// `restore` of a part of a point.
#[derive(Debug, Args)]
#[command(next_help_heading = "A part of it")]
pub struct PartArgs {
    /// Only this volume, by name or as the compose file calls it; with --as under another name, beside
    /// the original, without containers
    #[arg(long = "volume", value_name = "NAME", conflicts_with_all = ["target", "definition", "images", "into", "go_on", "undo"])]
    pub volumes: Vec<String>,

    /// Only this bind source
    #[arg(long = "bind", value_name = "PATH", conflicts_with_all = ["copy", "target", "definition", "images", "into", "go_on", "undo"])]
    pub binds: Vec<String>,

    /// Only this Compose service or container: its containers and images, the volumes and binds that
    /// only it uses, and its networks where they are absent. The rest of the app runs on
    #[arg(long = "service", value_name = "NAME", conflicts_with_all = ["copy", "target", "definition", "images", "into", "go_on", "undo"])]
    pub services: Vec<String>,

    /// The volumes and binds of the services stay as they are where they are there
    #[arg(long, requires = "services")]
    pub keep_data: bool,

    /// Containers of other apps that use what is replaced may be stopped for it, and are started again
    #[arg(long, requires = "replace")]
    pub stop_users: bool,

    /// The compose file as it was, on standard output or in the file or folder --target; one made from
    /// the containers where the app had none. Holds secrets. WHICH is `any`, `own` or `made`
    #[arg(
        long, value_name = "WHICH", num_args = 0..=1, require_equals = true,
        default_missing_value = "any", value_enum,
        conflicts_with_all = ["copy", "images", "into", "includes", "resume", "replace", "go_on", "undo", "MapArgs"]
    )]
    pub definition: Option<Which>,

    /// The images, and nothing else; tags are set where that takes nothing from another image
    #[arg(long, conflicts_with_all = ["copy", "into", "target", "replace", "go_on", "undo", "MapArgs"])]
    pub images: bool,

    /// Files of the point into a container that is there, running or not: what it had at PATH then,
    /// or what --from names. What is overwritten is kept aside
    #[arg(long, value_name = "CONTAINER:PATH", conflicts_with_all = ["copy", "target", "replace", "go_on", "undo", "MapArgs"])]
    pub into: Option<Wanted>,

    /// A file or folder of the point, as `ls` shows it
    #[arg(long, value_name = "PLACE", requires = "into")]
    pub from: Option<String>,

    /// Do not keep what --into overwrites
    #[arg(long, requires = "into")]
    pub no_backup: bool,
}

impl PartArgs {
    /// The pieces that were named.
    pub fn pieces(&self) -> Pieces {
        Pieces {
            volumes: self.volumes.clone(),
            binds: self.binds.clone(),
            services: self.services.clone(),
            keep_data: self.keep_data,
            stop_users: self.stop_users,
        }
    }
}

/// Which compose file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Which {
    /// Its own where the point has it, else a made one
    Any,
    /// Its own
    Own,
    /// Made from the containers
    Made,
}
