//! A webhook: one POST, no redirects; 2xx is success.

use std::collections::BTreeMap;

use ureq::Agent;
use ureq::http::Uri;

use super::Filler;
use crate::core::tls;

/// Carries the message's id, which stays the same when a message comes twice.
const DELIVERY_HEADER: &str = "Runner-Delivery";
const CONTENT_TYPE: &str = "Content-Type";

/// Makes the POST once.
///
/// # Errors
/// The address is malformed, or the receiver does not answer with success: a sentence.
pub fn send(filler: &mut Filler, url: &str, headers: &BTreeMap<String, String>) -> Result<(), String> {
    let url = filler.fill(url)?;
    let target: Uri = url.parse().map_err(|_| "the address of the webhook is malformed".to_owned())?;
    if !matches!(target.scheme_str(), Some("http" | "https")) {
        return Err("the address of the webhook begins with neither http:// nor https://".into());
    }
    let document = filler.document()?;
    let body = filler.body(|| filler.outgoing.document.to_owned())?;
    let agent: Agent = Agent::config_builder()
        .timeout_global(Some(filler.outgoing.rule.timeout))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .user_agent(concat!("runner/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls::config(&url))
        .build()
        .into();
    let mut request = agent.post(&url).header(DELIVERY_HEADER, &document.id);
    if !headers.keys().any(|name| name.eq_ignore_ascii_case(CONTENT_TYPE)) {
        let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&body).is_ok();
        let kind = if is_json { "application/json" } else { "text/plain; charset=utf-8" };
        request = request.header(CONTENT_TYPE, kind);
    }
    for (name, value) in headers {
        request = request.header(name, filler.fill(value)?);
    }
    let response = request.send(body).map_err(|error| fault(&error))?;
    let status = response.status();
    match status.as_u16() {
        200..300 => Ok(()),
        300..400 => Err(format!("the receiver redirects ({}), which is not followed", status.as_u16())),
        code => Err(format!("the receiver answered {code}")),
    }
}

fn fault(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => "the receiver did not answer in time".to_owned(),
        error => format!("the receiver cannot be reached: {error}"),
    }
}
