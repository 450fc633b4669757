//! `registry serve`: until a signal comes.

use std::{
    net::{IpAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
};

use lifeboat_images::registry::{
    Intake, Shelf, registry_name,
    serve::{ServeOptions, Stop, Tls, TokenKey, Users, serve},
};
use lifeboat_recovery::{
    points,
    registry::{AcceptOptions, Accepting, KeptCertificate, ShelfOptions, VaultShelf, token_key},
};
use lifeboat_vault::{Environment, Timestamp, Vault};

use super::howto::HowTo;
use crate::{
    args::RegistryServeArgs,
    exit::{Exit, Failure, Result},
    password,
    session::{PROGRAM, Session, absolute},
    signals,
};

/// Serves.
pub fn run(session: &Session, args: &RegistryServeArgs) -> Result<Exit> {
    let names: Vec<String> = args.names.iter().map(|name| registry_name(name)).collect();
    if let Some(wrong) = names.iter().find(|name| !is_name(name)) {
        return Err(Failure::usage(format!(
            "`{wrong}` is no name of a registry; write it as images have it: `registry.example` or `registry.example:5000`"
        )));
    }
    let users = users(args)?;
    if args.accept && users.is_none() && !args.listen.ip().is_loopback() {
        return Err(Failure::usage(
            "whoever reaches this address could push and delete; say who may with --user or --users",
        ));
    }
    let vault = session.open_vault()?;
    let options = ShelfOptions {
        preferred: names.clone(),
        point: point(&vault, args)?,
        until: args.at.map(|secs| Timestamp {
            secs,
            ..Timestamp::default()
        }),
        except: None,
    };
    let own = accepted_for(args, &names)?;
    let options = ShelfOptions {
        except: own.clone(),
        ..options
    };
    let shelf = VaultShelf::new(vault, options)?;
    let listener = TcpListener::bind(args.listen).map_err(|error| {
        Failure::new(format!(
            "nothing can listen on {}: {error}; choose another with --listen",
            args.listen
        ))
    })?;
    let address = listener.local_addr()?;
    let (tls, ca) = tls(session, args, &names)?;
    let stop = Stop::default();
    let on_signal = stop.clone();
    signals::on_first(move || on_signal.stop())?;

    let mut registries = shelf.registries();
    let (shelf, intake) = match own {
        None => (Arc::new(shelf) as Arc<dyn Shelf>, None),
        Some(registry) => {
            let accepting = Arc::new(accepting(session, args, shelf, registry)?);
            registries = accepting.registries();
            let shelf = Arc::clone(&accepting) as Arc<dyn Shelf>;
            (shelf, Some(accepting as Arc<dyn Intake>))
        }
    };

    let how = HowTo {
        address,
        ca,
        is_tls: tls.is_some(),
        names: &names,
        registries,
    };
    session.reporter.finish();
    if session.out.is_json() {
        session.out.json(&how.json())?;
    } else if session.global.quiet {
        session.out.line(&how.first_line())?;
    } else {
        session.out.text(&how.text())?;
    }
    if users.is_none() && !address.ip().is_loopback() {
        let said = "everybody who reaches this address can pull every image in the vault; --user or --users closes it";
        session.reporter.note(said, session.global.quiet);
    }
    let tokens = match args.token_auth {
        true => Some(TokenKey::new(&token_key(&session.places.state)?, seconds)),
        false => None,
    };
    let options = ServeOptions {
        tokens,
        names,
        users,
        tls,
        intake,
    };
    serve(listener, shelf, options, &stop)?;
    Ok(Exit::Done)
}

/// The registry that pushes are part of, if any are taken.
fn accepted_for(args: &RegistryServeArgs, names: &[String]) -> Result<Option<String>> {
    if !args.accept {
        return Ok(None);
    }
    if let Some(name) = names.first() {
        return Ok(Some(name.clone()));
    }
    if args.listen.ip().is_unspecified() || args.listen.port() == 0 {
        return Err(Failure::usage(format!(
            "{} is no name that images can have; say with --name which registry pushes are part of",
            args.listen
        )));
    }
    Ok(Some(args.listen.to_string()))
}

fn accepting(
    session: &Session,
    args: &RegistryServeArgs,
    shelf: VaultShelf,
    registry: String,
) -> Result<Accepting> {
    let ctx = session.context(None)?;
    let plain: String = registry
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let id: String = ctx.vault.id().chars().take(16).collect();
    let options = AcceptOptions {
        folder: session
            .places
            .state
            .join("registry")
            .join(format!("{id}-{plain}")),
        registry,
        site: ctx.site,
        username: ctx.username,
        most: args.most_staged << 30,
    };
    Ok(Accepting::new(ctx.vault, shelf, &options)?)
}

fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-:".contains(c);
    name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(plain)
}

