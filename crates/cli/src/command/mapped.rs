//! Mappings: read from the command line, shown as what they change.

use lifeboat_recovery::restore::{
    RestorePlan,
    maps::{Mapped, Maps},
};

use crate::{
    args::MapArgs,
    exit::{Failure, Result},
    human,
    session::Session,
    table::{Align, Table},
};

/// Reads them; all that cannot be read at once.
pub fn read(args: &MapArgs) -> Result<Maps> {
    args.given()
        .read()
        .map_err(|problems| Failure::usage(problems.join("; ")))
}

/// Shows what they change before the run.
pub fn announce(
    session: &Session,
    maps: &Maps,
    plan: impl FnOnce() -> lifeboat_recovery::Result<RestorePlan>,
) -> Result<()> {
    if !maps.is_empty() && !session.global.quiet {
        let text = render(&plan()?.mappings, session.out.width());
        session.reporter.above(text.trim_start());
    }
    Ok(())
}

/// What they change, or nothing.
pub fn render(mapped: &[Mapped], width: Option<u16>) -> String {
    if mapped.is_empty() {
        return String::new();
    }
    let columns = [
        ("MAPPED", Align::Left),
        ("OF", Align::Left),
        ("AT THE POINT", Align::Left),
        ("HERE", Align::Left),
    ];
    let mut table = Table::new(&columns, width);
    for Mapped { kind, of, old, new } in mapped {
        table.row([
            (*kind).to_owned(),
            of.clone().unwrap_or_default(),
            human::escape(old.as_bytes()),
            human::escape(new.as_bytes()),
        ]);
    }
    format!("\n{}", table.render())
}
