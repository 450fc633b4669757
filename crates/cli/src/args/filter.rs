use clap::Args;
use lifeboat_recovery::inspect::PointFilter;

use super::GlobalArgs;

/// Which recovery points a command is about.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Which points")]
pub struct FilterArgs {
    /// All points of this app, `[[SITE/]HOST/]APP`; can be given again
    #[arg(long, value_name = "APP")]
    pub app: Vec<String>,

    /// Only points with this tag, or with all of `A,B`; can be given again for others
    #[arg(long, value_name = "TAG[,TAG]")]
    pub tag: Vec<String>,

    /// Only snapshots of this path; given again, of all of them
    #[arg(long, value_name = "PATH")]
    pub path: Vec<String>,
}

impl FilterArgs {
    /// With the references that were given, and the host of `--host` if it was.
    pub fn filter(&self, references: &[String], global: &GlobalArgs) -> PointFilter {
        let host = global.host.clone().filter(|host| !host.is_empty());
        PointFilter {
            references: references.to_vec(),
            apps: self.app.clone(),
            hosts: host.into_iter().collect(),
            paths: self.path.clone(),
            tags: self.tag.clone(),
        }
    }
}
