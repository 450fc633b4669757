//! A vault that goes away while a layer is pulled out of it.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use lifeboat_images::{Algorithm, Digest};

use crate::{
    registry_serve::Served,
    registry_speed::{made, pulled},
    support::Lab,
};

const LAYER: usize = 256 << 20;

#[test]
fn a_pull_from_a_vault_that_goes_away_breaks_off_and_is_whole_once_it_is_back() {
    let lab = Lab::new();
    lab.init();
    let digest = made(&lab, LAYER);
    let served = Served::here(&lab, &["--listen", "127.0.0.1:0"]);
    let address = served.address().to_owned();
    let mut stream = TcpStream::connect(&address).unwrap();
    let asked = format!(
        "GET /v2/team/app/blobs/{digest} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(asked.as_bytes()).unwrap();
    let mut begun = vec![0; 1 << 20];
    stream.read_exact(&mut begun).unwrap();
    assert!(begun.starts_with(b"HTTP/1.1 200"));

    let (vault, elsewhere) = (lab.vault(), lab.path("elsewhere"));
    fs_err::rename(&vault, &elsewhere).unwrap();
    let mut rest = Vec::new();
    // An end that is no end: reset, or fewer bytes than were promised.
    let _ = stream.read_to_end(&mut rest);
    let came = begun.len() + rest.len();
    assert!(came < LAYER, "{came} bytes came without a vault");

    fs_err::rename(&elsewhere, &vault).unwrap();
    assert_eq!(pulled(&address, &digest), digest);
    let said = served.stop();
    assert!(said.contains("broken off"), "{said}");
    // What had come by then was right, byte for byte.
    let whole = pulled_bytes(&lab, &digest);
    let body = begun.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    begun.extend(rest);
    assert!(whole.starts_with(&begun[body..]));
}

/// The layer, from a server of its own.
fn pulled_bytes(lab: &Lab, digest: &Digest) -> Vec<u8> {
    let served = Served::here(lab, &["--listen", "127.0.0.1:0"]);
    let address = served.address();
    let mut stream = TcpStream::connect(address).unwrap();
    let asked = format!(
        "GET /v2/team/app/blobs/{digest} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(asked.as_bytes()).unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    let body = all.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    let bytes = all.split_off(body);
    assert_eq!(
        Digest::of_reader(Algorithm::Sha256, bytes.as_slice()).unwrap(),
        *digest
    );
    bytes
}
