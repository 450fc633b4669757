//! `key`.

use std::path::{Path, PathBuf};

use lifeboat_recovery::setup;
use lifeboat_vault::{Environment, KeyId, KeyInfo, KeyOwner, Vault, VaultError};
use serde::Serialize;

use crate::{
    args::{Key, KeyAddArgs, KeyArgs, KeyPasswdArgs, KeyRemoveArgs, NewPasswordArgs},
    exit::{Exit, Failure, Result},
    human,
    password::{self, Password},
    session::{PROGRAM, Session},
    table::{Align, Table},
};

/// A key, as `-o json` says it.
#[derive(Serialize)]
struct JsonKey<'a> {
    id: String,
    current: bool,
    created: Option<&'a str>,
    username: Option<&'a str>,
    hostname: Option<&'a str>,
    damage: Option<&'a str>,
}

/// What `key passwd -o json` says.
#[derive(Serialize)]
struct Changed {
    id: String,
    removed: String,
    key_file: Option<PathBuf>,
    sheet: Option<PathBuf>,
}

/// Does what is asked.
pub fn run(session: &Session, args: &KeyArgs) -> Result<Exit> {
    match &args.what {
        Key::List => list(session),
        Key::Add(args) => add(session, args),
        Key::Remove(args) => remove(session, args),
        Key::Passwd(args) => passwd(session, args),
        Key::Saved => saved(session),
    }
}

fn list(session: &Session) -> Result<Exit> {
    let vault = session.open_vault_itself()?;
    let keys = vault.keys()?;
    if session.out.is_json() {
        let keys: Vec<_> = keys.iter().map(|key| json(key, vault.key_id())).collect();
        session.out.json(&serde_json::json!({"keys": keys}))?;
    } else {
        let text = render(&keys, vault.key_id(), session.out.width());
        session.out.text(&text)?;
    }
    Ok(Exit::Done)
}

fn json(key: &KeyInfo, current: KeyId) -> JsonKey<'_> {
    JsonKey {
        id: key.id.to_hex(),
        current: key.id == current,
        created: key.created.as_deref(),
        username: key.username.as_deref(),
        hostname: key.hostname.as_deref(),
        damage: key.damage.as_deref(),
    }
}

fn render(keys: &[KeyInfo], current: KeyId, width: Option<u16>) -> String {
    let columns = [
        ("ID", Align::Left),
        ("USER", Align::Left),
        ("HOST", Align::Left),
        ("CREATED", Align::Left),
        ("NOTES", Align::Left),
    ];
    let mut table = Table::new(&columns, width);
    for key in keys {
        let star = if key.id == current { "*" } else { " " };
        let name = |text: &Option<String>| human::escape(text.as_deref().unwrap_or("").as_bytes());
        let notes = key.damage.as_ref().map(|why| format!("damaged: {why}"));
        table.row([
            format!("{star}{}", key.id.short()),
            name(&key.username),
            name(&key.hostname),
            key.created
                .as_deref()
                .map(human::local_time)
                .unwrap_or_default(),
            notes.unwrap_or_default(),
        ]);
    }
    table.render()
}

fn add(session: &Session, args: &KeyAddArgs) -> Result<Exit> {
    let vault = session.open_vault_itself()?;
    let password = new_password(&args.new, "Password of the new key: ")?;
    let owner = KeyOwner {
        username: args.user.clone(),
        hostname: session.global.host.clone(),
    };
    let id = vault.add_key(&password, &owner)?;
    if session.out.is_json() {
        session.out.json(&serde_json::json!({"id": id.to_hex()}))?;
    } else {
        session.out.line(&format!(
            "key {} opens the vault at {}",
            id.short(),
            vault.location()
        ))?;
    }
    Ok(Exit::Done)
}

fn new_password(new: &NewPasswordArgs, question: &str) -> Result<Password> {
    let file = new.new_password_file.as_ref();
    match password::other_source(file, new.new_password_command.as_ref()) {
        Some(source) => password::read_as(&source, "new-"),
        None => password::ask_new(question)?.ok_or_else(|| {
            Failure::usage(
                "there is nobody to ask for the new password: give --new-password-file or --new-password-command",
            )
        }),
    }
}

fn remove(session: &Session, args: &KeyRemoveArgs) -> Result<Exit> {
    let vault = session.open_vault_itself()?;
    let id = find(&vault, &args.id)?;
    vault.remove_key(id, session.global.retry_lock)?;
    if session.out.is_json() {
        session
            .out
            .json(&serde_json::json!({"removed": id.to_hex()}))?;
    } else {
        session.out.line(&format!(
            "key {} is removed; its password opens the vault no more",
            id.short()
        ))?;
    }
    Ok(Exit::Done)
}

/// The key that an id or its beginning means.
fn find(vault: &Vault, wanted: &str) -> Result<KeyId> {
    let wanted = wanted.trim_start_matches('*').to_ascii_lowercase();
    let keys = vault.keys()?;
    let mut found = keys
        .iter()
        .filter(|key| key.id.to_hex().starts_with(&wanted));
    match (found.next(), found.next()) {
        (Some(key), None) if !wanted.is_empty() => Ok(key.id),
        (Some(_), _) => Err(Failure::new(format!(
            "`{wanted}` is the beginning of several keys' ids; give more of it"
        ))),
        (None, _) => Err(Failure::new(format!(
            "there is no key `{wanted}` in the vault; `lifeboat key list` shows what there is"
        ))),
    }
}

