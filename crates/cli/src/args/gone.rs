use clap::{Args, Subcommand};

/// What the agent has done for it, in processes of their own
#[derive(Debug, Args)]
pub struct GoneArgs {
    #[command(subcommand)]
    pub what: Gone,
}

#[derive(Debug, Subcommand)]
pub enum Gone {
    /// Puts the definitions of all apps into the vault, where they changed
    Keep {
        /// But for this app
        #[arg(long, value_name = "APP")]
        except: Vec<String>,
    },
    /// Brings what an app that is gone cannot be made again without
    Bring {
        /// App of this host
        app: String,
        /// A container's definition, into the agent's folder
        #[arg(long, value_name = "NAME")]
        definition: Vec<String>,
        /// An image: its id, and the name that the container was made from
        #[arg(long, num_args = 2, value_names = ["ID", "NAME"])]
        image: Vec<String>,
        /// A volume's data, from the newest usable point
        #[arg(long, value_name = "NAME")]
        volume: Vec<String>,
    },
}
