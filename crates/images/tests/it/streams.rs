//! Streams of both forms into layouts, and layouts into streams.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};

use lifeboat_images::{Digest, DirectoryLayout, Layout, LayoutBuilder, LoadStream, Wanted, verify};
use serde_json::{Value, json};

use crate::{Legacy, Member, big_layer, tar};

fn wanted(id: &Digest, tags: &[&str]) -> Wanted {
    Wanted {
        id: id.to_string(),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
    }
}

fn json_file(place: &std::path::Path, path: &str) -> Value {
    serde_json::from_slice(&fs_err::read(place.join(path)).unwrap()).unwrap()
}

#[test]
fn a_legacy_stream_becomes_a_layout_with_untouched_bytes() {
    let place = tempfile::tempdir().unwrap();
    let image = Legacy::new(&[b"base", &big_layer()]);
    let mut sink = DirectoryLayout::new(place.path());
    let mut builder = LayoutBuilder::new(&mut sink);
    builder
        .add_from_stream(
            &mut image.stream().as_slice(),
            &[wanted(&image.id(), &["a:1", "reg:5000/b:2"])],
        )
        .unwrap();
    let layout = builder.finish().unwrap();

    assert_eq!(
        fs_err::read(place.path().join(image.id().path())).unwrap(),
        image.config
    );
    for layer in &image.layers {
        assert_eq!(
            fs_err::read(place.path().join(Digest::of(layer).path())).unwrap(),
            *layer
        );
    }
    assert_eq!(
        json_file(place.path(), "oci-layout"),
        json!({"imageLayoutVersion": "1.0.0"})
    );
    let index = json_file(place.path(), "index.json");
    let names: Vec<_> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| {
            m["annotations"]["io.containerd.image.name"]
                .as_str()
                .unwrap()
        })
        .collect();
    assert_eq!(names, ["docker.io/library/a:1", "reg:5000/b:2"]);
    let manifest: Digest = index["manifests"][0]["digest"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let manifest = json_file(place.path(), &manifest.path());
    assert_eq!(manifest["config"]["digest"], image.id().to_string());
    assert_eq!(manifest["layers"][1]["size"], image.layers[1].len());
    assert_eq!(
        json_file(place.path(), "manifest.json")[0]["RepoTags"],
        json!(["a:1", "reg:5000/b:2"])
    );

    let source = DirectoryLayout::new(place.path());
    assert_eq!(Layout::read(&source).unwrap(), layout);
    verify(&source, &layout.images.iter().collect::<Vec<_>>()).unwrap();
    assert!(layout.find(&image.id().to_string()).is_some());
    assert!(layout.find("sha256:short").is_none());
}

#[test]
fn a_layer_that_is_a_link_to_another_images_is_found() {
    let place = tempfile::tempdir().unwrap();
    let (one, two) = (Legacy::new(&[b"shared"]), Legacy::new(&[b"shared", b"own"]));
    let mut files = two.files();
    // The link comes before its target: nothing may depend on the order.
    for (path, member) in &mut files {
        if *path == two.layer_path(0) {
            *member = Member::Link(format!("../{}", one.layer_path(0)));
        }
    }
    files.extend(one.files());
    files.push((
        "manifest.json".to_owned(),
        Member::File(
            json!([one.entry(&[]), two.entry(&[])])
                .to_string()
                .into_bytes(),
        ),
    ));
    let mut sink = DirectoryLayout::new(place.path());
    let mut builder = LayoutBuilder::new(&mut sink);
    builder
        .add_from_stream(
            &mut tar(&files).as_slice(),
            &[wanted(&one.id(), &[]), wanted(&two.id(), &[])],
        )
        .unwrap();
    let layout = builder.finish().unwrap();
    assert_eq!(
        layout.images[1].layers,
        [Digest::of(b"shared"), Digest::of(b"own")]
    );
    verify(
        &DirectoryLayout::new(place.path()),
        &layout.images.iter().collect::<Vec<_>>(),
    )
    .unwrap();
}

