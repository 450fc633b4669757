//! Orders about apps: recovery points of them, and what comes back from these.

use lifeboat_plan::{name::AppName, schedule::Order};

use super::{Line, confirmed, order, reference};
use crate::{
    ask,
    model::{BackupWanted, InterruptedWanted, RemoveCopyWanted, RestoreWanted},
    problem::Problem,
};

/// `backup` of `app`, its whole name.
pub fn backup(app: &str, wanted: &BackupWanted) -> Result<Order, Problem> {
    let name = app.rsplit('/').next().unwrap_or(app);
    let mut line = Line::new(&["backup"]);
    line.flag("one-file-system", wanted.one_file_system)
        .flag("engine-images", wanted.engine_images)
        .flag("idle", wanted.idle)
        .values("tag", &wanted.tags)?
        .values("exclude", &wanted.excludes)?
        .values("include-bind", &wanted.include_binds)?
        .values("exclude-bind", &wanted.exclude_binds)?
        .name(name);
    let mut order = order(format!("backup {app}"), Some(name), line);
    order.captures = Some(app.to_owned());
    Ok(order)
}

/// `backup --dry-run`.
pub fn estimate(app: &str) -> Order {
    let name = app.rsplit('/').next().unwrap_or(app);
    let mut line = Line::new(&["backup", "--dry-run"]);
    line.name(name);
    order(format!("estimate {app}"), None, line)
}

/// The words of `restore`, without what is shown of it.
fn restore_line(wanted: &RestoreWanted) -> Result<Line, Problem> {
    if wanted.target.is_some() {
        return Err(Problem::forbidden(
            "host-path",
            "the agent writes no path of the host for a caller: `lifeboat restore --target` does it on the host, with its caller's own rights",
        ));
    }
    let copy = wanted.copy.as_deref();
    let copy = copy
        .map(AppName::new)
        .transpose()
        .map_err(|why| Problem::bad(why.to_string()))?;
    let mut line = Line::new(&["restore"]);
    line.value("as", copy.as_ref().map(ToString::to_string).as_deref())?
        .value("into", wanted.into.as_deref())?
        .value("from", wanted.from.as_deref())?
        .values("include", &wanted.includes)?
        .values("volume", &wanted.volumes)?
        .values("bind", &wanted.binds)?
        .values("service", &wanted.services)?
        .values("allow", &wanted.allow)?
        .flag("replace", wanted.replace)
        .flag("no-safety-point", wanted.no_safety_point)
        .flag("keep-data", wanted.keep_data)
        .flag("stop-users", wanted.stop_users)
        .flag("images", wanted.images)
        .flag("network-access", wanted.network_access)
        .flag("no-backup", wanted.no_backup);
    Ok(line)
}

/// `restore` of a point of `app`.
pub fn restore(app: Option<&str>, wanted: &RestoreWanted) -> Result<Order, Problem> {
    let point = reference(&wanted.point)?;
    let mut line = restore_line(wanted)?;
    line.name(&point);
    let about = wanted.copy.as_deref().or(app);
    let title = match (&wanted.copy, wanted.replace) {
        (Some(copy), _) => format!("restore {point} as {copy}"),
        (None, true) => format!("restore {point} over what is here"),
        (None, false) => format!("restore {point}"),
    };
    let mut order = order(title, about, line);
    order.file_flag = wanted.maps.as_ref().map(|_| "--map-file".to_owned());
    Ok(order)
}

/// `restore --continue` and `restore --undo`.
pub fn interrupted(how: &str, wanted: &InterruptedWanted) -> Result<Order, Problem> {
    let mut line = Line::new(&["restore"]);
    line.flag(how, true);
    let name = wanted.app.as_deref().map(ask::name).transpose()?;
    let title = format!("restore --{how}");
    let title = name
        .as_ref()
        .map_or(title.clone(), |n| format!("{title} {n}"));
    if let Some(name) = &name {
        line.name(name);
    }
    let about = name.as_deref().and_then(|name| name.rsplit('/').next());
    Ok(order(title, about, line))
}

/// `rm`.
pub fn remove_copy(wanted: &RemoveCopyWanted) -> Result<Order, Problem> {
    let name = AppName::new(&wanted.name).map_err(|why| Problem::bad(why.to_string()))?;
    let name = name.to_string();
    confirmed(&name, wanted.confirm.as_deref(), "is taken away")?;
    let mut line = Line::new(&["rm", "--yes"]);
    line.name(&name);
    Ok(order(format!("remove {name}"), Some(&name), line))
}

/// `rm --expired`.
pub fn remove_expired() -> Order {
    order(
        "remove what is expired".to_owned(),
        None,
        Line::new(&["rm", "--expired"]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_values() {
        let wanted = RestoreWanted {
            point: "lab/shop@0123abcd".to_owned(),
            copy: Some("try".to_owned()),
            volumes: vec!["--target=/etc".to_owned()],
            ..RestoreWanted::default()
        };
        let order = restore(Some("shop"), &wanted).unwrap();
        assert_eq!(
            order.args,
            [
                "restore",
                "--as=try",
                "--volume=--target=/etc",
                "--",
                "lab/shop@0123abcd"
            ]
        );
        assert_eq!(order.about.as_deref(), Some("try"));
        for point in ["", "-x", "../x", "a@../x", "a/b/c/d", "shop@", "a b"] {
            let wanted = RestoreWanted {
                point: point.to_owned(),
                ..RestoreWanted::default()
            };
            assert_eq!(restore(None, &wanted).unwrap_err().status, 400, "{point}");
        }
        let target = RestoreWanted {
            point: "shop".to_owned(),
            target: Some("/etc".to_owned()),
            ..RestoreWanted::default()
        };
        assert_eq!(restore(None, &target).unwrap_err().status, 403);
        let secret = RestoreWanted {
            point: "shop".to_owned(),
            volumes: vec!["a\u{0}b".to_owned()],
            ..RestoreWanted::default()
        };
        assert_eq!(restore(None, &secret).unwrap_err().status, 400);
    }

    #[test]
    fn what_goes_is_named_twice() {
        let wanted = |confirm: Option<&str>| RemoveCopyWanted {
            name: "try".to_owned(),
            confirm: confirm.map(str::to_owned),
        };
        assert_eq!(remove_copy(&wanted(None)).unwrap_err().status, 409);
        assert_eq!(remove_copy(&wanted(Some("tyr"))).unwrap_err().status, 409);
        let order = remove_copy(&wanted(Some("try"))).unwrap();
        assert_eq!(order.args, ["rm", "--yes", "--", "try"]);
    }
}
