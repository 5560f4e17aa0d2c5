//! From a base URL to an open TLS stream that has agreed on HTTP/2, perhaps through a proxy.

use std::{io, sync::Arc};

use http::Uri;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{SetupError, proxy::Proxy};

const HTTPS_PORT: u16 = 443;

/// Where a pool connects to, and how.
#[derive(Clone, Copy)]
pub(crate) struct Endpoint<'a> {
    /// `https://host[:port]`.
    pub(crate) base_url: &'a str,
    /// Root certificates to trust besides the usual ones, PEM.
    pub(crate) ca_pem: Option<&'a str>,
    /// Certificate, chain and private key to show, PEM.
    pub(crate) identity_pem: Option<&'a SecretString>,
    /// `http://[user:password@]host:port`.
    pub(crate) proxy: Option<&'a SecretString>,
}

pub(super) struct Dialer {
    base: Uri,
    host: String,
    port: u16,
    server_name: ServerName<'static>,
    tls: TlsConnector,
    proxy: Option<Proxy>,
}

impl Dialer {
    pub(super) fn new(endpoint: &Endpoint<'_>) -> Result<Self, SetupError> {
        let base_url = endpoint.base_url;
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
            tls: TlsConnector::from(Arc::new(tls_config(endpoint)?)),
            proxy: endpoint.proxy.map(Proxy::new).transpose()?,
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
        let tcp = match &self.proxy {
            None => TcpStream::connect((self.host.as_str(), self.port)).await?,
            Some(proxy) => proxy.connect(&self.host, self.port).await?,
        };
        // Without it a serial sender waits for the peer's delayed ACK, about 40 ms a push.
        tcp.set_nodelay(true)?;
        let stream = self.tls.connect(self.server_name.clone(), tcp).await?;
        if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(io::Error::other("the peer does not speak HTTP/2"));
        }
        Ok(stream)
    }
}

fn tls_config(endpoint: &Endpoint<'_>) -> Result<ClientConfig, SetupError> {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    if let Some(pem) = endpoint.ca_pem {
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
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let mut config = match endpoint.identity_pem {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let (chain, key) = identity(pem)?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|_| SetupError::Certificate("its private key is of another kind, or of another certificate"))?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn identity(pem: &SecretString) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), SetupError> {
    let pem = pem.expose_secret().as_bytes();
    let chain = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| SetupError::Certificate("it is not PEM"))?;
    if chain.is_empty() {
        return Err(SetupError::Certificate("it holds no PEM certificate"));
    }
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        SetupError::Certificate(
            "it holds no unencrypted private key; `openssl pkcs12 -in FILE.p12 -nodes -out FILE.pem` makes one from Apple's .p12",
        )
    })?;
    Ok((chain, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(base_url: &str) -> Endpoint<'_> {
        Endpoint {
            base_url,
            ca_pem: None,
            identity_pem: None,
            proxy: None,
        }
    }

    #[test]
    fn base_urls_are_https_and_bare() {
        let dialer = |url: &str| Dialer::new(&endpoint(url));
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
        let refused = Dialer::new(&Endpoint {
            ca_pem: Some("nothing"),
            ..endpoint("https://host")
        });
        assert!(matches!(refused, Err(SetupError::Ca(_))));
    }

    #[test]
    fn a_client_certificate_comes_with_its_key() {
        let named = || rcgen::generate_simple_self_signed(vec!["com.example.app".to_owned()]).unwrap();
        let (one, other) = (named(), named());
        let dialer = |pem: String| {
            Dialer::new(&Endpoint {
                identity_pem: Some(&SecretString::from(pem)),
                ..endpoint("https://host")
            })
        };
        assert!(dialer(one.cert.pem() + &one.signing_key.serialize_pem()).is_ok());
        for bad in [
            one.cert.pem(),
            one.signing_key.serialize_pem(),
            one.cert.pem() + &other.signing_key.serialize_pem(),
            String::new(),
        ] {
            let error = dialer(bad).err().unwrap();
            assert!(matches!(error, SetupError::Certificate(_)), "{error}");
        }
    }
}