/// The form of 25 and later with containerd's store: compressed layers, an index that also names what
/// is not there, the image's id being the index's digest.
#[test]
fn an_oci_stream_keeps_manifests_and_compressed_layers() {
    let place = tempfile::tempdir().unwrap();
    let content = big_layer();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&content).unwrap();
    let layer = gzip.finish().unwrap();
    let config = json!({"os": "linux", "rootfs": {"diff_ids": [Digest::of(&content).to_string()]}})
        .to_string()
        .into_bytes();
    let descriptor = |kind: &str, bytes: &[u8]| json!({"mediaType": format!("application/vnd.oci.image.{kind}"), "digest": Digest::of(bytes).to_string(), "size": bytes.len()});
    let manifest = json!({
        "schemaVersion": 2, "config": descriptor("config.v1+json", &config), "layers": [descriptor("layer.v1.tar+gzip", &layer)],
    })
    .to_string()
    .into_bytes();
    let second = json!({"os": "linux", "variant": "v8"})
        .to_string()
        .into_bytes();
    let second_manifest = json!({
        "schemaVersion": 2, "config": descriptor("config.v1+json", &second), "layers": [descriptor("layer.v1.tar+gzip", &layer)],
    })
    .to_string()
    .into_bytes();
    let of_platform = |architecture: &str, bytes: &[u8]| {
        let mut descriptor = descriptor("manifest.v1+json", bytes);
        descriptor["platform"] = json!({"os": "linux", "architecture": architecture});
        descriptor
    };
    let platforms = [
        of_platform("amd64", &manifest),
        of_platform("s390x", b"another platform"),
        of_platform("arm64", &second_manifest),
    ];
    let index = json!({"schemaVersion": 2, "manifests": platforms})
        .to_string()
        .into_bytes();
    let mut root = descriptor("index.v1+json", &index);
    root["annotations"] = json!({"io.containerd.image.name": "docker.io/library/x:1"});
    let blob = |bytes: &[u8]| (Digest::of(bytes).path(), Member::File(bytes.to_vec()));
    let text = |value: Value| Member::File(value.to_string().into_bytes());
    let files = [
        blob(&layer),
        blob(&config),
        blob(&manifest),
        blob(&second),
        blob(&second_manifest),
        blob(&index),
        (
            "index.json".to_owned(),
            text(json!({"schemaVersion": 2, "manifests": [root]})),
        ),
        (
            "manifest.json".to_owned(),
            text(
                json!([{"Config": Digest::of(&config).path(), "RepoTags": ["x:1"], "Layers": [Digest::of(&layer).path()]}]),
            ),
        ),
        (
            "oci-layout".to_owned(),
            text(json!({"imageLayoutVersion": "1.0.0"})),
        ),
    ];
    for id in [Digest::of(&index), Digest::of(&config)] {
        let mut sink = DirectoryLayout::new(place.path());
        let mut builder = LayoutBuilder::new(&mut sink);
        builder
            .add_from_stream(&mut tar(&files).as_slice(), &[wanted(&id, &[])])
            .unwrap();
        let layout = builder.finish().unwrap();
        let image = layout.find(&id.to_string()).unwrap();
        assert_eq!(image.manifest(), Some(Digest::of(&index)));
        assert_eq!(image.blobs.len(), 6, "{:?}", image.blobs);
        let source = DirectoryLayout::new(place.path());
        // What it only names is not there.
        let held = image.architectures(&source).unwrap();
        assert_eq!(held.into_iter().collect::<Vec<_>>(), ["amd64", "arm64"]);
        assert_eq!(Layout::read(&source).unwrap(), layout);
        verify(&source, &[image]).unwrap();
        assert!(image.descriptor.get("annotations").is_none());
    }
}

#[test]
fn the_stream_for_load_has_no_tags_and_shared_layers_once() {
    let place = tempfile::tempdir().unwrap();
    let images = [
        Legacy::new(&[&big_layer(), b"x"]),
        Legacy::new(&[&big_layer(), b"yy"]),
    ];
    let mut sink = DirectoryLayout::new(place.path());
    let mut builder = LayoutBuilder::new(&mut sink);
    for image in &images {
        builder
            .add_from_stream(
                &mut image.stream().as_slice(),
                &[wanted(&image.id(), &["t:1"])],
            )
            .unwrap();
    }
    let layout = builder.finish().unwrap();
    let source = DirectoryLayout::new(place.path());
    let mut stream = LoadStream::new(&source, &layout.images.iter().collect::<Vec<_>>()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let mut members: HashMap<String, Vec<u8>> = HashMap::new();
    for entry in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        assert!(
            members.insert(path.clone(), content).is_none(),
            "{path} twice"
        );
    }
    let manifest: Value = serde_json::from_slice(&members["manifest.json"]).unwrap();
    assert_eq!(manifest.as_array().unwrap().len(), 2);
    assert!(manifest[0]["RepoTags"].is_null());
    assert_eq!(
        members[manifest[1]["Config"].as_str().unwrap()],
        images[1].config
    );
    assert_eq!(members[manifest[1]["Layers"][1].as_str().unwrap()], b"yy");
    assert!(!String::from_utf8_lossy(&members["index.json"]).contains("t:1"));
    // Three layers, two configs, two manifests, and the three lists.
    assert_eq!(members.len(), 10);
}
