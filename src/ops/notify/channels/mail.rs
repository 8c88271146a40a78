//! Mail: the text of the message with its title as the subject, by the server that `[smtp]` of the settings names.

use std::error::Error;

use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{Message, SmtpTransport, Transport};

use super::Filler;
use crate::core::inert::inert;
use crate::workflow::config::variables::Dialect;
use crate::workflow::config::{Config, is_loopback, load_for};

/// What errors of the encryption say of a certificate.
const UNTRUSTED: &str = "invalid peer certificate";
/// Carries the message's id.
const DELIVERY_HEADER: &str = "Runner-Delivery";

/// Sends the mail once.
///
/// # Errors
/// The settings are incomplete, or the server does not take the mail: a sentence.
pub fn send(filler: &mut Filler, to: &[String]) -> Result<(), String> {
    // Read now: a password that was changed meanwhile is the right one.
    let config = load_for(filler.outgoing.workflow, filler.outgoing.environment).map_err(|errors| {
        let first = errors.diagnostics.into_iter().next().map(|first| first.message);
        format!("the settings have errors: {}", first.unwrap_or_default())
    })?;
    let required =
        |name: &str| config.text(name).ok_or_else(|| format!("mail needs `{name}` in a settings file"));
    let host = filler.fill_as(required("smtp.host")?, Dialect::SettingsLater)?;
    let from = filler.fill_as(required("smtp.from")?, Dialect::SettingsLater)?;
    let document = filler.document()?;
    let body = filler.body(|| document.text.clone())?;
    let mut message = Message::builder().from(mailbox(&from)?).subject(inert(&document.title));
    for address in to {
        message = message.to(mailbox(&filler.fill(address)?)?);
    }
    let mut message = message
        .header(ContentType::TEXT_PLAIN)
        .body(body)
        .map_err(|error| format!("the mail cannot be written: {error}"))?;
    let name = HeaderName::new_from_ascii_str(DELIVERY_HEADER);
    message.headers_mut().insert_raw(HeaderValue::new(name, document.id));
    let transport = transport(filler, &config, &host)?;
    transport.send(&message).map(drop).map_err(|error| {
        // What is inside says whether it was the certificate.
        let whole = chain(&error);
        let words = if error.is_timeout() {
            "did not answer in time"
        } else if whole.contains(UNTRUSTED) {
            "has a certificate that this system does not trust"
        } else {
            "refused the mail or cannot be reached"
        };
        format!("the mail server {words}: {whole}")
    })
}

fn transport(filler: &mut Filler, config: &Config, host: &str) -> Result<SmtpTransport, String> {
    let parameters = || {
        TlsParameters::new(host.to_owned()).map_err(|error| format!("encryption cannot be set up: {error}"))
    };
    let (tls, port) = match config.text("smtp.tls").unwrap_or("starttls") {
        // Checked when the settings are read, unless the name was a reference.
        "none" if !is_loopback(host) => {
            return Err("`tls = \"none\"` is for a server on this machine only".into());
        }
        "none" => (Tls::None, 25),
        "tls" => (Tls::Wrapper(parameters()?), 465),
        _ => (Tls::Required(parameters()?), 587),
    };
    let port = config
        .get("smtp.port")
        .and_then(|port| port.value.as_u64())
        .and_then(|port| u16::try_from(port).ok())
        .unwrap_or(port);
    let mut builder = SmtpTransport::builder_dangerous(host)
        .port(port)
        .tls(tls)
        .timeout(Some(filler.outgoing.rule.timeout));
    if let Some(user) = config.text("smtp.user") {
        let user = filler.fill_as(user, Dialect::SettingsLater)?;
        let password = config.text("smtp.password").unwrap_or_default();
        let password = filler.fill_as(password, Dialect::SettingsLater)?;
        // A literal one is a secret as well.
        filler.secrets.push(password.clone());
        builder = builder.credentials(Credentials::new(user, password));
    }
    Ok(builder.build())
}

/// An error with its causes, each once.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = inner.source();
    }
    text
}

fn mailbox(address: &str) -> Result<Mailbox, String> {
    address.parse().map_err(|_| "an address of the mail is malformed".to_owned())
}
