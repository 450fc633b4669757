//! Volumes.

use serde_json::{Map, Value};

use super::{Mapping, labels, object, text};
use crate::{Error, Result};

/// The create body of a volume from its raw inspect: driver, options and labels verbatim, and the
/// cluster's specification where there is one.
///
/// # Errors
/// The definition names no volume.
pub fn volume_create_body(raw: &Value, mapping: &Mapping) -> Result<Value> {
    let source = raw.as_object().cloned().unwrap_or_default();
    let name = text(&source, "Name");
    if name.is_empty() {
        return Err(Error::BadDefinition {
            what: "a volume".to_owned(),
            why: "it has no name".to_owned(),
        });
    }
    let mut body = Map::new();
    body.insert("Name".to_owned(), mapping.volume(name).into());
    body.insert(
        "Driver".to_owned(),
        source
            .get("Driver")
            .cloned()
            .unwrap_or_else(|| "local".into()),
    );
    body.insert(
        "DriverOpts".to_owned(),
        Value::Object(object(raw, "Options")),
    );
    body.insert("Labels".to_owned(), labels(raw, mapping));
    if let Some(spec) = raw
        .get("ClusterVolume")
        .and_then(|cluster| cluster.get("Spec"))
    {
        body.insert("ClusterVolumeSpec".to_owned(), spec.clone());
    }
    Ok(Value::Object(body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ApiVersion;
    use serde_json::json;

    #[test]
    fn keeps_driver_options_and_labels() {
        let raw = json!({
            "CreatedAt": "x", "Driver": "local", "Mountpoint": "/m", "Name": "shop_db", "Scope": "local",
            "Labels": {"com.docker.compose.config-hash": "h", "a": "b"},
            "Options": {"type": "nfs", "o": "addr=nas,rw", "device": ":/x"},
        });
        let mut mapping = Mapping::exact(ApiVersion::OLDEST);
        let exact = volume_create_body(&raw, &mapping).unwrap();
        assert_eq!(
            exact,
            json!({"Name": "shop_db", "Driver": "local", "DriverOpts": raw["Options"], "Labels": raw["Labels"]})
        );
        mapping.transformed = true;
        mapping
            .volumes
            .insert("shop_db".to_owned(), "try_db".to_owned());
        let moved = volume_create_body(&raw, &mapping).unwrap();
        assert_eq!(
            (&moved["Name"], &moved["Labels"]),
            (&json!("try_db"), &json!({"a": "b"}))
        );
        assert!(volume_create_body(&json!({"Driver": "local"}), &mapping).is_err());
    }
}
