//! Labels and variables by which other programs would act on a copy: dropped, and listed.

use lifeboat_plan::label;
use serde_json::{Map, Value};

/// Label prefixes, and who reads them. A prefix counts as a whole name or up to `.`, `_`, `-` or `/`.
const ACTED_ON: &[(&str, &str)] = &[
    ("traefik", "reverse proxy"),
    ("caddy", "reverse proxy"),
    ("nginx-proxy", "reverse proxy"),
    ("com.github.nginx-proxy", "reverse proxy"),
    ("com.github.jrcs", "reverse proxy"),
    ("haproxy", "reverse proxy"),
    ("sablier", "reverse proxy"),
    ("tsdproxy", "reverse proxy"),
    ("swag", "reverse proxy"),
    ("cloudflare", "tunnel"),
    ("com.centurylinklabs.watchtower", "updater"),
    ("watchtower", "updater"),
    ("io.containrrr.watchtower", "updater"),
    ("com.ouroboros", "updater"),
    ("ouroboros", "updater"),
    ("diun", "updater"),
    ("wud", "updater"),
    ("autoheal", "healer"),
    ("deunhealth", "healer"),
    ("willfarrell.autoheal", "healer"),
    ("docker-volume-backup", "backup tool"),
    ("stack-back", "backup tool"),
    ("restic-compose-backup", "backup tool"),
    ("nautical-backup", "backup tool"),
    ("auto-backup", "backup tool"),
    ("bombvault", "backup tool"),
    ("ofelia", "scheduler"),
    ("chadburn", "scheduler"),
    ("swarm.cronjob", "scheduler"),
    ("kuma", "monitor"),
    ("com.docker.stack", "stack"),
    ("com.docker.swarm", "stack"),
    ("lifeboat", "lifeboat"),
];

/// Variables that a reverse proxy reads from a container's environment.
const PROXY_VARIABLES: &[&str] = &[
    "VIRTUAL_",
    "LETSENCRYPT_",
    "HTTPS_METHOD",
    "CERT_NAME",
    "ACME_HOST",
];

/// Compose's labels that would lead it to the original's files.
const ORIGINAL_FILES: &[&str] = &[
    label::WORKING_DIR,
    label::CONFIG_FILES,
    label::ENVIRONMENT_FILE,
];

/// What a copy's objects carry, so that they are known as such.
#[derive(Debug, Clone)]
pub struct Mark {
    /// The copy's name.
    pub name: String,
    /// `SITE/HOST/APP@POINT`.
    pub of: String,
}

impl Mark {
    /// Drops what others act on, rewrites the project, puts our labels. Returns what was dropped.
    pub fn rewrite(&self, labels: &mut Map<String, Value>) -> Vec<String> {
        let mut dropped: Vec<String> = Vec::new();
        labels.retain(|key, _| {
            if ORIGINAL_FILES.contains(&key.as_str()) {
                return false;
            }
            let acted_on = reader(key);
            if let Some(who) = acted_on {
                dropped.push(format!("{key} ({who})"));
            }
            acted_on.is_none()
        });
        if let Some(project) = labels.get_mut(label::PROJECT) {
            *project = self.name.clone().into();
        }
        labels.insert(label::COPY.to_owned(), self.name.clone().into());
        labels.insert(label::COPY_OF.to_owned(), self.of.clone().into());
        labels.insert(label::ENABLE.to_owned(), "false".into());
        dropped.sort();
        dropped
    }
}

/// Who acts on a label, if anybody does.
fn reader(key: &str) -> Option<&'static str> {
    let lower = key.to_ascii_lowercase();
    let begins = |prefix: &str| {
        lower
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '_', '-', '/']))
    };
    ACTED_ON
        .iter()
        .find(|(prefix, _)| begins(prefix))
        .map(|(_, who)| *who)
}

/// Drops variables that a reverse proxy reads. Returns their names, never their values.
pub fn drop_variables(env: &mut Vec<Value>) -> Vec<String> {
    let mut dropped = Vec::new();
    env.retain(|entry| {
        let name = entry.as_str().unwrap_or_default().split('=').next();
        let name = name.unwrap_or_default();
        let proxy = PROXY_VARIABLES
            .iter()
            .any(|v| name == *v || (v.ends_with('_') && name.starts_with(v)));
        if proxy {
            dropped.push(name.to_owned());
        }
        !proxy
    });
    dropped
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_others_act_on_goes_and_the_rest_stays() {
        let mark = Mark {
            name: "shop-try".to_owned(),
            of: "default/web1/shop@6f1d3c20".to_owned(),
        };
        let mut labels = json!({
            "traefik.enable": "true", "caddy": "x", "caddy_1.reverse_proxy": "y", "autoheal": "true",
            "com.centurylinklabs.watchtower.enable": "true", "lifeboat.rpo": "1h",
            "com.docker.compose.project": "shop", "com.docker.compose.service": "web",
            "com.docker.compose.project.working_dir": "/srv/shop",
            "com.docker.compose.project.config_files": "/srv/shop/compose.yaml",
            "example.owner": "team", "traefiked": "no", "kumatoys": "no",
        });
        let labels = labels.as_object_mut().unwrap();
        let dropped = mark.rewrite(labels);
        assert_eq!(
            dropped,
            [
                "autoheal (healer)",
                "caddy (reverse proxy)",
                "caddy_1.reverse_proxy (reverse proxy)",
                "com.centurylinklabs.watchtower.enable (updater)",
                "lifeboat.rpo (lifeboat)",
                "traefik.enable (reverse proxy)",
            ]
        );
        assert_eq!(
            Value::Object(labels.clone()),
            json!({
                "com.docker.compose.project": "shop-try", "com.docker.compose.service": "web",
                "example.owner": "team", "traefiked": "no", "kumatoys": "no",
                "lifeboat.copy": "shop-try", "lifeboat.copy.of": "default/web1/shop@6f1d3c20",
                "lifeboat.enable": "false",
            })
        );
    }

    #[test]
    fn variables_of_proxies_go_by_name() {
        let mut env = vec![
            json!("VIRTUAL_HOST=shop.example"),
            json!("LETSENCRYPT_EMAIL=a@b"),
            json!("CERT_NAME=x"),
            json!("VIRTUALENV=/x"),
            json!("PASSWORD=s3cret"),
        ];
        let dropped = drop_variables(&mut env);
        assert_eq!(dropped, ["VIRTUAL_HOST", "LETSENCRYPT_EMAIL", "CERT_NAME"]);
        assert_eq!(env, [json!("VIRTUALENV=/x"), json!("PASSWORD=s3cret")]);
    }
}
