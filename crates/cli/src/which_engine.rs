//! Which engine: as the `docker` program finds it, so that what works there works here.
//!
//! In this order: `--context`, `--engine`, `DOCKER_HOST`, `DOCKER_CONTEXT`, the current context of
//! `config.json`, the socket. With `DOCKER_TLS_VERIFY` an address `tcp://` is TLS, with the files `ca.pem`,
//! `cert.pem` and `key.pem` of `DOCKER_CERT_PATH`; a context has its own. What the docker program allows
//! and we do not: TLS that checks nobody, and plain TCP to another machine without being told.

use std::path::{Path, PathBuf};

use lifeboat_engine::{Endpoint, Tls};
use serde_json::Value;

use crate::exit::{Failure, Result};

/// What the environment says of it.
#[derive(Debug, Default)]
pub struct DockerEnvironment {
    /// `DOCKER_HOST`.
    pub host: Option<String>,
    /// `DOCKER_CONTEXT`.
    pub context: Option<String>,
    /// `DOCKER_TLS_VERIFY` is set.
    pub tls_verify: bool,
    /// `DOCKER_TLS` is set.
    pub tls: bool,
    /// `DOCKER_CERT_PATH`.
    pub cert_path: Option<PathBuf>,
    /// `DOCKER_CONFIG`, or `~/.docker`.
    pub config: Option<PathBuf>,
}

/// What the command line says of it.
#[derive(Debug, Default)]
pub struct Asked<'a> {
    /// `--engine`.
    pub engine: Option<&'a str>,
    /// `--context`.
    pub context: Option<&'a str>,
    /// `--allow-plain-tcp`.
    pub plain_tcp: bool,
}

/// The engine that is meant.
pub fn which(asked: &Asked<'_>, env: &DockerEnvironment) -> Result<Endpoint> {
    let given = |text: Option<&str>| text.map(str::to_owned).filter(|t| !t.is_empty());
    let host = given(asked.engine).or_else(|| given(env.host.as_deref()));
    let context = match (given(asked.context), &host) {
        (Some(context), _) => Some(context),
        (None, Some(_)) => None,
        (None, None) => match given(env.context.as_deref()) {
            Some(context) => Some(context),
            None => env
                .config
                .as_deref()
                .map(current_context)
                .transpose()?
                .flatten(),
        },
    };
    let endpoint = match context.as_deref() {
        None | Some("default") => address(host.as_deref().unwrap_or_default(), env)?,
        Some(name) => of_context(name, env)?,
    };
    if endpoint.is_exposed() && !asked.plain_tcp {
        return Err(Failure::usage(format!(
            "{endpoint} is plain TCP to another machine: whoever is on the way reads every byte and becomes root there; use TLS (DOCKER_TLS_VERIFY, DOCKER_CERT_PATH) or ssh://, or say --allow-plain-tcp"
        )));
    }
    Ok(endpoint)
}

fn address(text: &str, env: &DockerEnvironment) -> Result<Endpoint> {
    let wants_tls =
        text.starts_with("https://") || (text.starts_with("tcp://") && (env.tls_verify || env.tls));
    if !wants_tls {
        return read(text, None);
    }
    if env.tls && !env.tls_verify {
        return Err(no_verification("DOCKER_TLS", "set DOCKER_TLS_VERIFY=1"));
    }
    let folder = env.cert_path.as_deref().or(env.config.as_deref());
    let tls = folder.map(files_in).unwrap_or_default();
    if let (None, Some(folder)) = (&tls.ca, &env.cert_path) {
        return Err(Failure::new(format!(
            "DOCKER_CERT_PATH is {}, and there is no ca.pem in it",
            folder.display()
        )));
    }
    read(text, Some(tls))
}

fn read(text: &str, tls: Option<Tls>) -> Result<Endpoint> {
    Endpoint::parse(text, tls).map_err(|e| Failure::usage(e.to_string()))
}

/// The files of a folder, those that are there.
fn files_in(folder: &Path) -> Tls {
    let file = |name: &str| Some(folder.join(name)).filter(|path| path.exists());
    Tls {
        ca: file("ca.pem"),
        cert: file("cert.pem"),
        key: file("key.pem"),
    }
}

fn no_verification(who: &str, what_next: &str) -> Failure {
    Failure::new(format!(
        "{who} asks for TLS that does not check whom it talks to, and data and secrets would go to anybody; {what_next}"
    ))
}

/// The current context of the docker program's settings.
fn current_context(config: &Path) -> Result<Option<String>> {
    let path = config.join("config.json");
    let Some(settings) = json(&path)? else {
        return Ok(None);
    };
    let name = settings["currentContext"].as_str();
    Ok(name.filter(|name| !name.is_empty()).map(str::to_owned))
}

/// A file as JSON; `None` where there is none.
fn json(path: &Path) -> Result<Option<Value>> {
    let text = match fs_err::read(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Failure::new(e.to_string())),
    };
    serde_json::from_slice(&text).map(Some).map_err(|e| {
        Failure::new(format!(
            "{} cannot be read ({e}); correct it, or name the engine with --engine",
            path.display()
        ))
    })
}

