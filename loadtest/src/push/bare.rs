//! The least that a push can cost: `h2`, TLS, and requests of the same size that were made before.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, HeaderValue, Request, Uri, Version};
use tokio::{net::TcpStream, task::JoinSet};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        self,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};

use super::client::{device_token, uuid};

/// What Beckon's payload for the same push is like.
const PAYLOAD: &str = r#"{"aps":{"alert":{"title":"Mia, your Rose Cream","body":"20 % off skincare today, just inside the door."},"sound":"default"},"deliveryId":"3f2504e0-4f89-41d3-9a0c-030500000000","campaign":"duty-free-usual"}"#;
/// As long as a provider token is.
const AUTHORIZATION_BYTES: usize = 230;

/// Some connections.
pub(super) struct Loops {
    base: Uri,
    senders: Vec<SendRequest<Bytes>>,
}

impl Loops {
    pub(super) async fn open(url: &str, ca_pem: &str, connections: usize) -> anyhow::Result<Self> {
        let base: Uri = url.parse()?;
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
            roots.add(certificate?)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let connector = TlsConnector::from(Arc::new(config));
        let host = base.host().context("no host")?.to_owned();
        let mut senders = Vec::new();
        for _ in 0..connections {
            let tcp = TcpStream::connect((host.as_str(), base.port_u16().unwrap_or(443))).await?;
            tcp.set_nodelay(true)?;
            let tls = connector.connect(ServerName::try_from(host.clone())?, tcp).await?;
            let (sender, wire) = h2::client::Builder::new()
                .enable_push(false)
                .handshake::<_, Bytes>(tls)
                .await?;
            tokio::spawn(wire);
            senders.push(sender.ready().await?);
        }
        Ok(Self { base, senders })
    }

    /// As many workers as there may be pushes in flight, each of which sends one after the other.
    pub(super) async fn send(&self, pushes: usize, in_flight: usize) -> anyhow::Result<()> {
        let next = Arc::new(AtomicUsize::new(0));
        let mut workers = JoinSet::new();
        for worker in 0..in_flight {
            let (next, base) = (Arc::clone(&next), self.base.clone());
            let mut sender = self.senders[worker % self.senders.len()].clone();
            let headers = headers()?;
            let path: http::uri::PathAndQuery = format!("/3/device/{}", device_token(worker)).parse()?;
            workers.spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= pushes {
                        return Ok(());
                    }
                    let mut headers = headers.clone();
                    let mut id = HeaderValue::from_str(&uuid(number).to_string())?;
                    id.set_sensitive(true);
                    headers.insert("apns-collapse-id", id.clone());
                    headers.insert("apns-id", id);
                    let mut parts = base.clone().into_parts();
                    parts.path_and_query = Some(path.clone());
                    let mut request = Request::post(Uri::from_parts(parts)?)
                        .version(Version::HTTP_2)
                        .body(())?;
                    *request.headers_mut() = headers;
                    sender = sender.ready().await?;
                    let (response, mut body) = sender.send_request(request, false)?;
                    body.send_data(Bytes::from_static(PAYLOAD.as_bytes()), true)?;
                    let status = response.await?.status();
                    if status != 200 {
                        bail!("{status}");
                    }
                }
            });
        }
        while let Some(ended) = workers.join_next().await {
            ended??;
        }
        Ok(())
    }
}

fn headers() -> anyhow::Result<HeaderMap> {
    let mut authorization = HeaderValue::from_str(&format!("bearer {}", "x".repeat(AUTHORIZATION_BYTES - 7)))?;
    authorization.set_sensitive(true);
    let mut expiration = HeaderValue::from_static("1795336200");
    expiration.set_sensitive(true);
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert("authorization", authorization);
    headers.insert("apns-expiration", expiration);
    headers.insert("apns-push-type", HeaderValue::from_static("alert"));
    headers.insert("apns-priority", HeaderValue::from_static("10"));
    headers.insert("apns-topic", HeaderValue::from_static("com.example.app"));
    Ok(headers)
}
