//! Streams and layouts that lie: an error that names what is wrong, and nothing loaded.

use std::io::Read as _;

use lifeboat_images::{
    Digest, DirectoryLayout, Error, Layout, LayoutBuilder, LoadStream, Wanted, verify,
};
use serde_json::json;

use crate::{Legacy, Member, big_layer, tar};

fn save(stream: &[u8], id: &Digest) -> Result<Layout, Error> {
    let place = tempfile::tempdir().unwrap();
    let mut sink = DirectoryLayout::new(place.path());
    let mut builder = LayoutBuilder::new(&mut sink);
    builder.add_from_stream(
        &mut &*stream,
        &[Wanted {
            id: id.to_string(),
            tags: vec![],
        }],
    )?;
    let layout = builder.finish()?;
    Ok(layout)
}

#[test]
fn streams_that_lie_are_refused() {
    let image = Legacy::new(&[b"layer"]);
    let id = image.id();
    let manifest = |value: serde_json::Value| {
        (
            "manifest.json".to_owned(),
            Member::File(value.to_string().into_bytes()),
        )
    };
    let with = |extra: Vec<(String, Member)>| {
        tar(&[
            image.files(),
            vec![manifest(json!([image.entry(&[])]))],
            extra,
        ]
        .concat())
    };
    save(&with(vec![]), &id).unwrap();

    let mut other_layer = image.files();
    other_layer.retain(|(path, _)| !path.ends_with("layer.tar"));
    other_layer.push((image.layer_path(0), Member::File(b"another".to_vec())));
    other_layer.push(manifest(json!([image.entry(&[])])));
    let mut no_layer = image.files();
    no_layer.retain(|(path, _)| !path.ends_with("layer.tar"));
    no_layer.push(manifest(json!([image.entry(&[])])));
    let mut to_outside = no_layer.clone();
    to_outside.push((
        image.layer_path(0),
        Member::Link("../../../etc/passwd".to_owned()),
    ));
    let mut in_a_ring = no_layer.clone();
    in_a_ring.push((image.layer_path(0), Member::Link("layer.tar".to_owned())));
    let mut fewer = image.entry(&[]);
    fewer["Layers"] = json!([]);

    let cases = [
        (
            "leads outside",
            with(vec![("../escape".to_owned(), Member::File(vec![]))]),
        ),
        (
            "leads outside",
            with(vec![("/etc/passwd".to_owned(), Member::File(vec![]))]),
        ),
        ("leads outside", tar(&to_outside)),
        ("is missing", tar(&in_a_ring)),
        (
            "kind that images do not have",
            with(vec![("fifo".to_owned(), Member::Fifo)]),
        ),
        ("damaged", tar(&other_layer)),
        (
            "damaged",
            with(vec![(Digest::of(b"a").path(), Member::File(b"b".to_vec()))]),
        ),
        ("is missing", tar(&no_layer)),
        (
            "has 0 layers",
            tar(&[image.files(), vec![manifest(json!([fewer]))]].concat()),
        ),
        (
            "manifest.json",
            tar(&[
                image.files(),
                vec![(
                    "manifest.json".to_owned(),
                    Member::File(b"no json".to_vec()),
                )],
            ]
            .concat()),
        ),
        ("not whole", tar(&image.files())),
        ("did not give", tar(&[manifest(json!([]))])),
        ("not whole", vec![]),
    ];
    for (words, stream) in cases {
        let error = save(&stream, &id).unwrap_err().to_string();
        assert!(error.contains(words), "{words:?} is not in {error:?}");
    }
    let whole = with(vec![]);
    for cut in [100, 600, 1100, whole.len() / 2] {
        assert!(save(&whole[..cut], &id).is_err(), "cut at {cut}");
    }
}

