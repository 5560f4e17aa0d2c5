//! The composition root: builds the parts, binds the address, and takes everything down in order.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use actix_web::{App as ActixApp, HttpServer, dev::ServerHandle, web};
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    config::{Config, ConfigError},
    domain::{
        ids::WorkspaceId,
        time::{DurationMs, Timestamp},
    },
    engine::{
        Engine,
        dispatch::Dispatcher,
        ports::{Clock, Role, StoreError, WebhookSender},
    },
    http::{self, App, Lifecycle, auth::Authority, uploads::Uploads},
    metrics::Metrics,
    push::{Providers, SetupError},
    store::{self, OpenError},
    webhook::Caller,
};

/// The workspace of a fresh installation.
pub const DEFAULT_WORKSPACE: &str = "default";
/// Shortest admin key that somebody may choose.
const ADMIN_KEY_BYTES_MIN: usize = 16;
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 2048;

/// The system's clock.
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn now(&self) -> Timestamp {
        Timestamp(jiff::Timestamp::now().as_millisecond())
    }
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store, once open.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The providers' clients.
    #[error("push: {0}")]
    Push(#[from] SetupError),
    /// The calls of webhooks.
    #[error("webhooks: {0}")]
    Webhooks(String),
    /// The address.
    #[error("can't listen on {0}: {1}; choose another one with --listen")]
    Listen(SocketAddr, std::io::Error),
    /// The admin key.
    #[error("BECKON_ADMIN_KEY is shorter than {ADMIN_KEY_BYTES_MIN} bytes; choose a longer one")]
    WeakAdminKey,
}

/// Keys that the first start made. They are told this once.
#[derive(Debug, Clone)]
pub struct FirstKeys {
    /// May do everything.
    pub admin: String,
    /// May ship in apps.
    pub publishable: String,
}

/// A running server.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// Made at the first start.
    pub first_keys: Option<FirstKeys>,
    engine: Arc<Engine>,
    lifecycle: Arc<Lifecycle>,
    http: ServerHandle,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    drain_timeout: Duration,
}

impl Server {
    /// Opens the store, binds the address, loads the catalogue and starts sending. Probes are answered from the moment
    /// the address is bound. `admin_key` is adopted as an admin's key.
    pub async fn start(config: &Config, clock: Arc<dyn Clock>, admin_key: Option<&str>) -> Result<Self, StartError> {
        if admin_key.is_some_and(|key| key.len() < ADMIN_KEY_BYTES_MIN) {
            return Err(StartError::WeakAdminKey);
        }
        let (apns, fcm) = (config.push.apns_client()?, config.push.fcm_client()?);
        let missing = |ready: bool, what: &str| (!ready).then(|| format!("{what} is not set"));
        let provider_states = vec![
            ("apns", missing(apns.is_some(), "push.apns.key_file")),
            ("fcm", missing(fcm.is_some(), "push.fcm.service_account_file")),
        ];
        for (name, detail) in provider_states
            .iter()
            .filter_map(|(name, detail)| Some((name, detail.as_ref()?)))
        {
            tracing::warn!(
                provider = name,
                detail,
                "pushes of this provider will wait until they expire"
            );
        }

        let caller = Caller::new(&config.webhooks.caller()?).map_err(StartError::Webhooks)?;
        let webhooks: Arc<dyn WebhookSender> = Arc::new(caller);
        let store = store::open(&config.store.url).await?;
        let providers = Arc::new(Providers::new(apns.as_ref(), fcm.as_ref(), &clock, &store.tokens)?);
        // Before anything is read, so that what others change from now on is not missed.
        let changes = store.control.changes(None).await?;
        let engine = Arc::new(Engine::new(
            store.clone(),
            Arc::clone(&clock),
            config.presence_rules(),
            config.geofences.versions_kept,
            config.store.cached_records_max,
            config.stream_limits(),
            Arc::new(Metrics::default()),
        ));
        let authority = Authority::open(Arc::clone(&store.control)).await?;
        let first_keys = first_keys(&authority, admin_key, clock.now()).await?;

        let upload_dir = config
            .upload_dir()
            .unwrap_or_else(|| store::scratch_directory(&config.store.url));
        let lifecycle = Arc::new(Lifecycle::default());
        let app = web::Data::new(App {
            engine: Arc::clone(&engine),
            authority,
            limits: config.http_limits(),
            uploads: Uploads::new(upload_dir, config.geofences.uploads_max),
            lifecycle: Arc::clone(&lifecycle),
            webhooks: Arc::clone(&webhooks),
            providers: provider_states,
        });
        let (address, http) = listen(config, app.clone())?;

        engine.catalogues.load_all().await?;
        lifecycle.set_started();
        let (stop, stopping) = watch::channel(false);
        let dispatcher = Arc::new(Dispatcher::new(
            Arc::clone(&engine),
            providers,
            config.dispatch_limits(),
        ));
        let tasks = vec![
            tokio::spawn(dispatcher.run(stopping.clone())),
            tokio::spawn(Arc::clone(&engine).tell_events(stopping.clone())),
            tokio::spawn(Arc::clone(&engine).settle_offers(stopping.clone())),
            tokio::spawn(Arc::clone(&engine).feed_streams(stopping.clone())),
            tokio::spawn(Arc::clone(&engine).tell_webhooks(webhooks, config.webhooks.limits(), stopping.clone())),
            tokio::spawn(Arc::clone(&engine).follow_changes(
                changes.upto,
                async move || app.authority.reload().await,
                stopping.clone(),
            )),
            tokio::spawn(Arc::clone(&engine).wake_records(config.timer_limits(), stopping)),
        ];
        tracing::info!(%address, store = store::without_password(&config.store.url), geofences = engine.catalogues.geofences(), "ready");
        let drain_timeout = config.shutdown.drain_timeout.to_std();
        Ok(Self {
            address,
            first_keys,
            engine,
            lifecycle,
            http,
            stop,
            tasks,
            drain_timeout,
        })
    }

