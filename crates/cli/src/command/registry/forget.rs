//! `registry forget`.

use lifeboat_recovery::registry::{
    forget::{ForgetImagesOptions, ImagesForgotten, forget},
    retention::Rules,
};

use crate::{
    args::RegistryForgetArgs,
    exit::{Exit, Result},
    human,
    session::Session,
};

/// Takes out what no rule keeps.
pub fn run(session: &Session, args: &RegistryForgetArgs) -> Result<Exit> {
    let ctx = session.context(None)?;
    let options = ForgetImagesOptions {
        registry: args.registry.clone(),
        repositories: args.repositories.clone(),
        keep_tags: args.keep_tag.clone(),
        rules: Rules {
            last: usize::try_from(args.keep_last.unwrap_or(0)).unwrap_or(usize::MAX),
            within: args.keep_within,
            untagged: args.untagged,
            ..Rules::default()
        },
        dry_run: args.dry_run,
    };
    let done = forget(&ctx, &options)?;
    if session.out.is_json() {
        session.out.json(&done)?;
    } else {
        session.out.text(&render(&done))?;
    }
    Ok(Exit::Done)
}

fn render(done: &ImagesForgotten) -> String {
    let mut text = String::new();
    for tag in &done.tags {
        let since = human::local_time(&tag.since);
        text.push_str(&match tag.stays.as_slice() {
            [] => format!("goes   {}:{} (since {since})\n", tag.repository, tag.tag),
            why => format!(
                "stays  {}:{}: {}\n",
                tag.repository,
                tag.tag,
                why.join("; ")
            ),
        });
    }
    let tags = done.tags.iter().filter(|tag| tag.stays.is_empty()).count() as u64;
    let what = format!(
        "{} and {}",
        human::plural(tags, "tag"),
        human::plural(done.manifests, "manifest")
    );
    text.push_str(&match &done.point {
        _ if tags + done.manifests == 0 => {
            format!("nothing of {} goes; nothing was changed\n", done.registry)
        }
        _ if done.dry_run => format!("{what} of {} would go\n", done.registry),
        None => format!(
            "{what} of {} would go, and others changed all of it meanwhile; nothing was changed\n",
            done.registry
        ),
        Some(point) => format!(
            "{what} of {} went: recovery point {} has them no more; earlier points do, until `lifeboat forget` and `lifeboat prune`\n",
            done.registry,
            point.get(..8).unwrap_or(point)
        ),
    });
    let lines = text.lines();
    // Names and times are the vault's.
    lines
        .map(|line| human::escape(line.as_bytes()) + "\n")
        .collect()
}