fn passwd(session: &Session, args: &KeyPasswdArgs) -> Result<Exit> {
    // Before anything is changed: a key whose sheet cannot be written would be known to one file alone.
    let sheet = args.sheet.as_deref();
    let sheet = sheet
        .map(|path| super::init::new_file(session, path))
        .transpose()?;
    let (vault, old) = session.open_vault_with_password()?;
    let key_file = key_file(session, &old);
    let password = if args.generate {
        if key_file.is_none() {
            return Err(Failure::usage(
                "a generated key needs the key file that `init` remembered, and the password in use does not come from there; give --new-password-file",
            ));
        }
        let env = Environment::system(PROGRAM);
        Password::new(setup::generate_key(&env)?.to_vec())
    } else {
        new_password(
            &args.new,
            &format!("New password of the vault at {}: ", vault.location()),
        )?
    };
    let removed = vault.key_id();
    let owner = KeyOwner {
        hostname: session.global.host.clone(),
        ..KeyOwner::default()
    };
    let mut proven = |_| {
        let written = key_file
            .as_deref()
            .map(|path| setup::replace_key(path, &password));
        let written = written.transpose().and_then(|_| match &sheet {
            Some(path) => setup::recovery_sheet(
                &vault,
                &vault.location(),
                Some(&password),
                key_file.as_deref(),
            )
            .write(path),
            None => Ok(()),
        });
        written.map_err(|e| {
            VaultError::Invalid(format!(
                "the new password opens the vault, but could not be kept ({e}); the old one still opens it as well"
            ))
        })
    };
    let id = vault.change_password(&password, &owner, session.global.retry_lock, &mut proven)?;
    if session.is_remembered() {
        remember_sheet(session, false)?;
    }
    show_change(
        session,
        &Changed {
            id: id.to_hex(),
            removed: removed.to_hex(),
            key_file,
            sheet,
        },
    )?;
    Ok(Exit::Done)
}

fn show_change(session: &Session, changed: &Changed) -> Result<()> {
    if session.out.is_json() {
        session.out.json(changed)?;
    } else {
        session
            .out
            .line("the vault has a new password; the old one opens it no more")?;
        match &changed.key_file {
            Some(path) => session.out.line(&format!("the new one is in {}", path.display()))?,
            None => session.reporter.note(
                "the new password is kept nowhere on this machine; name its file with --password-file",
                session.global.quiet,
            ),
        }
        if let Some(path) = &changed.sheet {
            session
                .out
                .line(&format!("recovery sheet written to {}", path.display()))?;
        }
    }
    if changed.sheet.is_none() {
        session.reporter.warn_once(
            "a recovery sheet with the old password opens nothing any more: write the new one on it, and say `lifeboat key saved`",
        );
    }
    Ok(())
}

/// The key file that `init` remembered, if it is what this vault was opened with.
fn key_file(session: &Session, password: &Password) -> Option<PathBuf> {
    let path = session.key_file();
    let holds = |path: &Path| {
        let source = password::Source::File(path.to_owned());
        path.exists() && password::read(&source).is_ok_and(|held| held == *password)
    };
    (session.is_remembered() && holds(&path)).then_some(path)
}

fn saved(session: &Session) -> Result<Exit> {
    let vault = session.open_vault_itself()?;
    if !session.is_remembered() {
        return Err(Failure::new(format!(
            "nobody is reminded of the sheet of the vault at {}: it is not the one that `init` remembered on this host",
            vault.location()
        )));
    }
    remember_sheet(session, true)?;
    if session.out.is_json() {
        session.out.json(&serde_json::json!({"saved": true}))?;
    } else {
        session.out.line(&format!(
            "the password opens the vault at {}, and you keep it elsewhere: noted",
            vault.location()
        ))?;
    }
    Ok(Exit::Done)
}

fn remember_sheet(session: &Session, saved: bool) -> Result<()> {
    let mut settings = session.settings.clone();
    settings.sheet_saved = Some(saved);
    Ok(settings.save(&session.places.settings())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_in_use_has_a_star_and_damage_is_said() {
        let key = |n: u8, damage: Option<&str>| KeyInfo {
            id: KeyId([n; 32]),
            created: damage.is_none().then(|| "no time".to_owned()),
            username: Some("root".to_owned()),
            hostname: Some("web1\n".to_owned()),
            damage: damage.map(str::to_owned),
        };
        let keys = [key(1, None), key(2, Some("its JSON does not parse"))];
        insta::assert_snapshot!(render(&keys, KeyId([1; 32]), None), @r"
        ID         USER  HOST    CREATED  NOTES
        *01010101  root  web1\n  no time  -
         02020202  root  web1\n  -        damaged: its JSON does not parse
        ");
    }
}
