#![no_main]

use lifeboat_vault::{Snapshot, Timestamp};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(snapshot) = serde_json::from_slice::<Snapshot>(bytes) else { return };
    if let Some(time) = Timestamp::parse_rfc3339(&snapshot.time) {
        let text = time.to_rfc3339();
        assert!(Timestamp::parse_rfc3339(&text).is_some(), "{text}");
    }
    let written = serde_json::to_vec(&snapshot).expect("a snapshot can be written");
    let again: Snapshot = serde_json::from_slice(&written).expect("and read");
    assert_eq!(again, snapshot);
});
