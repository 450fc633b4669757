//! What was asked for, as an order: the command of this program that does it. Values become values of flags (`--flag=value`) or stand
//! behind `--`, so that none of them is ever taken for a flag.

use lifeboat_plan::{
    name::AppName,
    schedule::{Form, Order},
};

use crate::{
    ask,
    model::{
        BackupWanted, CheckWanted, CopyWanted, ForgetWanted, InterruptedWanted, Mend, PointsWanted,
        PruneWanted, RegistryCheckWanted, RegistryForgetWanted, RegistryRestoreWanted,
        RegistryWanted, RemoveCopyWanted, RepairWanted, RestoreWanted,
    },
    problem::Problem,
};

/// The longest value, and so many of a kind.
const LONGEST: usize = 4096;
const MOST: usize = 200;

/// A command line that is being put together.
pub struct Line {
    words: Vec<String>,
    names: Vec<String>,
}

impl Line {
    fn new(words: &[&str]) -> Self {
        Self {
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            names: Vec::new(),
        }
    }

    fn flag(&mut self, name: &str, on: bool) -> &mut Self {
        if on {
            self.words.push(format!("--{name}"));
        }
        self
    }

    fn value(&mut self, name: &str, value: Option<&str>) -> Result<&mut Self, Problem> {
        if let Some(value) = value {
            self.words.push(format!("--{name}={}", sound(name, value)?));
        }
        Ok(self)
    }

    fn values(&mut self, name: &str, values: &[String]) -> Result<&mut Self, Problem> {
        few(name, values)?;
        for value in values {
            self.value(name, Some(value))?;
        }
        Ok(self)
    }

    fn name(&mut self, name: impl Into<String>) -> &mut Self {
        self.names.push(name.into());
        self
    }

    /// All of it.
    pub fn words(mut self) -> Vec<String> {
        if !self.names.is_empty() {
            self.words.push("--".to_owned());
            self.words.append(&mut self.names);
        }
        self.words
    }
}

fn few(name: &str, values: &[String]) -> Result<(), Problem> {
    if values.len() > MOST {
        return Err(Problem::bad(format!(
            "`{name}` has more than {MOST} members"
        )));
    }
    Ok(())
}

fn sound<'v>(name: &str, value: &'v str) -> Result<&'v str, Problem> {
    if value.is_empty() || value.len() > LONGEST || value.chars().any(char::is_control) {
        return Err(Problem::bad(format!(
            "`{name}` is empty, longer than {LONGEST} bytes, or holds control characters"
        )));
    }
    Ok(value)
}

/// A point as people name it: `[[SITE/]HOST/]APP[@ID]`, an id, `latest`.
///
/// # Errors
/// It is none of these.
pub fn reference(text: &str) -> Result<String, Problem> {
    if text.is_empty() {
        return Err(Problem::bad(
            "`point` is missing: an app, APP@ID, an id, or `latest`",
        ));
    }
    let is_id = |id: &str| {
        id == "latest" || (4..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_hexdigit())
    };
    if is_id(text) {
        return Ok(text.to_owned());
    }
    let (app, id) = match text.split_once('@') {
        Some((app, id)) => (app, Some(id)),
        None => (text, None),
    };
    let app = ask::name(app)?;
    match id {
        None => Ok(app),
        Some(id) if is_id(id) => Ok(format!("{app}@{id}")),
        Some(_) => Err(Problem::bad(
            "what stands behind `@` is no point: its id has 4 to 64 hexadecimal digits",
        )),
    }
}

/// The app's own name in a reference; none: the reference is an id.
#[must_use]
pub fn app_of(reference: &str) -> Option<&str> {
    let app = reference.split('@').next()?;
    let is_id = app == "latest" || app.len() >= 8 && app.bytes().all(|b| b.is_ascii_hexdigit());
    (!is_id).then(|| app.rsplit('/').next().unwrap_or(app))
}

fn references(line: &mut Line, points: &[String]) -> Result<(), Problem> {
    few("points", points)?;
    for point in points {
        line.name(reference(point)?);
    }
    Ok(())
}

