//! `completion` and `man`: made from the definition of the command line.

use clap::CommandFactory;

use crate::{
    args::{Cli, CompletionArgs, ManArgs},
    exit::{Exit, Failure, Result},
    output::Output,
};

/// Prints a completion script.
pub fn completion(out: &Output, args: &CompletionArgs) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "lifeboat", &mut script);
    out.bytes(&script)?;
    Ok(Exit::Done)
}

/// Writes the manual pages.
pub fn man(args: &ManArgs) -> Result<Exit> {
    fs_err::create_dir_all(&args.dir)?;
    clap_mangen::generate_to(Cli::command(), &args.dir).map_err(|e| {
        Failure::new(format!(
            "manual pages cannot be written to {}: {e}",
            args.dir.display()
        ))
    })?;
    Ok(Exit::Done)
}
