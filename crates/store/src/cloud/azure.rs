//! Azure Blob Storage.

use std::sync::Arc;

use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use reqwest::Url;

use super::{
    Client,
    connector::{Connector, no_retries},
};
use crate::{Access, ExposeSecret, Result, http::Http, place::refused};

pub(super) fn client(container: &str, access: &Access) -> Result<Client> {
    let azure = &access.azure;
    let mut builder = MicrosoftAzureBuilder::new()
        .with_container_name(container)
        .with_retry(no_retries());
    let (base, instead) = match &azure.emulator {
        Some(url) => {
            let url = Url::parse(url).map_err(|_| {
                refused("AZURITE_BLOB_STORAGE_URL is no URL; the form is http://127.0.0.1:10000")
            })?;
            builder = builder.with_use_emulator(true);
            (url.clone(), Some(url))
        }
        None => {
            let account = azure.account.as_deref().ok_or_else(|| {
                refused("it is not known whose container it is; set AZURE_ACCOUNT_NAME and AZURE_ACCOUNT_KEY")
            })?;
            let suffix = azure
                .endpoint_suffix
                .as_deref()
                .unwrap_or("core.windows.net");
            let base = format!("https://{account}.blob.{suffix}");
            builder = builder.with_account(account).with_endpoint(base.clone());
            let url = Url::parse(&base)
                .map_err(|_| refused("AZURE_ACCOUNT_NAME or AZURE_ENDPOINT_SUFFIX is no name"))?;
            (url, None)
        }
    };
    if let Some(account) = azure.account.as_deref().filter(|_| instead.is_some()) {
        builder = builder.with_account(account);
    }
    if let Some(key) = &azure.key {
        builder = builder.with_access_key(key.expose_secret());
    } else if let Some(sas) = &azure.sas {
        let sas = sas.expose_secret().trim_start_matches('?');
        builder = builder.with_config(AzureConfigKey::SasKey, sas);
    } else if instead.is_none() && !access.machine_identity {
        return Err(refused(
            "there is no key for this account; set AZURE_ACCOUNT_KEY or AZURE_ACCOUNT_SAS",
        ));
    }
    let http = Http::new(&base, access)?;
    let built = builder
        .with_http_connector(Connector {
            http: http.clone(),
            instead,
        })
        .build();
    let store = Arc::new(built.map_err(|e| refused(&e.to_string()))?);
    Ok(Client {
        objects: Arc::clone(&store) as _,
        parts: store,
        http,
        lock: None,
    })
}
