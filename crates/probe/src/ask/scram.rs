//! SCRAM-SHA-256 (RFC 5802, 7677) without channel binding, the client's side.

use std::num::NonZeroU32;

use aws_lc_rs::rand::SecureRandom as _;
use aws_lc_rs::{constant_time, digest, hmac, pbkdf2, rand};

use super::postgres::{base64, from_base64};
use crate::secret::Secret;

/// PostgreSQL's own is 4096. What a liar asks for costs time that is ours.
const MOST_ROUNDS: u32 = 100_000;

pub(super) struct Scram {
    nonce: String,
    /// What the server has to say in the end to prove that it knows the password too.
    proof: Vec<u8>,
}

impl Scram {
    pub fn new() -> Result<Self, String> {
        let mut nonce = [0; 18];
        rand::SystemRandom::new()
            .fill(&mut nonce)
            .map_err(|_| "there are no random numbers".to_owned())?;
        Ok(Self {
            nonce: base64(&nonce),
            proof: Vec::new(),
        })
    }

    pub fn first(&self) -> String {
        // PostgreSQL takes the name from the connection's start.
        format!("n,,n=,r={}", self.nonce)
    }

    /// The answer to the server's first message.
    pub async fn answer(
        &mut self,
        first: &[u8],
        password: &Secret,
    ) -> Result<String, &'static str> {
        let first = std::str::from_utf8(first).map_err(|_| "a login that is no text")?;
        let field = |name: &str| first.split(',').find_map(|part| part.strip_prefix(name));
        let nonce = field("r=").filter(|nonce| nonce.starts_with(&self.nonce));
        let nonce = nonce.ok_or("its login answers somebody else")?;
        let salt = field("s=")
            .and_then(from_base64)
            .ok_or("its salt is none")?;
        let rounds = field("i=").and_then(|text| text.parse::<NonZeroU32>().ok());
        let rounds = rounds.filter(|rounds| rounds.get() <= MOST_ROUNDS);
        let rounds = rounds.ok_or("it wants too much reckoning for a login")?;

        let secret = password.clone();
        // Milliseconds of reckoning, which all other probes would wait for.
        let salted = tokio::task::spawn_blocking(move || {
            let mut salted = [0; 32];
            let how = pbkdf2::PBKDF2_HMAC_SHA256;
            pbkdf2::derive(how, rounds, &salt, secret.as_bytes(), &mut salted);
            salted
        });
        let salted = salted
            .await
            .map_err(|_| "the login could not be reckoned")?;
        let bare = format!("n=,r={}", self.nonce);
        let last = format!("c=biws,r={nonce}");
        let whole = format!("{bare},{first},{last}");
        let client_key = sign(&salted, b"Client Key");
        let stored = digest::digest(&digest::SHA256, client_key.as_ref());
        let signature = sign(stored.as_ref(), whole.as_bytes());
        let both = client_key.as_ref().iter().zip(signature.as_ref());
        let proof: Vec<u8> = both.map(|(a, b)| a ^ b).collect();
        let server_key = sign(&salted, b"Server Key");
        self.proof = sign(server_key.as_ref(), whole.as_bytes())
            .as_ref()
            .to_vec();
        Ok(format!("{last},p={}", base64(&proof)))
    }

    /// Whether the server's last message proves that it knows the password.
    pub fn is_proved(&self, last: &[u8]) -> bool {
        let text = std::str::from_utf8(last).ok();
        let said = text.and_then(|text| text.split(',').find_map(|p| p.strip_prefix("v=")));
        let said = said.and_then(from_base64);
        said.is_some_and(|said| constant_time::verify_slices_are_equal(&said, &self.proof).is_ok())
    }
}

fn sign(key: &[u8], text: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677, with PostgreSQL's empty name in the place of `user`: reckoned once with Python's
    /// hashlib and hmac.
    #[tokio::test]
    async fn both_sides_prove_that_they_know_the_password() {
        let mut scram = Scram::new().unwrap();
        scram.nonce = "rOprNGfwEbeRWgbNEkqO".to_owned();
        let first = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let password = Secret::new("pencil".to_owned());
        let answer = scram.answer(first.as_bytes(), &password).await.unwrap();
        let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        assert_eq!(
            answer,
            format!("c=biws,r={nonce},p=qvT2SWdEH5Q06albL+hjSYuUhCG7VndFyzIb7CK4n9k=")
        );
        assert!(scram.is_proved(b"v=3HO6Qt1M4MKJrmlKaoOqLAI0/0TV0HZe7J9H3MBtSOg="));
        assert!(!scram.is_proved(b"v=AAAA"));
        let costly = first.replace("i=4096", "i=4000000000");
        scram
            .answer(costly.as_bytes(), &password)
            .await
            .unwrap_err();
    }
}