fn point(vault: &Vault, args: &RegistryServeArgs) -> Result<Option<lifeboat_vault::SnapshotId>> {
    let Some(reference) = &args.point else {
        return Ok(None);
    };
    Ok(Some(points::resolve(vault, reference)?.0))
}

fn users(args: &RegistryServeArgs) -> Result<Option<Users>> {
    if args.user.is_none() && args.users.is_none() {
        if args.token_auth || !args.pushers.is_empty() {
            return Err(Failure::usage(
                "tokens and pushers are for names with passwords; give --user or --users",
            ));
        }
        return Ok(None);
    }
    let mut users = Users::default();
    if let Some(file) = &args.users {
        users.add_htpasswd(file).map_err(failed)?;
    }
    if let (Some(name), Some(file)) = (&args.user, &args.user_password_file) {
        if name.contains(':') {
            return Err(Failure::usage("a name to pull with has no `:` in it"));
        }
        let source = password::Source::File(file.clone());
        users.add(name, &password::read_as(&source, "user-")?);
    }
    if !args.pushers.is_empty() {
        users.only_these_push(args.pushers.iter().cloned());
    }
    Ok(Some(users))
}

/// What the server says who it is with, and the file that clients need to believe it.
fn tls(
    session: &Session,
    args: &RegistryServeArgs,
    names: &[String],
) -> Result<(Option<Tls>, Option<PathBuf>)> {
    if let (Some(cert), Some(key)) = (&args.tls_cert, &args.tls_key) {
        return Ok((
            Some(Tls::from_files(cert, key, None).map_err(uncertified)?),
            None,
        ));
    }
    let is_local = args.listen.ip().is_loopback();
    if args.plain_http || (is_local && !args.tls_self_signed) {
        return Ok((None, None));
    }
    let without_port = names.iter().map(|name| match name.rsplit_once(':') {
        Some((host, _)) => host.to_owned(),
        None => name.clone(),
    });
    let mut own: Vec<String> = without_port.collect();
    own.push("localhost".to_owned());
    let here = Environment::system(PROGRAM).hostname;
    if is_name(&here) {
        own.push(here);
    }
    let every = match args.listen.ip() {
        IpAddr::V4(ip) => ip.is_unspecified(),
        IpAddr::V6(ip) => ip.is_unspecified(),
    };
    if !every {
        own.push(args.listen.ip().to_string());
    }
    own.push("127.0.0.1".to_owned());
    let kept = KeptCertificate::of(&session.places.state, &own)?;
    let tls = Tls::from_files(&kept.cert, &kept.key, None).map_err(uncertified)?;
    Ok((Some(tls), Some(absolute(Path::new(&kept.cert))?)))
}

/// Since 1970.
fn seconds() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or_default()
}

fn uncertified(error: lifeboat_tls::Error) -> Failure {
    Failure::new(format!("the certificate cannot be used: {error}"))
}

fn failed(error: lifeboat_images::Error) -> Failure {
    Failure::new(error.to_string())
}
