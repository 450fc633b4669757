//! What a registry server makes for itself and keeps: its certificate, so that clients that trust it go on doing so, and
//! the secret of its tokens.

use std::path::{Path, PathBuf};

use lifeboat_images::{Digest, registry::serve::SelfSigned};

use crate::{Result, setup::write_whole};

/// Where a certificate and its key are.
#[derive(Debug, Clone)]
pub struct KeptCertificate {
    /// Certificate, PEM: what clients are to trust.
    pub cert: PathBuf,
    /// Its key, PEM, readable by its owner alone.
    pub key: PathBuf,
}

impl KeptCertificate {
    /// The one for these names and addresses in the state directory, made if there is none. The key is written first:
    /// a crash leaves a key without a certificate, and the next run makes both anew.
    ///
    /// # Errors
    /// It cannot be made or written.
    pub fn of(state: &Path, names: &[String]) -> Result<Self> {
        let mut names = names.to_vec();
        names.sort();
        names.dedup();
        let hash = Digest::of(names.join("\n").as_bytes());
        let dir = state.join("registry");
        let file = |end: &str| dir.join(format!("{}.{end}", &hash.hex()[..16]));
        let kept = Self {
            cert: file("crt"),
            key: file("key"),
        };
        if kept.cert.exists() && kept.key.exists() {
            return Ok(kept);
        }
        fs_err::create_dir_all(&dir)?;
        let made = SelfSigned::make(&names)?;
        write_whole(&kept.key, made.key.as_bytes(), true, 0o600)?;
        write_whole(&kept.cert, made.cert.as_bytes(), true, 0o644)?;
        Ok(kept)
    }
}

/// The secret that a registry server seals tokens with, kept so that they outlive it; made if there is none.
///
/// # Errors
/// It cannot be made or written.
pub fn token_key(state: &Path) -> Result<Vec<u8>> {
    let path = state.join("registry").join("token-key");
    if let Ok(secret) = fs_err::read(&path)
        && secret.len() >= 32
    {
        return Ok(secret);
    }
    let mut secret = vec![0_u8; 32];
    rustix::rand::getrandom(&mut secret[..], rustix::rand::GetRandomFlags::empty())
        .map_err(std::io::Error::from)?;
    fs_err::create_dir_all(state.join("registry"))?;
    write_whole(&path, &secret, true, 0o600)?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use lifeboat_images::registry::serve::Tls;

    use super::*;

    #[test]
    fn the_same_names_have_the_same_certificate() {
        let dir = tempfile::tempdir().unwrap();
        let names = ["registry.example".to_owned(), "127.0.0.1".to_owned()];
        let first = KeptCertificate::of(dir.path(), &names).unwrap();
        let bytes = fs_err::read(&first.cert).unwrap();
        let other_order = [names[1].clone(), names[0].clone()];
        let again = KeptCertificate::of(dir.path(), &other_order).unwrap();
        assert_eq!(fs_err::read(again.cert).unwrap(), bytes);
        let mode = fs_err::metadata(&first.key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        Tls::from_files(&first.cert, &first.key, None).unwrap();

        let other = KeptCertificate::of(dir.path(), &names[..1]).unwrap();
        assert_ne!(other.cert, first.cert);
        assert!(Tls::from_files(&other.cert, &first.key, None).is_err());
        assert!(KeptCertificate::of(dir.path(), &["ä b".to_owned()]).is_err());
    }
}
