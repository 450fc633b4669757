//! Where things lie in the tree of a recovery point. All paths are relative, with `/`.
//!
//! Names of objects are escaped ([`crate::name::escape`]) where they become file names: Docker's own
//! grammar comes out unchanged, anything freer stays one harmless component.

use crate::name::escape;
use crate::path;

/// The manifest.
pub const MANIFEST: &str = "app.json";
/// Raw definitions; holds secrets: directories 0700, files 0600.
pub const DEFINITION: &str = "definition";
/// The project's files; holds secrets.
pub const PROJECT: &str = "project";
/// OCI image layout with Docker's `manifest.json`.
pub const IMAGES: &str = "images";
/// Volumes' data.
pub const VOLUMES: &str = "volumes";
/// Binds' data.
pub const BINDS: &str = "binds";
/// What was put into writable layers.
pub const LAYERS: &str = "layers";
/// Dumps.
pub const DUMPS: &str = "dumps";
/// Raw facts about the engine.
pub const ENGINE: &str = "definition/engine.json";

/// Raw inspect of a container: `definition/containers/<name>.json`.
#[must_use]
pub fn container_definition(name: &str) -> String {
    format!("{DEFINITION}/containers/{}.json", escape(name))
}

/// Raw inspect of a network: `definition/networks/<name>.json`.
#[must_use]
pub fn network_definition(name: &str) -> String {
    format!("{DEFINITION}/networks/{}.json", escape(name))
}

/// Raw inspect of a volume: `definition/volumes/<name>.json`.
#[must_use]
pub fn volume_definition(name: &str) -> String {
    format!("{DEFINITION}/volumes/{}.json", escape(name))
}

/// Raw inspect of an image: `definition/images/<id without sha256:>.json`.
#[must_use]
pub fn image_definition(id: &str) -> String {
    format!(
        "{DEFINITION}/images/{}.json",
        escape(id.strip_prefix("sha256:").unwrap_or(id))
    )
}

/// A volume's data: `volumes/<name>`.
#[must_use]
pub fn volume(name: &str) -> String {
    format!("{VOLUMES}/{}", escape(name))
}

/// A bind's data: `binds/<absolute path>`; `None` if the path is not absolute or holds `..`.
#[must_use]
pub fn bind(source: &str) -> Option<String> {
    below(BINDS, source)
}

/// A project file or folder: `project/<absolute path>`; `None` if the path is not absolute or holds `..`.
#[must_use]
pub fn project(absolute: &str) -> Option<String> {
    below(PROJECT, absolute)
}

/// What was put into a container's writable layer: `layers/<container>`.
#[must_use]
pub fn layer(container: &str) -> String {
    format!("{LAYERS}/{}", escape(container))
}

/// One dump: `dumps/<service>/<file>`.
#[must_use]
pub fn dump(service: &str, file: &str) -> String {
    format!("{DUMPS}/{}/{}", escape(service), escape(file))
}

fn below(folder: &str, absolute: &str) -> Option<String> {
    let clean = path::clean(absolute)?;
    Some(if clean == "/" {
        folder.to_owned()
    } else {
        format!("{folder}{clean}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        assert_eq!(volume("shop_db"), "volumes/shop_db");
        assert_eq!(volume("../x"), "volumes/%2E.%2Fx");
        assert_eq!(bind("/srv/data/").as_deref(), Some("binds/srv/data"));
        assert_eq!(bind("/srv/../etc"), None);
        assert_eq!(
            project("/srv/shop/compose.yml").as_deref(),
            Some("project/srv/shop/compose.yml")
        );
        assert_eq!(
            container_definition("shop-db-1"),
            "definition/containers/shop-db-1.json"
        );
        assert_eq!(network_definition("a/b"), "definition/networks/a%2Fb.json");
        assert_eq!(image_definition("sha256:ab"), "definition/images/ab.json");
        assert_eq!(layer("shop-web-1"), "layers/shop-web-1");
        assert_eq!(dump("db", "shop.sql"), "dumps/db/shop.sql");
    }
}
