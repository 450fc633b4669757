use lifeboat_store::{ObjectName, SecretString, StoreError, conformance, open};
use lifeboat_testkit::server::GcsStandIn;

use crate::support::{impatient, tells_the_time};

/// A stand-in of ours that speaks the XML interface, not the store itself: what we ask, and how we take the answers.
#[test]
fn google_stand_in_keeps_the_contract() {
    let server = GcsStandIn::start().unwrap();
    let mut access = impatient();
    access.gcs.emulator = Some(server.url());
    access.gcs.token = Some(SecretString::from(GcsStandIn::TOKEN));
    for prefix in ["", "host/one"] {
        let place = format!("gs:{}:/{prefix}", GcsStandIn::BUCKET);
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
    let error = said("gs:nothing:/v", access.clone());
    assert!(
        matches!(error, StoreError::NoPlace { .. } | StoreError::NotFound(_)),
        "{error:?}"
    );
    access.gcs.token = Some(SecretString::from("hunter2"));
    let error = said("gs:vaults:/v", access);
    assert!(matches!(error, StoreError::Denied { .. }), "{error:?}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
}
