#![no_main]

use lifeboat_vault::pack;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = pack::parse_entries(bytes, "pack");
    if let Some((trailer, rest)) = bytes.split_first_chunk() {
        let _ = pack::header_length(*trailer, rest.len() as u64, "pack");
    }
});
