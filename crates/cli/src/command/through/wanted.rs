//! What a command asks an agent for. None: it cannot be said over the API, only reads, or is about paths of this host and rights of its
//! caller; the command does it by itself.

use lifeboat_api::model::{
    BackupWanted, CheckWanted, CopyWanted, ForgetWanted, InterruptedWanted, Keep, NothingMore,
    PointsWanted, PruneWanted, RemoveCopyWanted, RestoreWanted, Wanted,
};
use lifeboat_plan::retention::{Count, Policy, Span, policy::TagList};
use lifeboat_vault::prune::MaxUnused;

use crate::{
    args::{
        BackupArgs, CheckArgs, CopyArgs, FilterArgs, ForgetArgs, PruneArgs, PruneSize, RestoreArgs,
        RmArgs,
    },
    environment,
    session::{Session, absolute},
};

/// `backup`, of each of its apps.
pub fn backup(args: &BackupArgs) -> Option<impl Fn(&str) -> Wanted> {
    let own = !args.exclude_files.is_empty()
        || !args.paths.is_empty()
        || args.dry_run
        || args.read_concurrency.is_some()
        || args.consistency.is_some()
        || matches!(args.idle, Some(Some(_)))
        || args.take_over.is_some();
    let wanted = BackupWanted {
        app: String::new(),
        now: true,
        tags: args.tags.clone(),
        excludes: args.excludes.clone(),
        one_file_system: args.one_file_system,
        engine_images: args.engine_images,
        idle: args.idle.is_some(),
        include_binds: args.include_binds.clone(),
        exclude_binds: args.exclude_binds.clone(),
    };
    (!own).then_some(move |app: &str| {
        Wanted::Backup(BackupWanted {
            app: app.to_owned(),
            ..wanted.clone()
        })
    })
}

/// `restore` onto the engine.
pub fn restore(args: &RestoreArgs) -> Option<Wanted> {
    let part = &args.part;
    let own = args.dry_run
        || args.ports
        || args.target.is_some()
        || args.resume
        || part.definition.is_some()
        || !args.maps.is_empty();
    if own {
        return None;
    }
    let interrupted = InterruptedWanted {
        app: args.reference.clone(),
    };
    if args.go_on {
        return Some(Wanted::ContinueRestore(interrupted));
    }
    if args.undo {
        return Some(Wanted::UndoRestore(interrupted));
    }
    let point = args.reference();
    // The program asks for no name where a flag says it.
    let name = lifeboat_api::app_of(point);
    if args.replace && name.is_none() {
        return None;
    }
    let into = part.into.as_ref();
    Some(Wanted::Restore(Box::new(RestoreWanted {
        point: point.to_owned(),
        copy: args.copy.clone(),
        replace: args.replace,
        confirm: name.map(str::to_owned).filter(|_| args.replace),
        no_safety_point: args.no_safety_point,
        volumes: part.volumes.clone(),
        binds: part.binds.clone(),
        services: part.services.clone(),
        keep_data: part.keep_data,
        stop_users: part.stop_users,
        images: part.images,
        into: into.map(|into| format!("{}:{}", into.container, into.path)),
        from: part.from.clone(),
        includes: args.includes.clone(),
        no_backup: part.no_backup,
        network_access: args.network_access,
        allow: args.allow.iter().map(ToString::to_string).collect(),
        ..RestoreWanted::default()
    })))
}

/// `rm`, where nobody has to be asked.
pub fn rm(args: &RmArgs) -> Option<Wanted> {
    if args.list || args.dry_run {
        return None;
    }
    match (&args.name, args.expired) {
        (None, true) => Some(Wanted::RemoveExpired(NothingMore {})),
        (Some(name), _) if args.yes => Some(removal(name)),
        _ => None,
    }
}

/// What somebody was asked about, goes.
pub fn removal(name: &str) -> Wanted {
    Wanted::RemoveCopy(RemoveCopyWanted {
        name: name.to_owned(),
        confirm: Some(name.to_owned()),
    })
}

/// `pin` and `unpin`.
pub fn points(references: &[String]) -> PointsWanted {
    PointsWanted {
        points: references.to_vec(),
    }
}

/// `forget`.
pub fn forget(args: &ForgetArgs) -> Option<Wanted> {
    if args.missing_ok {
        return None;
    }
    let policy = args.keep.policy();
    // Rules that keep nothing are a mistake that the command itself explains.
    let keep = match (args.keep.is_given(), policy.is_empty()) {
        (false, _) => None,
        (true, true) => return None,
        (true, false) => Some(keep(&policy)?),
    };
    Some(Wanted::Forget(Box::new(ForgetWanted {
        points: args.references.clone(),
        keep,
        now: true,
        apps: apps(&args.filter)?,
        tags: args.filter.tag.clone(),
        group_by: Some(args.group_by.to_string()),
        trust_times: args.trust_times,
        prune: args.prune,
        max_unused: args.max_unused.map(max_unused),
        max_repack_size: args.max_repack_size.map(size),
        even_newest: args.even_newest,
        gone_too: args.gone_too,
        dry_run: args.dry_run,
    })))
}

