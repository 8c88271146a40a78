//! The encryption of requests: the roots of the system, and one implementation for all of them.

use std::sync::Arc;

use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};

/// The settings for an address; the roots are read for encrypted ones only.
pub fn config(url: &str) -> TlsConfig {
    let builder = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let is_plain = url.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"));
    if is_plain {
        return builder.root_certs(RootCerts::Specific(Arc::default())).build();
    }
    // Certificates that cannot be read are left out; without any no receiver can be trusted, which the fault says.
    let found = rustls_native_certs::load_native_certs().certs;
    let roots = found.iter().map(|certificate| Certificate::from_der(certificate).to_owned());
    builder.root_certs(RootCerts::Specific(Arc::new(roots.collect()))).build()
}
