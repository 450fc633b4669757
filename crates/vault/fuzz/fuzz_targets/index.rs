#![no_main]

use lifeboat_vault::index::{IndexBuilder, IndexFile};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = IndexFile::parse(bytes, "index") else { return };
    let written = file.to_json().expect("an index can be written");
    IndexFile::parse(&written, "index").expect("and read");
    let mut builder = IndexBuilder::default();
    builder.add_file(file);
    let index = builder.build();
    for (kind, id, location) in index.iter() {
        assert_eq!(index.find(kind, &id), Some(location));
    }
});