/// None: a rule that the API has no word for.
fn keep(policy: &Policy) -> Option<Keep> {
    let count = |count: Count| match count {
        Count::None => Some(None),
        Count::Some(number) => Some(Some(number)),
        Count::Unlimited => None,
    };
    let span = |span: Span| (span != Span::default()).then(|| span.to_string());
    Some(Keep {
        last: count(policy.keep_last)?,
        hourly: count(policy.keep_hourly)?,
        daily: count(policy.keep_daily)?,
        weekly: count(policy.keep_weekly)?,
        monthly: count(policy.keep_monthly)?,
        yearly: count(policy.keep_yearly)?,
        within: span(policy.keep_within),
        within_hourly: span(policy.keep_within_hourly),
        within_daily: span(policy.keep_within_daily),
        within_weekly: span(policy.keep_within_weekly),
        within_monthly: span(policy.keep_within_monthly),
        within_yearly: span(policy.keep_within_yearly),
        tags: policy.keep_tag.iter().map(TagList::to_string).collect(),
    })
}

/// None: points are chosen by more than apps and tags.
fn apps(filter: &FilterArgs) -> Option<Vec<String>> {
    filter.path.is_empty().then(|| filter.app.clone())
}

fn max_unused(limit: MaxUnused) -> String {
    match limit {
        MaxUnused::Percent(percent) => format!("{percent}%"),
        MaxUnused::Bytes(bytes) => bytes.to_string(),
        MaxUnused::Unlimited => "unlimited".to_owned(),
    }
}

fn size(size: PruneSize) -> String {
    size.0.to_string()
}

/// `prune`.
pub fn prune(args: &PruneArgs) -> Wanted {
    Wanted::Prune(PruneWanted {
        now: true,
        max_unused: Some(max_unused(args.max_unused)),
        max_repack_size: args.max_repack_size.map(size),
        instant: args.instant,
        dry_run: args.dry_run,
    })
}

/// `check`.
pub fn check(args: &CheckArgs) -> Wanted {
    let oldest = args.read_data_rolling.map(|share| share.to_string());
    let read = match (args.read_data, args.read_data_subset) {
        (true, _) => Some("all".to_owned()),
        (false, Some(part)) => Some(part.to_string()),
        (false, None) if oldest.is_some() => None,
        (false, None) => Some("structure".to_owned()),
    };
    Wanted::Check(CheckWanted {
        read,
        oldest,
        with_cache: args.with_cache,
    })
}

/// `copy` to a vault that `lifeboat.toml` names: no other place can be said to an agent.
pub fn copy(session: &Session, args: &CopyArgs) -> Option<Wanted> {
    if args.to_password_command.is_some() || environment::says_of_other() {
        return None;
    }
    let settings = session.places.config.join("lifeboat.toml");
    let settings = lifeboat_objectives::Settings::load(&settings).ok()?;
    let own = |place: &str| match place.contains(':') {
        true => Some(place.to_owned()),
        false => Some(absolute(place.as_ref()).ok()?.display().to_string()),
    };
    let (name, _) = settings.copies.iter().find(|(_, copy)| {
        own(&copy.to) == own(&args.to) && copy.password_file == args.to_password_file
    })?;
    Some(Wanted::Copy(CopyWanted {
        name: name.clone(),
        points: args.points.clone(),
        apps: apps(&args.filter)?,
        tags: args.filter.tag.clone(),
        only_newer: args.only_newer,
        now: true,
        dry_run: args.dry_run,
    }))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn command(line: &str) -> Command {
        let words = std::iter::once("lifeboat").chain(line.split_whitespace());
        Cli::try_parse_from(words).unwrap().command
    }

    fn asked(line: &str) -> Option<String> {
        let wanted = match command(line) {
            Command::Backup(args) => backup(&args).map(|of| of("shop")),
            Command::Restore(args) => restore(&args),
            Command::Rm(args) => rm(&args),
            Command::Forget(args) => forget(&args),
            Command::Prune(args) => Some(prune(&args)),
            Command::Check(args) => Some(check(&args)),
            other => panic!("{other:?}"),
        };
        wanted.map(|wanted| serde_json::to_string(&wanted).unwrap())
    }

    #[test]
    fn what_was_said_is_asked_for_and_nothing_else() {
        for (line, words) in [
            ("check", r#""read":"structure""#),
            ("check --read-data-subset 2.5%", r#""read":"2.5%""#),
            ("check --read-data-rolling 1/30", r#""oldest":"1/30""#),
            ("prune --max-unused 2GiB", r#""max_unused":"2147483648""#),
            ("prune", r#""max_unused":"5%""#),
            (
                "forget shop --keep-within-daily 1y2d",
                r#""within_daily":"1y2d""#,
            ),
            (
                "forget --keep-daily 7 --group-by host,tags",
                r#""group_by":"host,tags""#,
            ),
            ("forget", r#""now":true"#),
            ("rm --expired", "remove_expired"),
            (
                "restore --undo shop",
                r#""kind":"undo_restore","app":"shop""#,
            ),
            ("restore shop --into a:/b --include x", r#""into":"a:/b""#),
        ] {
            let asked = asked(line).unwrap();
            assert!(asked.contains(words), "{line}: {asked}");
        }
    }

    #[test]
    fn what_an_agent_cannot_do_is_not_asked_of_it() {
        for line in [
            "backup --path /etc",
            "backup --all --dry-run",
            "backup shop --exclude-file f",
            "restore shop --target /t",
            "restore shop --dry-run",
            "restore shop --definition",
            "restore shop --map-port 1:2",
            "restore 0123abcd --replace",
            "rm shop",
            "rm shop --dry-run",
            "rm --list",
            "forget --keep-last unlimited",
            "forget --keep-last 0",
            "forget --path /etc",
        ] {
            assert_eq!(asked(line), None, "{line}");
        }
    }
}
