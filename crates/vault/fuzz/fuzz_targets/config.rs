#![no_main]

use lifeboat_vault::config::Config;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(config) = Config::parse(bytes) {
        let written = config.to_json().expect("a config can be written");
        assert_eq!(Config::parse(&written).expect("and read"), config);
    }
});