/// The same as an order.
fn order(title: String, about: Option<&str>, line: Line) -> Order {
    Order {
        title,
        about: about.map(str::to_owned),
        captures: None,
        args: line.words(),
        file_flag: None,
        copy: None,
        form: Form::Json,
    }
}

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
pub fn restore_line(wanted: &RestoreWanted) -> Result<Line, Problem> {
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

/// The name once more, as the command asks for it.
///
/// # Errors
/// It was not said, or is another.
pub fn confirmed(name: &str, said: Option<&str>, what: &str) -> Result<(), Problem> {
    match said {
        Some(said) if said == name => Ok(()),
        Some(_) => Err(Problem::conflict(format!(
            "`confirm` is not `{name}`, which {what}; nothing was changed"
        ))),
        None => Err(Problem::conflict(format!(
            "`{name}` {what}: say its name once more in `confirm`"
        ))),
    }
}

/// `rm --expired`.
pub fn remove_expired() -> Order {
    order(
        "remove what is expired".to_owned(),
        None,
        Line::new(&["rm", "--expired"]),
    )
}

/// `pin` and `unpin`.
pub fn pin(how: &str, wanted: &PointsWanted) -> Result<Order, Problem> {
    if wanted.points.is_empty() {
        return Err(Problem::bad("`points` names none"));
    }
    let mut line = Line::new(&[how]);
    references(&mut line, &wanted.points)?;
    let first = &wanted.points[0];
    let more = match wanted.points.len() - 1 {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Ok(order(format!("{how} {first}{more}"), None, line))
}

/// `forget` by rules or by name.
pub fn forget(wanted: &ForgetWanted) -> Result<Order, Problem> {
    let mut line = Line::new(&["forget"]);
    let keep = wanted.keep.clone().unwrap_or_default();
    let number = |number: Option<u32>| number.map(|number| number.to_string());
    line.value("keep-last", number(keep.last).as_deref())?
        .value("keep-hourly", number(keep.hourly).as_deref())?
        .value("keep-daily", number(keep.daily).as_deref())?
        .value("keep-weekly", number(keep.weekly).as_deref())?
        .value("keep-monthly", number(keep.monthly).as_deref())?
        .value("keep-yearly", number(keep.yearly).as_deref())?
        .value("keep-within", keep.within.as_deref())?
        .values("keep-tag", &keep.tags)?
        .values("tag", &wanted.tags)?
        .flag("prune", wanted.prune)
        .flag("even-newest", wanted.even_newest)
        .flag("gone-too", wanted.gone_too)
        .flag("dry-run", wanted.dry_run);
    references(&mut line, &wanted.points)?;
    Ok(order("forget as it was said".to_owned(), None, line))
}

/// `prune`.
pub fn prune(wanted: &PruneWanted) -> Result<Order, Problem> {
    let mut line = Line::new(&["prune"]);
    line.value("max-unused", wanted.max_unused.as_deref())?
        .value("max-repack-size", wanted.max_repack_size.as_deref())?
        .flag("instant", wanted.instant)
        .flag("dry-run", wanted.dry_run);
    Ok(order("prune as it was said".to_owned(), None, line))
}

/// `check`; none: as the schedule does it.
pub fn check(wanted: &CheckWanted) -> Result<Option<Order>, Problem> {
    let Some(read) = &wanted.read else {
        return Ok(None);
    };
    let mut line = Line::new(&["check"]);
    match read.as_str() {
        "structure" => &mut line,
        "all" => line.flag("read-data", true),
        part => line.value("read-data-subset", Some(part))?,
    };
    Ok(Some(order(
        format!("check {}", sound("read", read)?),
        None,
        line,
    )))
}

/// `repair`; damaged packs are set aside in this folder of ours.
pub fn repair(wanted: &RepairWanted, aside: &str) -> Result<Order, Problem> {
    let (what, takes) = match wanted.what {
        Mend::Index => ("index", false),
        Mend::Packs => ("packs", true),
        Mend::Points => ("points", true),
        Mend::Deleted => ("deleted", false),
    };
    let points = wanted.what == Mend::Points;
    if !takes && (!wanted.only.is_empty() || wanted.dry_run)
        || !points && (wanted.drop_damaged || wanted.forget)
    {
        return Err(Problem::bad(format!(
            "a repair of {what} takes less than was said; leave the rest out"
        )));
    }
    let mut line = Line::new(&["repair", what]);
    line.flag("drop-damaged", wanted.drop_damaged)
        .flag("forget", wanted.forget)
        .flag("dry-run", wanted.dry_run);
    if wanted.what == Mend::Packs {
        line.value("set-aside", Some(aside))?;
        few("only", &wanted.only)?;
        for pack in &wanted.only {
            if pack.len() != 64 || !pack.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(Problem::bad("an id of a pack has 64 hexadecimal digits"));
            }
            line.name(pack);
        }
    } else {
        references(&mut line, &wanted.only)?;
    }
    Ok(order(format!("repair {what}"), None, line))
}

/// `copy` of some points; the place is found when it begins.
pub fn copy(wanted: &CopyWanted) -> Result<Order, Problem> {
    let mut line = Line::new(&["copy"]);
    line.flag("dry-run", wanted.dry_run);
    references(&mut line, &wanted.points)?;
    let mut order = order(format!("copy to {}", wanted.name), None, line);
    order.copy = Some(wanted.name.clone());
    Ok(order)
}

/// `HOST[:PORT]`, or an id: what a registry or its point is named by.
fn address(text: &str) -> Result<&str, Problem> {
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    let is = (1..=300).contains(&text.len()) && text.chars().all(plain) && !text.starts_with('-');
    is.then_some(text).ok_or_else(|| {
        Problem::bad("a registry is named by its address, HOST or HOST:PORT, its point by an id")
    })
}

/// `registry backup` of a part.
pub fn registry(wanted: &RegistryWanted) -> Result<Order, Problem> {
    let mut line = Line::new(&["registry", "backup"]);
    line.values("repo", &wanted.repositories)?
        .values("tag", &wanted.tags)?
        .name(&wanted.name);
    Ok(order(format!("registry {}", wanted.name), None, line))
}

/// `registry check`.
pub fn registry_check(wanted: &RegistryCheckWanted) -> Result<Order, Problem> {
    let mut line = Line::new(&["registry", "check"]);
    line.flag("read-data", wanted.read_data);
    if let Some(point) = &wanted.point {
        line.name(address(point)?);
    }
    Ok(order("registry check".to_owned(), None, line))
}

/// `registry forget`.
pub fn registry_forget(wanted: &RegistryForgetWanted) -> Result<Order, Problem> {
    if wanted.keep_last.is_none() && wanted.keep_tags.is_empty() && wanted.keep_within.is_none() {
        return Err(Problem::bad(
            "no rule says what stays: give `keep_last`, `keep_tags` or `keep_within`",
        ));
    }
    let last = wanted.keep_last.map(|last| last.to_string());
    let mut line = Line::new(&["registry", "forget"]);
    line.values("repo", &wanted.repositories)?
        .value("keep-last", last.as_deref())?
        .values("keep-tag", &wanted.keep_tags)?
        .value("keep-within", wanted.keep_within.as_deref())?
        .flag("untagged", wanted.untagged)
        .flag("dry-run", wanted.dry_run);
    if let Some(registry) = &wanted.registry {
        line.name(address(registry)?);
    }
    Ok(order("registry forget".to_owned(), None, line))
}

/// `registry restore`.
pub fn registry_restore(wanted: &RegistryRestoreWanted) -> Result<Order, Problem> {
    let to = address(&wanted.to)?;
    let renames: Vec<String> = wanted
        .renames
        .iter()
        .map(|(o, n)| format!("{o}={n}"))
        .collect();
    let mut line = Line::new(&["registry", "restore"]);
    line.value("to", Some(to))?
        .values("repo", &wanted.repositories)?
        .values("rename", &renames)?
        .flag("plain-http", wanted.plain_http);
    if let Some(point) = &wanted.point {
        line.name(address(point)?);
    }
    Ok(order(format!("registry restore to {to}"), None, line))
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

    #[test]
    fn an_app_is_told_from_an_id() {
        assert_eq!(app_of("default/lab/shop@0123"), Some("shop"));
        assert_eq!(app_of("0123abcd"), None);
        assert_eq!(app_of("latest"), None);
        assert_eq!(
            app_of("cafe"),
            Some("cafe"),
            "short names can be hexadecimal"
        );
    }
}