fn layout(image: &Legacy) -> (tempfile::TempDir, DirectoryLayout) {
    let place = tempfile::tempdir().unwrap();
    let mut sink = DirectoryLayout::new(place.path());
    let mut builder = LayoutBuilder::new(&mut sink);
    builder
        .add_from_stream(
            &mut image.stream().as_slice(),
            &[Wanted {
                id: image.id().to_string(),
                tags: vec![],
            }],
        )
        .unwrap();
    builder.finish().unwrap();
    let source = DirectoryLayout::new(place.path());
    (place, source)
}

/// What is done to a layout's directory.
type Harm = Box<dyn Fn(&std::path::Path)>;

#[test]
fn layouts_that_lie_are_refused() {
    let image = Legacy::new(&[b"layer"]);
    let layer = Digest::of(b"layer");
    let cases: Vec<(&str, Harm)> = vec![
        (
            "manifest.json",
            Box::new(|root| fs_err::write(root.join("manifest.json"), "no json").unwrap()),
        ),
        (
            "manifest.json",
            Box::new(|root| fs_err::remove_file(root.join("manifest.json")).unwrap()),
        ),
        (
            "index.json",
            Box::new(|root| fs_err::write(root.join("index.json"), "{}").unwrap()),
        ),
        (
            "does not lead to",
            Box::new(|root| fs_err::write(root.join("index.json"), r#"{"manifests":[]}"#).unwrap()),
        ),
        (
            "not a SHA-256 digest",
            Box::new(|root| {
                fs_err::write(
                    root.join("index.json"),
                    r#"{"manifests":[{"digest":"sha256:../../../etc/passwd"}]}"#,
                )
                .unwrap()
            }),
        ),
        (
            "not the place of a blob",
            Box::new(|root| {
                fs_err::write(
                    root.join("manifest.json"),
                    r#"[{"Config":"../../etc/passwd","Layers":[]}]"#,
                )
                .unwrap()
            }),
        ),
        (
            "more than",
            Box::new(|root| {
                fs_err::File::create(root.join("manifest.json"))
                    .unwrap()
                    .set_len(1 << 30)
                    .unwrap()
            }),
        ),
        (layer.hex(), {
            let path = layer.path();
            Box::new(move |root| fs_err::remove_file(root.join(&path)).unwrap())
        }),
    ];
    for (words, harm) in cases {
        let (place, source) = layout(&image);
        harm(place.path());
        let error = Layout::read(&source).unwrap_err().to_string();
        assert!(error.contains(words), "{words:?} is not in {error:?}");
    }
}

/// A flipped bit in a layer: the stream for `load` breaks off before its end, and `verify` names it.
#[test]
fn a_damaged_layer_is_never_a_whole_stream() {
    let image = Legacy::new(&[&big_layer()]);
    let (place, source) = layout(&image);
    let path = place.path().join(Digest::of(&image.layers[0]).path());
    let mut bytes = fs_err::read(&path).unwrap();
    bytes[5_000_000] ^= 1;
    fs_err::write(&path, &bytes).unwrap();
    let layout = Layout::read(&source).unwrap();
    let images: Vec<_> = layout.images.iter().collect();
    let error = verify(&source, &images).unwrap_err();
    assert!(matches!(error, Error::DigestMismatch { .. }), "{error}");
    let mut out = Vec::new();
    let error = LoadStream::new(&source, &images)
        .unwrap()
        .read_to_end(&mut out)
        .unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
    let names: Vec<_> = tar::Archive::new(out.as_slice())
        .entries()
        .unwrap()
        .filter_map(|e| Some(e.ok()?.path().ok()?.display().to_string()))
        .collect();
    assert!(!names.contains(&"manifest.json".to_owned()), "{names:?}");

    fs_err::write(&path, &bytes[..1000]).unwrap();
    assert!(
        LoadStream::new(&source, &images).is_err(),
        "shorter than it was"
    );
    let layout = Layout::read(&source).unwrap();
    let images: Vec<_> = layout.images.iter().collect();
    assert!(
        LoadStream::new(&source, &images)
            .unwrap()
            .read_to_end(&mut out)
            .is_err()
    );
}
