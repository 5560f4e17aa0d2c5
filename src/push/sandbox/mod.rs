//! A strict stand-in for APNs and FCM on the own machine: `beckon sandbox`, the demo and the tests send to it.
//!
//! It checks what the providers check, answers as they do, and keeps a log of everything that arrived. What a phone
//! would show can be read from the log: `replaces` tells which earlier push a later one takes off the screen. On demand
//! things go wrong (`faults`): by a script, by a rule that is added while it runs, or by a query on the push itself.
//!
//! | listener | what |
//! |---|---|
//! | TLS | APNs `POST /3/device/{token}` over HTTP/2 only, as Apple; FCM `POST /v1/projects/{project}/messages:send` |
//! | both | `POST /token` (OAuth for the service account), `GET` and `DELETE /log`, `/faults`, `GET /livez` |
//!
//! As Apple has two hosts, the TLS listener has two names: `localhost` is the one for development builds.
//!
//! In its folder it keeps what a Beckon needs to send to it: a root certificate, an APNs key, an APNs certificate, a
//! service account, and a configuration that names them.

mod answers;
mod apns;
mod door;
mod faults;
mod fcm;
mod identity;
mod jwt;
mod log;
mod oauth;
mod server;
mod wire;

use std::{
    collections::{BTreeSet, HashMap},
    io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{ServerConfig, server::WebPkiClientVerifier};
use tokio::{
    net::TcpListener,
    sync::{broadcast, watch},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use crate::{domain::time::Timestamp, engine::ports::Clock};

use self::{faults::Faults, identity::Identity};

pub use self::{
    faults::{FaultKind, FaultRule, FaultScript, LastStream, ResetCode, World},
    identity::SandboxFiles,
    log::{Arrival, Asked, LogPage, Provider},
};

/// How the sandbox behaves.
#[derive(Clone)]
pub struct SandboxOptions {
    /// Where its keys and certificates are kept; made when missing.
    pub dir: PathBuf,
    /// Where providers' clients connect to; port 0 takes a free one.
    pub tls_listen: SocketAddr,
    /// Where access tokens and the log are; port 0 takes a free one.
    pub http_listen: SocketAddr,
    /// Judges the age of tokens and dates the log.
    pub clock: Arc<dyn Clock>,
    /// Requests that the log keeps; the oldest go.
    pub log_entries_max: usize,
    /// Streams on one connection that are open at the same time.
    pub streams_max: u32,
    /// Whether a connection may have one stream only until its first push was accepted, as Apple does it.
    pub cautious: bool,
    /// What goes wrong from the start on.
    pub faults: FaultScript,
    /// Bundle ids that the APNs key may send to; none: all.
    pub topics: Option<BTreeSet<String>>,
    /// Device tokens that lead nowhere any more, and since when.
    pub unregistered: HashMap<String, Timestamp>,
}

impl SandboxOptions {
    /// Free ports on this machine only.
    pub fn new(dir: impl Into<PathBuf>, clock: Arc<dyn Clock>) -> Self {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            dir: dir.into(),
            tls_listen: free,
            http_listen: free,
            clock,
            log_entries_max: 100_000,
            streams_max: 1000,
            cautious: false,
            faults: FaultScript::default(),
            topics: None,
            unregistered: HashMap::new(),
        }
    }
}

/// Why the sandbox can't start.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// A file or folder.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// A key or certificate.
    #[error("{0}")]
    Crypto(String),
    /// An address can't be listened on.
    #[error("can't listen on {address}: {source}")]
    Listen {
        /// Which one.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

impl SandboxError {
    fn file(path: &Path, source: io::Error) -> Self {
        Self::File {
            path: path.to_owned(),
            source,
        }
    }
}

/// What both listeners work with.
struct Desk {
    clock: Arc<dyn Clock>,
    rules: apns::Rules,
    account: oauth::Account,
    access_tokens: Mutex<oauth::AccessTokens>,
    log: log::Log,
    streams_max: u32,
    cautious: bool,
    faults: Mutex<Faults>,
}

/// A running sandbox. Dropping it stops it as well, without waiting.
pub struct Sandbox {
    desk: Arc<Desk>,
    files: SandboxFiles,
    key_id: String,
    tls_address: SocketAddr,
    http_address: SocketAddr,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Sandbox {
    /// Makes or reads its identities, binds, writes its configuration file, and serves.
    pub async fn start(options: SandboxOptions) -> Result<Self, SandboxError> {
        let dir = options.dir.clone();
        // An RSA key takes its time.
        let identity = tokio::task::spawn_blocking(move || Identity::open(&dir))
            .await
            .map_err(|error| SandboxError::Crypto(error.to_string()))??;
        let acceptor = acceptor(&identity).map_err(|error| SandboxError::Crypto(error.to_string()))?;
        let (tls, tls_address) = bind(options.tls_listen).await?;
        let (http, http_address) = bind(options.http_listen).await?;
        let token_uri = format!("http://{http_address}/token");
        identity.publish(tls_address, &token_uri)?;
        let desk = Arc::new(Desk {
            clock: options.clock,
            rules: apns::Rules {
                key: identity.apns_key,
                key_id: identity.key_id.clone(),
                team_id: identity::TEAM_ID.to_owned(),
                topics: options.topics,
                unregistered: options.unregistered,
            },
            account: oauth::Account {
                key: identity.account_key,
                client_email: identity.client_email.to_owned(),
                token_uris: [token_uri, format!("https://{tls_address}/token")],
            },
            access_tokens: Mutex::default(),
            log: log::Log::new(options.log_entries_max),
            streams_max: options.streams_max,
            cautious: options.cautious,
            faults: Mutex::new(Faults::new(options.faults)),
        });
        let (stop, stopping) = watch::channel(false);
        let tasks = vec![
            tokio::spawn(server::serve(tls, Some(acceptor), Arc::clone(&desk), stopping.clone())),
            tokio::spawn(server::serve(http, None, Arc::clone(&desk), stopping)),
        ];
        Ok(Self {
            desk,
            files: identity.files,
            key_id: identity.key_id,
            tls_address,
            http_address,
            stop,
            tasks,
        })
    }

    /// Base URL of both providers.
    pub fn apns_url(&self) -> String {
        format!("https://{}", self.tls_address)
    }

    /// Base URL of Apple's host for development builds.
    pub fn development_url(&self) -> String {
        identity::development_url(self.tls_address)
    }

    /// Plays another script from now on.
    pub fn play(&self, script: FaultScript) {
        *self.desk.faults.lock().unwrap_or_else(PoisonError::into_inner) = Faults::new(script);
    }

    /// Base URL of the plain listener.
    pub fn http_url(&self) -> String {
        format!("http://{}", self.http_address)
    }

    /// Root certificate of the TLS listener.
    pub fn ca_pem_path(&self) -> &Path {
        &self.files.ca_pem
    }

    /// All files for those who send here.
    pub fn files(&self) -> &SandboxFiles {
        &self.files
    }

    /// Of the APNs key.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Of the APNs key's owner.
    pub fn team_id(&self) -> &'static str {
        identity::TEAM_ID
    }

    /// Every request from now on. A slow reader loses the oldest of 4096.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Arrival>> {
        self.desk.log.subscribe()
    }

    /// Every request that the log still has, oldest first.
    pub fn arrivals(&self) -> Vec<Arc<Arrival>> {
        self.desk.log.all()
    }

    /// Requests after number `after`, at most `limit`, and the counters.
    pub fn log_page(&self, after: u64, limit: usize) -> LogPage {
        self.desk.log.page(after, limit)
    }

    /// Makes every access token invalid, as Google does when a key is revoked.
    pub fn revoke_access_tokens(&self) {
        self.desk
            .access_tokens
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .revoke_all();
    }

    /// Says GOAWAY on open connections, gives open requests a second, and ends.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a sandbox listener failed");
            }
        }
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), SandboxError> {
    let refuse = |source| SandboxError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(refuse)?;
    let bound = listener.local_addr().map_err(refuse)?;
    Ok((listener, identity::reachable(bound)))
}

fn acceptor(identity: &Identity) -> Result<TlsAcceptor, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut clients = rustls::RootCertStore::empty();
    clients.add(identity.client_root.clone())?;
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(clients), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(clients)
        .with_single_cert(identity.chain.clone(), identity.server_key.clone_key())?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
