//! The committed OpenAPI document is the one of the code.
//!
//! After a change it is written anew by `LIFEBOAT_WRITE_REFERENCE=1 cargo test -p lifeboat-api --test it document`.

use std::path::Path;

#[test]
fn the_committed_document_is_the_one_of_the_code() {
    let mut text = lifeboat_api::document().to_pretty_json().unwrap();
    text.push('\n');
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    if std::env::var_os("LIFEBOAT_WRITE_REFERENCE").is_some() {
        fs_err::write(&path, &text).unwrap();
    }
    let written = fs_err::read_to_string(&path).unwrap_or_default();
    let differs = written.lines().zip(text.lines()).find(|(a, b)| a != b);
    assert!(
        written == text,
        "docs/openapi.json is not what the code says (first: {differs:?}); write it anew with \
         LIFEBOAT_WRITE_REFERENCE=1 cargo test -p lifeboat-api --test it document"
    );
}

#[test]
fn every_operation_says_what_it_does_and_what_can_go_wrong() {
    let document: serde_json::Value =
        serde_json::from_str(&lifeboat_api::document().to_json().unwrap()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 15);
    let text = document.to_string();
    let names = text.split("#/components/schemas/").skip(1);
    for name in names.filter_map(|rest| rest.split('"').next()) {
        assert!(
            document["components"]["schemas"][name].is_object(),
            "{name}"
        );
    }
    for (path, operations) in paths {
        for (method, operation) in operations.as_object().unwrap() {
            let summary = operation["summary"].as_str().unwrap_or_default();
            assert!(!summary.is_empty(), "{method} {path}");
            let answers = operation["responses"].as_object().unwrap();
            for status in ["400", "401", "403", "404", "503"] {
                let kind = &answers[status]["content"]["application/problem+json"];
                assert!(kind.is_object(), "{method} {path} {status}");
            }
        }
    }
}

#[test]
fn each_kind_of_operation_can_be_said() {
    let document: serde_json::Value =
        serde_json::from_str(&lifeboat_api::document().to_json().unwrap()).unwrap();
    let kinds = document["components"]["schemas"]["Wanted"]["oneOf"].as_array();
    let kinds = kinds.unwrap();
    assert!(kinds.len() > 15);
    for kind in kinds {
        assert!(kind["properties"]["kind"].is_object(), "{kind}");
        assert_eq!(kind["additionalProperties"], false, "{kind}");
        assert!(kind["required"].to_string().contains("kind"), "{kind}");
    }
}
