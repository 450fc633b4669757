//! Google Cloud Storage.

use std::sync::Arc;

use object_store::{
    StaticCredentialProvider,
    gcp::{GcpCredential, GoogleCloudStorageBuilder},
};
use reqwest::Url;

use super::{
    Client,
    connector::{Connector, no_retries},
};
use crate::{Access, ExposeSecret, Result, http::Http, place::refused};

const GOOGLE: &str = "https://storage.googleapis.com";

pub(super) fn client(bucket: &str, access: &Access) -> Result<Client> {
    let gcs = &access.gcs;
    let base = match gcs.emulator.as_deref() {
        None => GOOGLE.to_owned(),
        // Google's own clients take both.
        Some(host) if host.contains("://") => host.trim_end_matches('/').to_owned(),
        Some(host) => format!("http://{host}"),
    };
    let url = Url::parse(&base).map_err(|_| {
        refused("STORAGE_EMULATOR_HOST is no address; the form is http://host:port")
    })?;
    let http = Http::new(&url, access)?;
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(bucket)
        .with_base_url(&base)
        .with_retry(no_retries())
        .with_http_connector(Connector {
            http: http.clone(),
            instead: None,
        });
    if gcs.emulator.is_some() || gcs.token.is_some() {
        let token = gcs.token.as_ref().map_or("", |t| t.expose_secret());
        let bearer = token.to_owned();
        let credentials = StaticCredentialProvider::new(GcpCredential { bearer });
        builder = builder
            .with_credentials(Arc::new(credentials))
            .with_skip_signature(gcs.token.is_none());
    } else if let Some(file) = &gcs.credentials_file {
        builder = builder.with_application_credentials(file.display().to_string());
    } else if !access.machine_identity {
        return Err(refused(
            "there are no credentials for this store; set GOOGLE_APPLICATION_CREDENTIALS to the file of a service account",
        ));
    }
    let built = builder.build();
    let store = Arc::new(built.map_err(|e| refused(&e.to_string()))?);
    Ok(Client {
        objects: Arc::clone(&store) as _,
        parts: store,
        http,
        lock: None,
    })
}
