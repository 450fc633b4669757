//! Mail, over the sender's own connection each time.

use std::time::Duration;

use lettre::message::{Mailbox, header::ContentType};
use lettre::transport::smtp::{
    authentication::Credentials,
    client::{Tls as Wrap, TlsParameters},
};
use lettre::{SmtpTransport, Transport as _};
use secrecy::ExposeSecret as _;

use crate::{
    Message, NotSent,
    target::{Mail, Tls},
};

const PATIENCE: Duration = Duration::from_secs(15);

/// Sends a message; blocks.
pub(crate) fn send(mail: &Mail, message: &Message) -> Result<(), NotSent> {
    let address = |text: &str| {
        let parsed = text.parse::<Mailbox>();
        parsed.map_err(|_| NotSent("an address of it is no mail address".to_owned()))
    };
    let mut letter = lettre::Message::builder()
        .from(address(&mail.from)?)
        .subject(format!("[lifeboat] {}", message.title))
        .header(ContentType::TEXT_PLAIN);
    for to in &mail.to {
        letter = letter.to(address(to)?);
    }
    let letter = letter
        .body(message.text(usize::MAX))
        .map_err(|e| NotSent(format!("no mail can be made of it: {e}")))?;
    let parameters = || {
        TlsParameters::new(mail.host.clone())
            .map_err(|e| NotSent(format!("TLS cannot be set up: {e}")))
    };
    let (tls, port) = match mail.tls {
        Tls::Wrapped => (Wrap::Wrapper(parameters()?), 465),
        Tls::Required => (Wrap::Required(parameters()?), 587),
        Tls::None => (Wrap::None, 25),
    };
    let mut transport = SmtpTransport::builder_dangerous(&mail.host)
        .port(mail.port.unwrap_or(port))
        .tls(tls)
        .timeout(Some(PATIENCE));
    if let Some((user, pass)) = &mail.login {
        transport = transport.credentials(Credentials::new(
            user.clone(),
            pass.expose_secret().to_owned(),
        ));
    }
    transport.build().send(&letter).map(drop).map_err(|e| {
        let why = match &e {
            _ if e.is_timeout() => "no answer in time".to_owned(),
            _ if e.is_tls() => format!("TLS with it fails ({e})"),
            _ => match e.status() {
                // The server's words may repeat what it was sent.
                Some(code) => format!("it refuses with {code}"),
                None => "it cannot be reached, or broke off".to_owned(),
            },
        };
        NotSent(why)
    })
}
