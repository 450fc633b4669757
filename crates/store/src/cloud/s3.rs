//! S3: Amazon's, and what speaks like it.

use std::sync::{Arc, OnceLock};

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use reqwest::Url;

use super::{
    Client,
    connector::{Connector, no_retries},
    profile,
    s3_lock::S3Lock,
};
use crate::{Access, ExposeSecret, Result, http::Http, place::refused};

pub(super) fn client(endpoint: Option<&Url>, bucket: &str, access: &Access) -> Result<Client> {
    let s3 = profile::completed(&access.s3)?;
    let host = endpoint.and_then(Url::host_str);
    let region = s3.region.clone().or_else(|| host.and_then(region_of));
    let region = region.or(s3.profile_region);
    let region = region.unwrap_or_else(|| "us-east-1".to_owned());
    let base = match endpoint {
        Some(url) => url.clone(),
        None => Url::parse(&format!("https://s3.{region}.amazonaws.com/"))
            .map_err(|_| refused(&format!("`{region}` is no region")))?,
    };
    let http = Http::new(&base, access)?;
    let mut builder = AmazonS3Builder::new()
        .with_region(&region)
        .with_bucket_name(bucket)
        .with_endpoint(base.as_str().trim_end_matches('/'))
        .with_virtual_hosted_style_request(false)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_retry(no_retries())
        .with_http_connector(Connector {
            http: http.clone(),
            instead: None,
        });
    match (&s3.key_id, &s3.secret) {
        (Some(id), Some(secret)) => {
            builder = builder
                .with_access_key_id(id)
                .with_secret_access_key(secret.expose_secret());
            if let Some(token) = &s3.session_token {
                builder = builder.with_token(token.expose_secret());
            }
        }
        (Some(_), None) => {
            return Err(refused(
                "AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not",
            ));
        }
        (None, Some(_)) => {
            return Err(refused(
                "AWS_SECRET_ACCESS_KEY is set, but AWS_ACCESS_KEY_ID is not",
            ));
        }
        (None, None) => {
            if let Some((file, role)) = &s3.web_identity {
                let file = file.display().to_string();
                builder = builder
                    .with_config(AmazonS3ConfigKey::WebIdentityTokenFile, file)
                    .with_config(AmazonS3ConfigKey::RoleArn, role);
            } else if let Some(uri) = &s3.container_uri {
                let key = AmazonS3ConfigKey::ContainerCredentialsRelativeUri;
                builder = builder.with_config(key, uri);
            } else if !access.machine_identity {
                return Err(refused(
                    "there are no keys for this store; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
                ));
            }
        }
    }
    let built = builder.build();
    let store = Arc::new(built.map_err(|e| refused(&e.to_string()))?);
    Ok(Client {
        objects: Arc::clone(&store) as _,
        lock: Some(S3Lock {
            http: http.clone(),
            bucket: format!("{}/{bucket}", base.as_str().trim_end_matches('/')),
            region,
            credentials: Arc::clone(store.credentials()),
            policy: OnceLock::new(),
        }),
        http,
        parts: store,
    })
}

fn is_amazon(host: &str) -> bool {
    host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn")
}

/// `s3.eu-central-1.amazonaws.com` and `s3-eu-central-1.amazonaws.com` say it themselves.
fn region_of(host: &str) -> Option<String> {
    let rest = is_amazon(host).then(|| host.strip_prefix("s3"))??;
    let region = rest.strip_prefix(['.', '-'])?.split('.').next()?;
    (region != "amazonaws").then(|| region.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_of_hosts() {
        for (host, region) in [
            ("s3.eu-central-1.amazonaws.com", Some("eu-central-1")),
            ("s3-eu-west-1.amazonaws.com", Some("eu-west-1")),
            ("s3.cn-north-1.amazonaws.com.cn", Some("cn-north-1")),
            ("s3.amazonaws.com", None),
            ("minio.example", None),
        ] {
            assert_eq!(region_of(host).as_deref(), region, "{host}");
        }
    }

    #[test]
    fn half_a_pair_of_keys_and_none_are_refused() {
        let url: Url = "https://minio.example/".parse().unwrap();
        let mut access = Access::default();
        assert!(client(None, "b", &access).is_err());
        let said = |access: &Access| client(Some(&url), "b", access).map(drop).unwrap_err();
        assert!(said(&access).to_string().contains("no keys"));
        access.s3.key_id = Some("id".to_owned());
        assert!(said(&access).to_string().contains("AWS_SECRET_ACCESS_KEY"));
    }
}