    /// The URL under which it is found on this machine.
    pub fn url(&self) -> String {
        let host = if self.address.ip().is_unspecified() {
            "127.0.0.1".to_owned()
        } else {
            self.address.ip().to_string()
        };
        format!("http://{host}:{}", self.address.port())
    }

    /// Takes no new work, lets what is under way end, and closes the store. What is queued stays for the next start.
    pub async fn stop(self) {
        tracing::info!("going down: finishing what is under way");
        self.lifecycle.set_stopping();
        // They would not end by themselves.
        self.engine.streams.close();
        self.http.stop(true).await;
        self.stop.send_replace(true);
        let deadline = tokio::time::Instant::now() + self.drain_timeout;
        for task in self.tasks {
            if tokio::time::timeout_at(deadline, task).await.is_err() {
                tracing::warn!("some pushes had not ended in time; they are in doubt at the next start");
            }
        }
        let waiting = self.engine.store.hot.outbox_depth().await.unwrap_or_default();
        self.engine.store.hot.close().await;
        tracing::info!(waiting, "down");
    }
}

fn listen(config: &Config, app: web::Data<App>) -> Result<(SocketAddr, ServerHandle), StartError> {
    let wanted = config.http.listen;
    let drain = DurationMs(config.shutdown.drain_timeout.0).to_std().as_secs().max(1);
    let mut server = HttpServer::new(move || ActixApp::new().app_data(app.clone()).configure(http::routes))
        .backlog(BACKLOG)
        .shutdown_timeout(drain)
        .disable_signals();
    if config.http.workers > 0 {
        server = server.workers(config.http.workers);
    }
    let server = server.bind(wanted).map_err(|error| StartError::Listen(wanted, error))?;
    let address = server.addrs().first().copied().unwrap_or(wanted);
    let server = server.run();
    let handle = server.handle();
    tokio::spawn(server);
    Ok((address, handle))
}

/// Adopts the admin key that was given; else makes the first keys where there is no admin's yet.
async fn first_keys(
    authority: &Authority,
    admin_key: Option<&str>,
    now: Timestamp,
) -> Result<Option<FirstKeys>, StartError> {
    let workspace = WorkspaceId::new(DEFAULT_WORKSPACE).map_err(|error| StoreError::Damaged(error.to_string()))?;
    if let Some(secret) = admin_key {
        authority
            .adopt(&workspace, Role::Admin, "BECKON_ADMIN_KEY", secret, now)
            .await?;
        return Ok(None);
    }
    if authority.keys().iter().any(|key| key.role == Role::Admin) {
        return Ok(None);
    }
    let (_, admin) = authority.create(&workspace, Role::Admin, "first admin", now).await?;
    let (_, publishable) = authority
        .create(&workspace, Role::Publishable, "first app", now)
        .await?;
    Ok(Some(FirstKeys { admin, publishable }))
}
