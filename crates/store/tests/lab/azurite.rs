use lifeboat_store::{ObjectName, SecretString, StoreError, conformance, open};
use lifeboat_testkit::server::AzuriteServer;

use crate::support::{impatient, tells_the_time};

/// An emulator, not the store itself.
#[test]
fn azure_emulator_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let server = AzuriteServer::start(dir.path()).unwrap();
    let mut access = impatient();
    access.azure.emulator = Some(server.url());
    access.azure.account = Some(AzuriteServer::ACCOUNT.to_owned());
    access.azure.key = Some(SecretString::from(AzuriteServer::KEY));
    for prefix in ["", "host/one"] {
        let place = format!("azure:{}:/{prefix}", AzuriteServer::CONTAINER);
        let store = open(&place, &access).unwrap();
        let can = store.probe().unwrap();
        assert!(can.exclusive_create && can.lists_at_once && !can.append_only);
        conformance::run(&*store).unwrap();
        tells_the_time(&*store);
        assert!(store.server_time().is_some());
    }
    let said = |place: &str, access| {
        let store = open(place, &access).unwrap();
        store.size(&ObjectName::config()).unwrap_err()
    };
    let error = said("azure:nothing:/v", access.clone());
    assert!(matches!(error, StoreError::NoPlace { .. }), "{error:?}");
    // Another key of the right form.
    access.azure.key = Some(SecretString::from("aHVudGVyMg=="));
    let error = said("azure:vaults:/v", access);
    assert!(matches!(error, StoreError::Denied { .. }), "{error:?}");
    assert!(!error.to_string().contains("aHVudGVyMg"), "{error}");
}
