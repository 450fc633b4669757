//! The program against real engines. Needs root.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "tests run other programs")]

mod beside;
mod compose;
mod copies;
mod damage;
mod data;
mod elsewhere;
mod first_use;
mod forward;
mod full;
mod hostile;
mod identity;
mod kill_backup;
mod kill_over;
mod kill_restore;
mod locked;
mod many_writers;
mod maps;
mod mount;
mod near;
mod over;
mod over_apps;
mod over_data;
mod over_maps;
mod over_mounts;
mod over_wrong;
mod own_path;
mod parts;
mod parts_into;
mod parts_pieces;
mod parts_service;
mod parts_swap;
mod plan;
mod power_off;
mod project;
mod recover;
mod sharing;
mod signals;
mod slow_vault;
mod soak;
mod stores;
mod stores_wrong;
mod support;
mod tiny;
mod wrong_input;
