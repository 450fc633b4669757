use std::path::PathBuf;

use clap::{Args, ValueHint};
use lifeboat_recovery::restore::maps::Given;

/// What is to be otherwise than at the point.
#[derive(Debug, Default, Args)]
#[group(multiple = true)]
#[command(next_help_heading = "Mappings for the target, each as often as needed")]
pub struct MapArgs {
    /// Publish a port of the host elsewhere: OLD:NEW, OLD:ADDRESS:NEW; OLD/udp for one of UDP
    #[arg(long, value_name = "OLD:NEW")]
    pub map_port: Vec<String>,

    /// Put a bind source, a project folder, or a folder with such in it, at another path
    #[arg(long, value_name = "OLD:NEW")]
    pub map_bind: Vec<String>,

    /// Call a network otherwise; or attach the app to one that is there
    #[arg(long, value_name = "OLD:NEW")]
    pub map_network: Vec<String>,

    /// Give a network another subnet (IPv4), its fixed addresses moved along; or `auto`
    #[arg(long, value_name = "OLD:NEW")]
    pub map_subnet: Vec<String>,

    /// Call a volume otherwise
    #[arg(long, value_name = "OLD:NEW")]
    pub map_volume: Vec<String>,

    /// Run containers from another image, which is on the engine already
    #[arg(long, value_name = "OLD=NEW")]
    pub map_image: Vec<String>,

    /// Set a variable where it is set; or in one service, also where it is not. What is secret
    /// belongs into --map-file: every user of a machine sees the arguments of every program
    #[arg(long, value_name = "[SERVICE:]KEY=VALUE")]
    pub map_env: Vec<String>,

    /// A YAML file of mappings: ports, binds, networks, subnets, volumes, images, env, each with
    /// lines `OLD: NEW`
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub map_file: Option<PathBuf>,
}

impl MapArgs {
    /// Whether nothing is to be otherwise.
    pub fn is_empty(&self) -> bool {
        let lists = [
            &self.map_port,
            &self.map_bind,
            &self.map_network,
            &self.map_subnet,
            &self.map_volume,
            &self.map_image,
            &self.map_env,
        ];
        lists.iter().all(|list| list.is_empty()) && self.map_file.is_none()
    }

    /// As they were given.
    pub fn given(&self) -> Given {
        Given {
            ports: self.map_port.clone(),
            binds: self.map_bind.clone(),
            networks: self.map_network.clone(),
            subnets: self.map_subnet.clone(),
            volumes: self.map_volume.clone(),
            images: self.map_image.clone(),
            variables: self.map_env.clone(),
            file: self.map_file.clone(),
        }
    }
}
