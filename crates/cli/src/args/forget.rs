use clap::Args;
use lifeboat_plan::retention::{Count, GroupBy, Policy, Span, policy::TagList};

use super::{FilterArgs, PruneSize};

/// Forgets recovery points: those that a policy does not keep, or those that are named
///
/// Rules count from an app's own newest point, never from now, and a point stays if any rule keeps
/// it. Whatever the rules say, these stay: pinned points, the newest complete point of each app, all
/// points of an app that is gone. An incomplete point never takes a complete one's place, nor does
/// one whose time contradicts the time at which the store got it. The space is freed by `prune`.
///
/// Without any --keep-… the settings' policies apply (`[retention."*"]` and `[retention.APP]`).
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lifeboat forget --keep-daily 7 --keep-weekly 4 --keep-monthly 12 --dry-run
  lifeboat forget shop --keep-last 3 --prune        one app, and free the space
  lifeboat forget --tag test --keep-within 2d       only among points with this tag
  lifeboat forget shop@6f1d3c20 9a8b7c6d            just these points
  lifeboat forget                                   by the policies of the settings")]
pub struct ForgetArgs {
    /// Points to forget (`APP@ID`, ids, `latest`); with a policy, apps (`[[SITE/]HOST/]APP`)
    #[arg(value_name = "REF")]
    pub references: Vec<String>,

    #[command(flatten)]
    pub keep: KeepArgs,

    #[command(flatten)]
    pub filter: FilterArgs,

    /// Who competes for the same places: any of app, host, paths, tags
    #[arg(short, long, value_name = "WHAT", default_value = "app")]
    pub group_by: GroupBy,

    /// Say what would go and what would stay, and why; forget nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,

    /// Free the space afterwards, as `lifeboat prune` does
    #[arg(long)]
    pub prune: bool,

    /// How much may stay unused: `5%`, `2GiB`, `unlimited`
    #[arg(long, value_name = "LIMIT", requires = "prune", value_parser = super::prune::parse_max_unused)]
    pub max_unused: Option<lifeboat_vault::prune::MaxUnused>,

    /// Write no more than this anew
    #[arg(long, value_name = "SIZE", requires = "prune")]
    pub max_repack_size: Option<PruneSize>,

    /// Believe the time that a point bears, whatever the store's clock said
    #[arg(long)]
    pub trust_times: bool,

    /// Apply the policy to apps that are gone as well
    #[arg(long)]
    pub gone_too: bool,

    /// An app that has no points is no failure
    #[arg(long, hide = true)]
    pub missing_ok: bool,

    /// Forget a point that is named even if it is the newest complete one of its app
    #[arg(long)]
    pub even_newest: bool,
}

/// restic's rules.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "What stays")]
pub struct KeepArgs {
    /// The newest N points (or `unlimited`, as for the others)
    #[arg(short = 'l', long, value_name = "N")]
    keep_last: Option<Count>,
    /// The newest of each of the last N hours that have any
    #[arg(short = 'H', long, value_name = "N")]
    keep_hourly: Option<Count>,
    /// ... days
    #[arg(short = 'd', long, value_name = "N")]
    keep_daily: Option<Count>,
    /// ... weeks
    #[arg(short = 'w', long, value_name = "N")]
    keep_weekly: Option<Count>,
    /// ... months
    #[arg(short = 'm', long, value_name = "N")]
    keep_monthly: Option<Count>,
    /// ... years
    #[arg(short = 'y', long, value_name = "N")]
    keep_yearly: Option<Count>,
    /// All within this span before the newest, like `1y5m7d2h`
    #[arg(long, value_name = "SPAN")]
    keep_within: Option<Span>,
    /// The newest of each hour within this span
    #[arg(long, value_name = "SPAN")]
    keep_within_hourly: Option<Span>,
    /// ... of each day
    #[arg(long, value_name = "SPAN")]
    keep_within_daily: Option<Span>,
    /// ... of each week
    #[arg(long, value_name = "SPAN")]
    keep_within_weekly: Option<Span>,
    /// ... of each month
    #[arg(long, value_name = "SPAN")]
    keep_within_monthly: Option<Span>,
    /// ... of each year
    #[arg(long, value_name = "SPAN")]
    keep_within_yearly: Option<Span>,
    /// Those with this tag, or with all of `A,B`; can be given again for others
    #[arg(long, value_name = "TAG[,TAG]")]
    keep_tag: Vec<TagList>,
}

impl KeepArgs {
    /// As a policy.
    pub fn policy(&self) -> Policy {
        Policy {
            keep_last: self.keep_last.unwrap_or_default(),
            keep_hourly: self.keep_hourly.unwrap_or_default(),
            keep_daily: self.keep_daily.unwrap_or_default(),
            keep_weekly: self.keep_weekly.unwrap_or_default(),
            keep_monthly: self.keep_monthly.unwrap_or_default(),
            keep_yearly: self.keep_yearly.unwrap_or_default(),
            keep_within: self.keep_within.unwrap_or_default(),
            keep_within_hourly: self.keep_within_hourly.unwrap_or_default(),
            keep_within_daily: self.keep_within_daily.unwrap_or_default(),
            keep_within_weekly: self.keep_within_weekly.unwrap_or_default(),
            keep_within_monthly: self.keep_within_monthly.unwrap_or_default(),
            keep_within_yearly: self.keep_within_yearly.unwrap_or_default(),
            keep_tag: self.keep_tag.clone(),
            without_oldest: false,
        }
    }

    /// Whether any rule was given, if only `--keep-last 0`.
    pub fn is_given(&self) -> bool {
        let counts = [
            &self.keep_last,
            &self.keep_hourly,
            &self.keep_daily,
            &self.keep_weekly,
            &self.keep_monthly,
            &self.keep_yearly,
        ];
        let spans = [
            &self.keep_within,
            &self.keep_within_hourly,
            &self.keep_within_daily,
            &self.keep_within_weekly,
            &self.keep_within_monthly,
            &self.keep_within_yearly,
        ];
        counts.iter().any(|count| count.is_some())
            || spans.iter().any(|span| span.is_some())
            || !self.keep_tag.is_empty()
    }
}
