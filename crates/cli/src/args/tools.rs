use std::path::PathBuf;

use clap::{Args, ValueHint};
use clap_complete::Shell;

/// Prints the completion script of a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lifeboat completion bash > /etc/bash_completion.d/lifeboat
  lifeboat completion zsh > \"${fpath[1]}/_lifeboat\"
  lifeboat completion fish > ~/.config/fish/completions/lifeboat.fish")]
pub struct CompletionArgs {
    /// Shell
    pub shell: Shell,
}

/// Writes the manual pages into a directory
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Directory; created if it is not there
    #[arg(value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,
}
