//! Headers of every answer, set in one place. A handler that sets one of them itself keeps its own.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, SERVER, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderValue, Response};

/// What a page of ours may load and do: its own style, script and pictures, and nothing written into the page.
pub const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What a file that a task made may do: show itself.
pub const FOREIGN_POLICY: &str = "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'";

const EVERY_ANSWER: [(HeaderName, &str); 6] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // With `no-referrer` browsers send `Origin: null` from our own forms.
    (REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (CONTENT_SECURITY_POLICY, PAGE_POLICY),
    (CACHE_CONTROL, "no-store"),
];

/// Adds what every answer has.
pub fn finish<B>(mut answer: Response<B>) -> Response<B> {
    let headers = answer.headers_mut();
    headers.remove(SERVER);
    for (name, value) in EVERY_ANSWER {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    answer
}
