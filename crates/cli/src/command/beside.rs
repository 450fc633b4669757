//! `restore --as`: a copy beside the original.

use lifeboat_recovery::{
    Context,
    restore::{
        beside::{self, Beside, BesidePlan, Rename, Wanted},
        maps::Maps,
    },
};
use lifeboat_vault::{SnapshotId, snapshot::Snapshot};

use crate::{
    args::RestoreArgs,
    command::{
        ports,
        restore::{differences, list, render_plan, render_restored, warn},
    },
    exit::{Exit, Failure, Result},
    human,
    session::Session,
    table::{Align, Table},
};

/// Plans it, or brings it up.
pub fn run(
    session: &Session,
    args: &RestoreArgs,
    maps: Maps,
    ctx: &Context,
    id: SnapshotId,
    snapshot: &Snapshot,
    name: &str,
) -> Result<Exit> {
    let wanted = Wanted {
        name: name.to_owned(),
        network_access: args.network_access,
        allow: args.allow.iter().cloned().collect(),
        maps,
    };
    if args.dry_run {
        let plan = beside::plan(ctx, id, snapshot, &wanted);
        session.reporter.finish();
        return show_plan(session, &plan?);
    }
    let done = beside::restore(ctx, id, snapshot, &wanted);
    session.reporter.finish();
    let mut done = done?;
    if !args.ports {
        if !done.network_access && !done.ports.is_empty() {
            done.addresses = ports::by_the_agent(session, name);
        }
        return show(session, &done);
    }
    let forwarder = match ports::open(session, ctx.engine()?, name) {
        Ok(forwarder) => forwarder,
        // The copy is up: that is told before what is not.
        Err(failure) => return show(session, &done).and(Err(failure)),
    };
    if let Some(forwarder) = &forwarder {
        done.addresses = forwarder.addresses().to_vec();
    }
    let exit = show(session, &done)?;
    if let Some(forwarder) = forwarder {
        ports::stay(session, name, forwarder, &ctx.cancel);
    }
    Ok(exit)
}

fn show_plan(session: &Session, plan: &BesidePlan) -> Result<Exit> {
    if session.out.is_json() {
        session.out.json(plan)?;
    } else {
        session.out.text(&render(plan, session.out.width()))?;
    }
    if plan.plan.obstacles.is_empty() {
        return Ok(Exit::Done);
    }
    Err(Failure::new(format!(
        "this restore would be refused: {}",
        human::plural(plan.plan.obstacles.len() as u64, "obstacle")
    )))
}

pub(super) fn show(session: &Session, done: &Beside) -> Result<Exit> {
    warn(session, &done.restored);
    if session.out.is_json() {
        session.out.json(done)?;
    } else {
        session.out.text(&render_done(done))?;
    }
    Ok(if done.restored.incomplete.is_empty() {
        Exit::Done
    } else {
        Exit::Incomplete
    })
}

fn render(plan: &BesidePlan, width: Option<u16>) -> String {
    let mut text = format!("{}, a copy beside the original\n\n", plan.name);
    let columns = [
        ("KIND", Align::Left),
        ("ORIGINAL", Align::Left),
        ("COPY", Align::Left),
    ];
    let mut table = Table::new(&columns, width);
    for Rename { kind, old, new } in &plan.renamed {
        table.row([
            (*kind).to_owned(),
            human::escape(old.as_bytes()),
            human::escape(new.as_bytes()),
        ]);
    }
    text.push_str(&table.render());
    list(&mut text, "Differs from the original", &plan.changes);
    text.push('\n');
    text.push_str(&render_plan(&plan.plan, width));
    text
}

/// How the copy is reached.
fn way_in(done: &Beside) -> String {
    if done.network_access {
        return "  its networks have a way out\n".to_owned();
    }
    let shut = "  its networks have no way out, and no port of it is published";
    if !done.addresses.is_empty() {
        return format!("{shut}; its ports are open while this command, or the agent, runs\n");
    }
    match done.ports.len() as u64 {
        0 => format!("{shut}; look inside with `docker exec`\n"),
        ports => format!(
            "{shut}; `lifeboat ports {}` opens {} of it on 127.0.0.1\n",
            done.name,
            human::plural(ports, "port")
        ),
    }
}

fn render_done(done: &Beside) -> String {
    let mut text = render_restored(&done.restored).replacen(
        " is back from point ",
        &format!(" is up as {}, beside the original, from point ", done.name),
        1,
    );
    for address in &done.addresses {
        text.push_str(&format!(
            "  {} port {}: {}\n",
            address.container, address.port, address.address
        ));
    }
    text.push_str(&way_in(done));
    list(&mut text, "Differs from the original", &done.changes);
    text.push_str(&differences(&done.restored));
    text.push_str(&format!(
        "\n`lifeboat rm {}` takes it away again\n",
        done.name
    ));
    text
}