/// The engine of a context: `contexts/meta/*/meta.json` says which, `contexts/tls/*/docker` has its files.
fn of_context(name: &str, env: &DockerEnvironment) -> Result<Endpoint> {
    let contexts = env.config.as_deref().map(|config| config.join("contexts"));
    let mut names = Vec::new();
    let entries = contexts
        .iter()
        .flat_map(|dir| fs_err::read_dir(dir.join("meta")));
    for entry in entries.flatten().flatten() {
        let Some(meta) = json(&entry.path().join("meta.json"))? else {
            continue;
        };
        if meta["Name"] != name {
            names.extend(meta["Name"].as_str().map(str::to_owned));
            continue;
        }
        let docker = &meta["Endpoints"]["docker"];
        let Some(host) = docker["Host"].as_str() else {
            return Err(Failure::new(format!(
                "the context {name} names no Docker engine; choose another one with --context"
            )));
        };
        if docker["SkipTLSVerify"] == true {
            return Err(no_verification(
                &format!("the context {name}"),
                &format!(
                    "make it anew with the engine's CA (docker context update {name} --docker host={host},ca=…)"
                ),
            ));
        }
        let tls = contexts
            .iter()
            .map(|dir| files_in(&dir.join("tls").join(entry.file_name()).join("docker")))
            .find(|tls| *tls != Tls::default());
        return read(host, tls);
    }
    names.sort();
    let known = match names.as_slice() {
        [] => "there is none".to_owned(),
        names => format!("there are: {}", names.join(", ")),
    };
    Err(Failure::new(format!(
        "there is no Docker context {name} ({known}); see `docker context ls`, or name the engine with --engine"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Home(tempfile::TempDir);

    impl Home {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.0.path().join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        }

        fn context(&self, id: &str, name: &str, endpoint: &str) {
            let meta = format!(
                r#"{{"Name":"{name}","Metadata":{{}},"Endpoints":{{"docker":{endpoint}}}}}"#
            );
            self.write(&format!("contexts/meta/{id}/meta.json"), &meta);
        }

        fn env(&self) -> DockerEnvironment {
            DockerEnvironment {
                config: Some(self.0.path().to_owned()),
                ..DockerEnvironment::default()
            }
        }
    }

    fn found(asked: &Asked<'_>, env: &DockerEnvironment) -> String {
        match which(asked, env) {
            Ok(endpoint) => endpoint.to_string(),
            Err(failure) => failure.sentence,
        }
    }

    #[test]
    fn flags_outweigh_variables_and_those_the_settings() {
        let home = Home::new();
        home.context("aa", "far", r#"{"Host":"ssh://me@far"}"#);
        home.context("bb", "near", r#"{"Host":"unix:///near.sock"}"#);
        let mut env = home.env();
        let none = Asked::default();
        assert_eq!(found(&none, &env), "unix:///var/run/docker.sock");
        home.write("config.json", r#"{"auths":{},"currentContext":"near"}"#);
        assert_eq!(found(&none, &env), "unix:///near.sock");
        env.context = Some("far".to_owned());
        assert_eq!(found(&none, &env), "ssh://me@far");
        env.host = Some("unix:///host.sock".to_owned());
        assert_eq!(found(&none, &env), "unix:///host.sock");
        let engine = Asked {
            engine: Some("unix:///flag.sock"),
            ..Asked::default()
        };
        assert_eq!(found(&engine, &env), "unix:///flag.sock");
        let context = Asked {
            context: Some("far"),
            ..Asked::default()
        };
        assert_eq!(found(&context, &env), "ssh://me@far");
        let default = Asked {
            context: Some("default"),
            ..Asked::default()
        };
        assert_eq!(found(&default, &env), "unix:///host.sock");
        let missing = Asked {
            context: Some("fra"),
            ..Asked::default()
        };
        let said = found(&missing, &env);
        assert!(said.contains("there are: far, near"), "{said}");
    }

    #[test]
    fn tls_files_come_from_the_context_or_the_variable() {
        let home = Home::new();
        home.context("aa", "far", r#"{"Host":"tcp://far","SkipTLSVerify":false}"#);
        home.context(
            "bb",
            "blind",
            r#"{"Host":"tcp://far","SkipTLSVerify":true}"#,
        );
        home.write("contexts/tls/aa/docker/ca.pem", "x");
        let mut env = home.env();
        let by = |context| Asked {
            context: Some(context),
            ..Asked::default()
        };
        let Endpoint::Tcp {
            tls: Some(tls),
            port: 2376,
            ..
        } = which(&by("far"), &env).unwrap()
        else {
            panic!("no TLS")
        };
        assert!(tls.ca.is_some() && tls.cert.is_none());
        assert!(found(&by("blind"), &env).contains("does not check"));
        env.host = Some("tcp://far".to_owned());
        env.tls = true;
        assert!(found(&Asked::default(), &env).contains("DOCKER_TLS_VERIFY=1"));
        env.tls_verify = true;
        assert_eq!(found(&Asked::default(), &env), "https://far:2376");
        env.cert_path = Some("/nowhere".into());
        assert!(found(&Asked::default(), &env).contains("no ca.pem"));
    }

    #[test]
    fn plain_tcp_to_another_machine_has_to_be_allowed() {
        let env = DockerEnvironment {
            host: Some("tcp://10.0.0.1:2375".to_owned()),
            ..DockerEnvironment::default()
        };
        assert!(found(&Asked::default(), &env).contains("--allow-plain-tcp"));
        let allowed = Asked {
            plain_tcp: true,
            ..Asked::default()
        };
        assert_eq!(found(&allowed, &env), "tcp://10.0.0.1:2375");
    }
}
