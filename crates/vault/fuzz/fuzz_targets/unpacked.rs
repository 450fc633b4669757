#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = lifeboat_vault::unpacked::decode(bytes.to_vec(), lifeboat_store::Area::Index, "file");
});
