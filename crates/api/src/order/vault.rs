//! Orders about the vault: points of any kind, its space, its health, copies of it.

use lifeboat_plan::schedule::Order;

use super::{Line, few, order, references, sound};
use crate::{
    model::{CheckWanted, CopyWanted, ForgetWanted, Mend, PointsWanted, PruneWanted, RepairWanted},
    problem::Problem,
};

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
        .value("keep-within-hourly", keep.within_hourly.as_deref())?
        .value("keep-within-daily", keep.within_daily.as_deref())?
        .value("keep-within-weekly", keep.within_weekly.as_deref())?
        .value("keep-within-monthly", keep.within_monthly.as_deref())?
        .value("keep-within-yearly", keep.within_yearly.as_deref())?
        .values("keep-tag", &keep.tags)?
        .values("app", &wanted.apps)?
        .values("tag", &wanted.tags)?
        .value("group-by", wanted.group_by.as_deref())?
        .value("max-unused", wanted.max_unused.as_deref())?
        .value("max-repack-size", wanted.max_repack_size.as_deref())?
        .flag("prune", wanted.prune)
        .flag("trust-times", wanted.trust_times)
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
    let mut line = Line::new(&["check"]);
    let (name, text) = match (&wanted.read, &wanted.oldest) {
        (None, None) if wanted.with_cache => {
            return Err(Problem::bad("`with_cache` goes with `read` or `oldest`"));
        }
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            return Err(Problem::bad("`read` and `oldest` do not go together"));
        }
        (Some(read), None) => ("read", read),
        (None, Some(oldest)) => ("oldest", oldest),
    };
    match (name, text.as_str()) {
        ("read", "structure") => &mut line,
        ("read", "all") => line.flag("read-data", true),
        ("read", part) => line.value("read-data-subset", Some(part))?,
        (_, share) => line.value("read-data-rolling", Some(share))?,
    };
    line.flag("with-cache", wanted.with_cache);
    let title = format!("check {}", sound(name, text)?);
    Ok(Some(order(title, None, line)))
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
    line.values("app", &wanted.apps)?
        .values("tag", &wanted.tags)?
        .flag("only-newer", wanted.only_newer)
        .flag("dry-run", wanted.dry_run);
    references(&mut line, &wanted.points)?;
    let mut order = order(format!("copy to {}", wanted.name), None, line);
    order.copy = Some(wanted.name.clone());
    Ok(order)
}
