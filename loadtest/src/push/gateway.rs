//! A gateway that answers every push with 200 after a while, on bare `h2`, so that it is the clients that are measured.

use std::{
    collections::VecDeque,
    future::{Future as _, poll_fn},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    pin::pin,
    process::{Child, Stdio},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use anyhow::Context as _;
use bytes::Bytes;
use clap::Args;
use h2::{RecvStream, server::SendResponse};
use http::Response;
use rcgen::CertifiedKey;
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, sleep_until},
};
use tokio_rustls::{TlsAcceptor, rustls};

use super::{on_core, println};

/// Streams on one connection, as Apple allows.
const STREAMS_MAX: u32 = 1000;
/// Window for the bodies of a connection: never what is waited for.
const WINDOW_BYTES: u32 = 1 << 30;

/// The gateway itself.
#[derive(Args)]
pub(crate) struct PushGateway {
    /// How long an answer takes, in milliseconds
    #[arg(long)]
    latency_ms: u64,
    /// Where to write the root certificate
    #[arg(long)]
    ca_file: PathBuf,
}

impl PushGateway {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(self.serve())
    }

    async fn serve(self) -> anyhow::Result<()> {
        let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()])?;
        let key =
            rustls::pki_types::PrivateKeyDer::try_from(signing_key.serialize_der()).map_err(anyhow::Error::msg)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        std::fs::write(&self.ca_file, cert.pem())?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println(&format!("https://{}", listener.local_addr()?));
        let latency = Duration::from_millis(self.latency_ms);
        loop {
            let (tcp, _) = listener.accept().await?;
            tcp.set_nodelay(true)?;
            tokio::spawn(connection(acceptor.clone(), tcp, latency));
        }
    }
}

async fn connection(acceptor: TlsAcceptor, tcp: TcpStream, latency: Duration) -> anyhow::Result<()> {
    let tls = acceptor.accept(tcp).await?;
    let mut wire = h2::server::Builder::new()
        .max_concurrent_streams(STREAMS_MAX)
        .initial_connection_window_size(WINDOW_BYTES)
        .handshake::<_, Bytes>(tls)
        .await?;
    let mut waiting: VecDeque<(Instant, RecvStream, SendResponse<Bytes>)> = VecDeque::new();
    let mut timer = pin!(sleep_until(Instant::now()));
    poll_fn(|cx| {
        loop {
            match wire.poll_accept(cx) {
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(Some(Ok((request, respond)))) => {
                    waiting.push_back((Instant::now() + latency, request.into_body(), respond));
                    continue;
                }
                Poll::Pending => {}
            }
            let now = Instant::now();
            let mut answered = false;
            while waiting.front().is_some_and(|(due, ..)| *due <= now) {
                if let Some((_, body, mut respond)) = waiting.pop_front() {
                    respond.send_response(Response::new(()), true)?;
                    drop(body);
                    answered = true;
                }
            }
            if answered {
                // Polled again, so that the answers leave.
                continue;
            }
            let Some((due, ..)) = waiting.front() else {
                return Poll::Pending;
            };
            timer.as_mut().reset(*due);
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await?;
    Ok(())
}

/// A gateway's process; it ends with its value.
pub(super) struct Gateway {
    child: Child,
    pub(super) url: String,
    pub(super) ca_file: PathBuf,
}

impl Gateway {
    pub(super) fn start(folder: &Path, latency_ms: u64) -> anyhow::Result<Self> {
        let ca_file = folder.join(format!("ca-{latency_ms}.pem"));
        let arguments = [
            "push-gateway".to_owned(),
            "--latency-ms".to_owned(),
            latency_ms.to_string(),
            "--ca-file".to_owned(),
            ca_file.to_string_lossy().into_owned(),
        ];
        let mut child = on_core(1, &arguments)?.stdout(Stdio::piped()).spawn()?;
        let mut url = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut url)?;
        Ok(Self {
            child,
            url: url.trim().to_owned(),
            ca_file,
        })
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}
