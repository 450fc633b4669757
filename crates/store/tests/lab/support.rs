//! What the tests of all stores share.

use std::time::Duration;

use lifeboat_store::{Access, Area, ObjectName, RetryPolicy, SecretString, Store};
use lifeboat_testkit::server::{RestServer, S3Server};
use sha2::{Digest, Sha256};

/// Keys of the S3 server, and little patience.
pub fn s3_access() -> Access {
    let mut access = impatient();
    access.s3.key_id = Some(S3Server::KEY.to_owned());
    access.s3.secret = Some(SecretString::from(S3Server::SECRET));
    access
}

/// User and password of the REST server, and little patience.
pub fn rest_access() -> Access {
    let mut access = impatient();
    access.rest.user = Some(RestServer::USER.to_owned());
    access.rest.password = Some(SecretString::from(RestServer::PASSWORD));
    access
}

/// Two seconds of patience.
pub fn impatient() -> Access {
    Access {
        retry: RetryPolicy {
            first_pause: Duration::from_millis(50),
            ..RetryPolicy::within(Duration::from_secs(2))
        },
        ..Access::default()
    }
}

/// What an object holds, where it does not matter.
pub const BYTES: &[u8] = b"some bytes";

/// The name of an object that holds [`BYTES`].
pub fn object(area: Area) -> ObjectName {
    named(area, BYTES)
}

/// The name of what holds these bytes: servers may look.
pub fn named(area: Area, bytes: &[u8]) -> ObjectName {
    ObjectName::new(area, &hex::encode(Sha256::digest(bytes))).unwrap()
}

/// The server's clock says when something was put.
pub fn tells_the_time(store: &dyn Store) {
    store.put(&object(Area::Data), BYTES).unwrap();
    let told = store.modified(&object(Area::Data)).unwrap().unwrap();
    let now = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap()
        .as_secs();
    assert!(now.abs_diff(told.try_into().unwrap()) < 60, "{told}");
    store.delete(&object(Area::Data)).unwrap();
}
