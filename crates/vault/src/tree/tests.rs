use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    id::BlobId,
    node::{Metadata, NodeKind, Timestamp, Xattr},
};

fn decoded(json: &str) -> Result<Tree> {
    decode(json.as_bytes())
}

/// One node of kind `socket` with these fields.
fn one(fields: &str) -> Result<Tree> {
    decoded(&format!(
        r#"{{"nodes":[{{"name":"a","type":"socket"{fields}}}]}}"#
    ))
}

#[test]
fn writes_exactly_what_the_format_says() {
    let meta = Metadata {
        mode: 0o4755,
        mtime: Timestamp {
            secs: 1_795_383_482,
            nanos: 120_000_000,
        },
        atime: Timestamp { secs: -1, nanos: 0 },
        ctime: Timestamp {
            secs: i64::MAX,
            nanos: 7,
        },
        uid: 0,
        gid: 1000,
        user: "root".to_owned(),
        group: "a<b".to_owned(),
        inode: 12,
        device_id: 99,
        links: 2,
        xattrs: vec![
            Xattr {
                name: b"user.a".to_vec(),
                value: b"\x00\xff".to_vec(),
            },
            Xattr {
                name: b"user.b".to_vec(),
                value: Vec::new(),
            },
        ],
    };
    let file = Node {
        name: br#"a<b>&"q\x"#.to_vec(),
        kind: NodeKind::File {
            size: 3,
            content: vec![BlobId([0xab; 32]), BlobId([1; 32])],
        },
        meta: meta.clone(),
    };
    let link = Node {
        name: b"l\xff".to_vec(),
        kind: NodeKind::Symlink {
            target: b"t\xfe".to_vec(),
        },
        meta: Metadata {
            mode: 0o777,
            ..Metadata::default()
        },
    };
    let dir = Node {
        name: b"z".to_vec(),
        kind: NodeKind::Dir {
            subtree: BlobId([2; 32]),
        },
        meta,
    };
    let text = String::from_utf8(
        encode(&Tree {
            nodes: vec![file, link, dir],
        })
        .unwrap(),
    )
    .unwrap();
    let times = r#""mtime":"2026-11-22T21:38:02.12Z","atime":"1969-12-31T23:59:59Z","ctime":"9999-12-31T15:30:07.000000007Z""#;
    let (ab, one, two) = ("ab".repeat(32), "01".repeat(32), "02".repeat(32));
    let xattrs =
        r#""extended_attributes":[{"name":"user.a","value":"AP8="},{"name":"user.b","value":""}]"#;
    let epoch = r#""mtime":"1970-01-01T00:00:00Z","atime":"1970-01-01T00:00:00Z","ctime":"1970-01-01T00:00:00Z""#;
    let expected = [
        r#"{"nodes":[{"name":"a\u003cb\u003e\u0026\\\"q\\\\x","type":"file","mode":8389101,"#,
        times,
        r#","uid":0,"gid":1000,"user":"root","group":"a\u003cb","inode":12,"device_id":99,"size":3,"links":2,"#,
        xattrs,
        &format!(r#","content":["{ab}","{one}"]}},"#),
        r#"{"name":"l\\xff","type":"symlink","mode":134218239,"#,
        epoch,
        r#","uid":0,"gid":0,"linktarget":"t\ufffd","linktarget_raw":"dP4=","content":null},"#,
        r#"{"name":"z","type":"dir","mode":2155872749,"#,
        times,
        r#","uid":0,"gid":1000,"user":"root","group":"a\u003cb","inode":12,"#,
        xattrs,
        &format!(r#","content":null,"subtree":"{two}"}}]}}"#),
        "\n",
    ];
    assert_eq!(text, expected.concat());
    assert_eq!(encode(&Tree::default()).unwrap(), b"{\"nodes\":[]}\n");
}

#[test]
fn refuses_to_write_what_readers_refuse() {
    let nodes = |names: &[&[u8]]| Tree {
        nodes: names
            .iter()
            .map(|n| Node {
                name: n.to_vec(),
                kind: NodeKind::Fifo,
                meta: Metadata::default(),
            })
            .collect(),
    };
    for names in [
        &[&b"b"[..], b"a"][..],
        &[b"a", b"a"],
        &[b""],
        &[b".."],
        &[b"."],
        &[b"a/b"],
        &[b"a\0"],
    ] {
        assert!(encode(&nodes(names)).is_err(), "{names:?}");
    }
    assert!(encode(&nodes(&[b"B", b"a", b"a.", b"\xff"])).is_ok());
}

#[test]
fn reads_what_others_write() {
    // No fields, nulls, unknown fields, other platforms' fields, another order.
    let tree = decoded(concat!(
        r#"{"v":{"x":[1]},"nodes":[{"name":"b","type":"socket","mode":null,"mtime":"2020-01-01T02:00:00+02:00","user":null,"#,
        r#""generic_attributes":{"windows.creation_time":"AA=="},"error":"lost","extended_attributes":[{"name":"x","value":null}],"content":null},"#,
        r#"{"type":"file","name":"a\\xff","content":null}],"later":1}"#
    ))
    .unwrap();
    assert_eq!(tree.nodes[0].name, b"a\xff");
    assert_eq!(
        tree.nodes[0].kind,
        NodeKind::File {
            size: 0,
            content: vec![]
        }
    );
    assert_eq!(
        tree.nodes[1].meta.mtime,
        Timestamp {
            secs: 1_577_836_800,
            nanos: 0
        }
    );
    assert_eq!(tree.nodes[1].meta.xattrs[0].value, b"");
    assert!(tree.get(b"b").is_some() && tree.get(b"c").is_none());
    assert_eq!(decoded(r#"{"nodes":null}"#).unwrap(), Tree::default());
    let later = decoded(r#"{"nodes":[{"name":"a","type":"portal"}]}"#).unwrap();
    assert_eq!(later.nodes[0].kind, NodeKind::Irregular);
}

#[test]
fn refuses_what_harms() {
    for name in [
        "", ".", "..", "a/b", "/", "../x", r"\\x00", r"a\\x2fb", r"\\q", r"\u0000",
    ] {
        let json = format!(r#"{{"nodes":[{{"name":"{name}","type":"fifo"}}]}}"#);
        let error = decoded(&json).unwrap_err();
        assert_eq!(error.kind(), crate::error::ErrorKind::Damaged, "{name}");
    }
    for json in [
        "",
        "{}x",
        "[]",
        r#"{"nodes":{}}"#,
        r#"{"nodes":[{}]}"#,
        r#"{"nodes":[{"name":"a","type":"dir"}]}"#,
        r#"{"nodes":[{"name":"a","type":"fifo"},{"name":"b","type":"fifo"},{"name":"a","type":"fifo"}]}"#,
        r#"{"nodes":[{"name":"a","type":"file","content":["12"]}]}"#,
    ] {
        assert!(decoded(json).is_err(), "{json}");
    }
    assert!(one("").is_ok());
    for fields in [
        r#","mtime":"yesterday""#,
        r#","uid":-1"#,
        r#","extended_attributes":[{"name":"x","value":"?"}]"#,
        r#","size":1e3"#,
    ] {
        assert!(one(fields).is_err(), "{fields}");
    }
    // Nesting is bounded by the JSON reader, not by our stack.
    assert!(decoded(&format!(r#"{{"x":{}"#, "[".repeat(1 << 20))).is_err());
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z0-9]{0,8}", any::<String>()]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 1..20),
        "[a-z]{1,8}".prop_map(String::into_bytes)
    ]
}

fn kind() -> impl Strategy<Value = NodeKind> {
    let id = any::<[u8; 32]>().prop_map(BlobId);
    prop_oneof![
        (any::<u64>(), vec(id.clone(), 0..4))
            .prop_map(|(size, content)| NodeKind::File { size, content }),
        id.prop_map(|subtree| NodeKind::Dir { subtree }),
        bytes().prop_map(|target| NodeKind::Symlink { target }),
        any::<u64>().prop_map(|device| NodeKind::BlockDevice { device }),
        any::<u64>().prop_map(|device| NodeKind::CharDevice { device }),
        Just(NodeKind::Fifo),
        Just(NodeKind::Socket),
        Just(NodeKind::Irregular),
    ]
}

fn time() -> impl Strategy<Value = Timestamp> {
    // Years 0 to 9999.
    let secs = prop_oneof![-62_167_219_200_i64..253_402_300_800, 0_i64..3_000_000_000];
    let nanos = prop_oneof![
        Just(0),
        0_u32..1_000_000_000,
        (0_u32..1000).prop_map(|ms| ms * 1_000_000)
    ];
    (secs, nanos).prop_map(|(secs, nanos)| Timestamp { secs, nanos })
}

prop_compose! {
    fn meta()(
        mode in 0_u32..0o10000, times in [time(), time(), time()], owner in any::<(u32, u32)>(),
        names in (text(), text()), inode in any::<u64>(), device_id in any::<u64>(), links in 0_u64..4,
        xattrs in vec((text(), vec(any::<u8>(), 0..9)), 0..3),
    ) -> Metadata {
        let [mtime, atime, ctime] = times;
        let xattrs = xattrs.into_iter().map(|(name, value)| Xattr { name: name.into_bytes(), value });
        Metadata {
            mode, mtime, atime, ctime, uid: owner.0, gid: owner.1, user: names.0, group: names.1,
            inode, device_id, links, xattrs: xattrs.collect(),
        }
    }
}

prop_compose! {
    fn tree()(nodes in vec((bytes(), kind(), meta()), 0..6)) -> Tree {
        let mut nodes: Vec<Node> = nodes
            .into_iter()
            .filter(|(name, ..)| is_valid_name(name))
            .map(|(name, kind, mut meta)| {
                // What is not written does not come back.
                if matches!(kind, NodeKind::Dir { .. }) {
                    meta.links = 0;
                }
                if meta.links < 2 {
                    meta.device_id = 0;
                }
                Node { name, kind, meta }
            })
            .collect();
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        nodes.dedup_by(|a, b| a.name == b.name);
        Tree { nodes }
    }
}

proptest! {
    #[test]
    fn any_tree_comes_back(tree in tree()) {
        let bytes = encode(&tree).unwrap();
        prop_assert_eq!(&decode(&bytes).unwrap(), &tree);
        prop_assert_eq!(decode::decode_any(&bytes).unwrap(), tree);
    }

    #[test]
    fn a_flipped_byte_never_panics(tree in tree(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = encode(&tree).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(read) = decode(&bytes) {
            prop_assert!(encode(&read).is_ok());
        }
    }
}

/// What the quick decoder takes, the other one understands the same.
#[test]
fn both_decoders_agree() {
    let meta = |n: u64| Metadata {
        mode: 0o4755,
        mtime: Timestamp {
            secs: 1_795_383_482,
            nanos: 120_000_000,
        },
        uid: 7,
        user: "root".to_owned(),
        group: "a b".to_owned(),
        inode: n,
        device_id: if n > 1 { 9 } else { 0 },
        links: n,
        ..Metadata::default()
    };
    let node = |name: &str, n, kind| Node {
        name: name.as_bytes().to_vec(),
        kind,
        meta: meta(n),
    };
    let id = |n| BlobId([n; 32]);
    let file = |content| NodeKind::File { size: 12, content };
    let target = b"../x y".to_vec();
    let tree = Tree {
        nodes: vec![
            node("a", 1, file(vec![id(0x0a), id(0xf0)])),
            node("b c", 2, file(Vec::new())),
            node("d", 0, NodeKind::Dir { subtree: id(1) }),
            node("e", 3, NodeKind::Symlink { target }),
        ],
    };
    let bytes = encode(&tree).unwrap();
    assert_eq!(usual::nodes(&bytes, |_| true).as_ref(), Some(&tree.nodes));
    assert_eq!(usual::nodes(&bytes, |_| false), None);
    let mut taken = 0;
    for at in 0..bytes.len() {
        for byte in *b"09af\"\\ ,:{}[]-.TZ/\x00\xff" {
            let mut other = bytes.clone();
            other[at] = byte;
            if let Some(nodes) = usual::nodes(&other, |_| true) {
                taken += 1;
                let mut any = decode::decode_any(&other);
                if !nodes.is_sorted_by(|a, b| a.name < b.name) {
                    // Either puts them in order, or both say that a name stands there twice.
                    any = any.and(Ok(Tree {
                        nodes: nodes.clone(),
                    }));
                }
                if let Ok(any) = any {
                    assert_eq!(any.nodes, nodes);
                } else {
                    assert!(decode(&other).is_err());
                }
            }
        }
    }
    assert!(taken > 1000, "{taken}");
    // What is not usual is understood all the same.
    let blanks = String::from_utf8(bytes)
        .unwrap()
        .replace(",\"uid\"", ", \"uid\"");
    assert_eq!(usual::nodes(blanks.as_bytes(), |_| true), None);
    assert_eq!(decode(blanks.as_bytes()).unwrap(), tree);
}

/// Trees of one directory with odd names, links, devices, owners, times and attributes, as two versions of
/// restic wrote them.
const WRITTEN_BY_RESTIC: [(&str, &[u8]); 2] = [
    (
        "0.14",
        include_bytes!("../../tests/fixtures/restic-0.14-odd.tree"),
    ),
    (
        "0.19",
        include_bytes!("../../tests/fixtures/restic-0.19-odd.tree"),
    ),
];

#[test]
fn writes_the_bytes_that_restic_wrote() {
    for (version, bytes) in WRITTEN_BY_RESTIC {
        let tree = decode(bytes).unwrap();
        assert!(tree.nodes.len() > 40);
        let ours = String::from_utf8(encode(&tree).unwrap()).unwrap();
        let mut theirs = String::from_utf8(bytes.to_vec()).unwrap();
        // The one difference: restic writes the device of every file, we only that of hard links.
        for node in tree.nodes.iter().filter(|n| n.meta.links < 2) {
            let key = format!(r#""inode":{},"#, node.meta.inode);
            let device = format!(r#"{key}"device_id":{},"#, node.meta.device_id);
            assert!(theirs.contains(&device));
            theirs = theirs.replace(&device, &key);
        }
        if version == "0.14" {
            // Its Go wrote two controls in the long form and knew Unicode 13 alone, and it lost link
            // targets that are not UTF-8.
            for (old, new) in [
                (r"\u0008", r"\b"),
                (r"\u000c", r"\f"),
                (r"\ufffd", "\u{fffd}"),
                (r"\\u0870", "\u{870}"),
            ] {
                theirs = theirs.replace(old, new);
            }
        }
        // Node by node, so that a failure can be read.
        assert!(
            ours.split(",{").eq(theirs.split(",{")),
            "restic {version}: {:?}",
            ours.split(",{")
                .zip(theirs.split(",{"))
                .find(|(a, b)| a != b)
        );
        assert_eq!(tree.nodes.iter().filter(|n| n.meta.links == 2).count(), 4);
    }
}
