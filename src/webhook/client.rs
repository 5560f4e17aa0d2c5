//! One call: resolve, check, connect, sign, post, and look at nothing but the status.

use std::{io, net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_rustls::TlsConnector;

use super::{address::is_public, sign::signature};
use crate::engine::ports::{WebhookCall, WebhookFailure, WebhookSender};

/// Longest URL, in bytes.
const URL_BYTES_MAX: usize = 2000;
/// Addresses of a name that are tried.
const ADDRESSES_MAX: usize = 4;

/// Settings of the calls.
#[derive(Debug, Clone, Default)]
pub struct CallerConfig {
    /// Whether `http://` and addresses that are not public may be called.
    pub allow_private: bool,
    /// Root certificates to trust besides the usual ones, PEM.
    pub ca_pem: Option<String>,
}

/// Makes the calls.
pub struct Caller {
    allow_private: bool,
    tls: TlsConnector,
}

/// Where a call goes.
struct Target {
    uri: Uri,
    host: String,
    port: u16,
    is_tls: bool,
}

impl Caller {
    /// Checks the settings; connects to nothing yet.
    pub fn new(config: &CallerConfig) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        for certificate in CertificateDer::pem_slice_iter(config.ca_pem.as_deref().unwrap_or_default().as_bytes()) {
            let certificate = certificate.map_err(|error| error.to_string())?;
            roots.add(certificate).map_err(|error| error.to_string())?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            allow_private: config.allow_private,
            tls: TlsConnector::from(Arc::new(tls)),
        })
    }

    fn target(&self, url: &str) -> Result<Target, String> {
        if url.len() > URL_BYTES_MAX {
            return Err(format!("is longer than {URL_BYTES_MAX} bytes"));
        }
        let uri: Uri = url.parse().map_err(|_| "is no URL".to_owned())?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if self.allow_private => false,
            Some("http") => return Err("must be https:// (or set webhooks.allow_private)".to_owned()),
            _ => return Err("must be of the form https://host/path".to_owned()),
        };
        let authority = uri.authority().ok_or("names no host")?;
        if authority.as_str().contains('@') {
            return Err("must not hold a user name; calls are signed".to_owned());
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        if host.is_empty() {
            return Err("names no host".to_owned());
        }
        if let Ok(address) = host.parse()
            && !self.allow_private
            && !is_public(address)
        {
            return Err(format!(
                "{address} is not a public address (or set webhooks.allow_private)"
            ));
        }
        let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        Ok(Target {
            uri,
            host,
            port,
            is_tls,
        })
    }

    /// Connects to an address of the host that may be called.
    async fn connect(&self, target: &Target) -> Result<TcpStream, WebhookFailure> {
        let found = tokio::net::lookup_host((target.host.as_str(), target.port))
            .await
            .map_err(|error| failed(&error))?;
        let allowed = |address: &SocketAddr| self.allow_private || is_public(address.ip());
        let addresses: Vec<SocketAddr> = found.filter(allowed).take(ADDRESSES_MAX).collect();
        if addresses.is_empty() {
            let why = format!("{} has no public address (or set webhooks.allow_private)", target.host);
            return Err(WebhookFailure::Failed(why));
        }
        let tcp = TcpStream::connect(addresses.as_slice())
            .await
            .map_err(|error| failed(&error))?;
        tcp.set_nodelay(true).map_err(|error| failed(&error))?;
        Ok(tcp)
    }

    async fn post(&self, call: &WebhookCall) -> Result<StatusCode, WebhookFailure> {
        let target = self
            .target(&call.url)
            .map_err(|why| WebhookFailure::Failed(format!("the URL {why}")))?;
        let request = request(&target, call)?;
        let tcp = self.connect(&target).await?;
        if !target.is_tls {
            return exchange(tcp, request).await;
        }
        let name =
            ServerName::try_from(target.host.clone()).map_err(|error| WebhookFailure::Failed(error.to_string()))?;
        exchange(
            self.tls.connect(name, tcp).await.map_err(|error| failed(&error))?,
            request,
        )
        .await
    }
}

fn failed(error: &io::Error) -> WebhookFailure {
    WebhookFailure::Failed(error.to_string())
}

fn request(target: &Target, call: &WebhookCall) -> Result<Request<Full<Bytes>>, WebhookFailure> {
    let seconds = call.at.0.div_euclid(1000);
    let wrong = || WebhookFailure::Failed("the endpoint's secret is damaged".to_owned());
    let signature = signature(&call.secret, &call.id, seconds, &call.body).ok_or_else(wrong)?;
    let host = target.uri.authority().map_or("", |authority| authority.as_str());
    let path = target.uri.path_and_query().map_or("/", |path| path.as_str());
    Request::post(path)
        .header(header::HOST, host)
        .header(header::CONTENT_TYPE, "application/cloudevents+json; charset=utf-8")
        .header(header::USER_AGENT, concat!("beckon/", env!("CARGO_PKG_VERSION")))
        .header(header::CONNECTION, "close")
        .header("webhook-id", &call.id)
        .header("webhook-timestamp", seconds)
        .header("webhook-signature", signature)
        .body(Full::from(call.body.clone()))
        .map_err(|error| WebhookFailure::Failed(error.to_string()))
}

/// Sends the request and reads the head of the answer; its body is of no interest.
async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<StatusCode, WebhookFailure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let broken = |error: hyper::Error| WebhookFailure::Failed(error.to_string());
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let mut answer = std::pin::pin!(sender.send_request(request));
    // The connection is driven here and dropped with the answer.
    let answer = tokio::select! {
        answer = &mut answer => answer,
        _ = connection => answer.await,
    };
    Ok(answer.map_err(broken)?.status())
}

#[async_trait]
impl WebhookSender for Caller {
    fn check(&self, url: &str) -> Result<(), String> {
        self.target(url).map(drop)
    }

    async fn call(&self, call: &WebhookCall, deadline: Instant) -> Result<(), WebhookFailure> {
        let status = timeout_at(deadline, self.post(call))
            .await
            .map_err(|_| WebhookFailure::Failed("no answer in time".to_owned()))??;
        match status {
            status if status.is_success() => Ok(()),
            StatusCode::GONE => Err(WebhookFailure::Gone),
            status => Err(WebhookFailure::Failed(format!(
                "the endpoint answered {}",
                status.as_u16()
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(allow_private: bool) -> Caller {
        Caller::new(&CallerConfig {
            allow_private,
            ca_pem: None,
        })
        .expect("settings")
    }

    #[test]
    fn urls_lead_to_the_outside_unless_it_is_allowed() {
        for good in [
            "https://example.org",
            "https://example.org:8443/hook?a=b",
            "https://8.8.8.8/x",
        ] {
            assert_eq!(caller(false).check(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "example.org",
            "http://example.org",
            "ftp://example.org",
            "https://me:word@example.org",
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://169.254.169.254/latest",
            "https://[::ffff:10.0.0.1]/",
            "https://",
        ] {
            assert!(caller(false).check(bad).is_err(), "{bad}");
        }
        assert_eq!(caller(true).check("http://127.0.0.1:9/"), Ok(()));
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_not_called() {
        let call = WebhookCall {
            url: "https://localhost:9/".to_owned(),
            secret: super::super::new_secret().expect("a secret"),
            id: "a".to_owned(),
            at: crate::domain::time::Timestamp(0),
            body: String::new(),
        };
        let deadline = Instant::now() + std::time::Duration::from_secs(5);
        let failure = caller(false)
            .call(&call, deadline)
            .await
            .expect_err("refused")
            .to_string();
        assert!(failure.contains("no public address"), "{failure}");
    }
}
