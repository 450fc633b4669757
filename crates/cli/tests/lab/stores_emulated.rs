//! Azure's store and Google's as far as they can be had here: Microsoft's emulator, and a stand-in of ours for Google's
//! ([ADR 22](../../../../docs/adr/0022-a-stand-in-for-google.md)). Neither is the store itself.

use lifeboat_testkit::{
    restic::newest_restic,
    server::{AzuriteServer, GcsStandIn},
};

use crate::{
    stores::{Other, Remote, whole_way_with},
    support::Lab,
};

/// restic knows of no address for an emulator: it goes by TLS to `ACCOUNT.blob.SUFFIX`, and where that leads stands in
/// `/etc/hosts` of a mount namespace of its own. Debian's restic (0.14) knows no suffix, so it is the newest one. It
/// names an access tier with all it puts, which has to be said, since the emulator refuses the empty one.
fn azure<'a>(lab: &'a Lab, server: &AzuriteServer) -> Remote<'a> {
    let hosts = lab.path("hosts");
    fs_err::write(
        &hosts,
        format!("127.0.0.1 localhost {}\n", AzuriteServer::HOST),
    )
    .unwrap();
    let script = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
    let (hosts, restic) = (hosts.display(), newest_restic().unwrap());
    let suffix = format!("AZURE_ENDPOINT_SUFFIX={}", server.restic_suffix());
    Remote {
        lab,
        place: format!("azure:{}:/hosts/one", AzuriteServer::CONTAINER),
        environment: server.environment().to_vec(),
        for_restic: None,
        ca: Some(server.authority()),
        restic_options: vec!["-o".to_owned(), "azure.access-tier=Hot".to_owned()],
        restic: [
            "unshare",
            "-m",
            "sh",
            "-c",
            script,
            &hosts.to_string(),
            "env",
            &suffix,
            restic.to_str().unwrap(),
        ]
        .map(str::to_owned)
        .to_vec(),
    }
}

#[test]
fn stores_azure_emulator_files_there_and_back() {
    let lab = Lab::new();
    let server = AzuriteServer::start_with_tls(&lab.path("azure")).unwrap();
    whole_way_with(&azure(&lab, &server), Other::Restic);
}

/// restic speaks Google's JSON interface, the stand-in the other one, XML, as we do: so it can only look at the copy.
#[test]
fn stores_google_stand_in_files_there_and_back() {
    let lab = Lab::new();
    let server = GcsStandIn::start().unwrap();
    let remote = Remote {
        lab: &lab,
        place: format!("gs:{}:/hosts/one", GcsStandIn::BUCKET),
        environment: vec![
            ("STORAGE_EMULATOR_HOST", server.url()),
            ("GOOGLE_ACCESS_TOKEN", GcsStandIn::TOKEN.to_owned()),
        ],
        for_restic: None,
        ca: None,
        restic_options: Vec::new(),
        restic: Vec::new(),
    };
    whole_way_with(&remote, Other::Nobody);
}
