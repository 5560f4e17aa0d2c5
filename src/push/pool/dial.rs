//! From a base URL to an open TLS stream that has agreed on HTTP/2.

use std::{io, sync::Arc};

use http::Uri;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::SetupError;

const HTTPS_PORT: u16 = 443;

pub(super) struct Dialer {
    base: Uri,
    host: String,
    port: u16,
    server_name: ServerName<'static>,
    tls: TlsConnector,
}

impl Dialer {
    pub(super) fn new(base_url: &str, ca_pem: Option<&str>) -> Result<Self, SetupError> {
        let refuse = || SetupError::BaseUrl(base_url.chars().take(200).collect());
        let base: Uri = base_url.parse().map_err(|_| refuse())?;
        let authority = base.authority().ok_or_else(refuse)?;
        let bare = base.path().trim_matches('/').is_empty() && base.query().is_none();
        if base.scheme_str() != Some("https") || authority.as_str().contains('@') || !bare {
            return Err(refuse());
        }
        // An IPv6 address stands in brackets in a URL, and without them everywhere else.
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        Ok(Self {
            port: authority.port_u16().unwrap_or(HTTPS_PORT),
            server_name: ServerName::try_from(host.clone()).map_err(|_| refuse())?,
            tls: TlsConnector::from(Arc::new(tls_config(ca_pem)?)),
            host,
            base,
        })
    }

    /// Scheme and authority of each request.
    pub(super) fn base(&self) -> &Uri {
        &self.base
    }

    /// Opens a connection; the caller bounds the time.
    pub(super) async fn dial(&self) -> io::Result<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await?;
        // Without it a serial sender waits for the peer's delayed ACK, about 40 ms a push.
        tcp.set_nodelay(true)?;
        let stream = self.tls.connect(self.server_name.clone(), tcp).await?;
        if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(io::Error::other("the peer does not speak HTTP/2"));
        }
        Ok(stream)
    }
}

fn tls_config(ca_pem: Option<&str>) -> Result<ClientConfig, SetupError> {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    if let Some(pem) = ca_pem {
        let mut found = 0;
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.map_err(|error| SetupError::Ca(error.to_string()))?;
            roots
                .add(certificate)
                .map_err(|error| SetupError::Ca(error.to_string()))?;
            found += 1;
        }
        if found == 0 {
            return Err(SetupError::Ca("it holds no PEM certificate".to_owned()));
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_are_https_and_bare() {
        let dialer = |url: &str| Dialer::new(url, None);
        for good in [
            "https://api.push.apple.com",
            "https://127.0.0.1:2197/",
            "https://[::1]:9",
        ] {
            assert!(dialer(good).is_ok(), "{good}");
        }
        for bad in [
            "http://fcm.googleapis.com",
            "fcm.googleapis.com",
            "https://me:word@host",
            "https://host/v1",
            "",
        ] {
            assert!(matches!(dialer(bad), Err(SetupError::BaseUrl(_))), "{bad}");
        }
        assert_eq!(dialer("https://[::1]:9").map(|d| d.host).unwrap_or_default(), "::1");
    }

    #[test]
    fn a_ca_file_without_certificates_is_refused() {
        let refused = Dialer::new("https://host", Some("nothing"));
        assert!(matches!(refused, Err(SetupError::Ca(_))));
    }
}
