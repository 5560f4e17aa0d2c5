//! One HTTP/2 connection: its life from connect to end, and whether it may take a request.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use h2::{
    Ping, PingPong,
    client::{Builder, Connection as H2Connection, SendRequest},
};
use tokio::{
    net::TcpStream,
    sync::Notify,
    time::{Instant, sleep_until, timeout},
};
use tokio_rustls::client::TlsStream;

use super::{PoolOptions, state::Shared};

type Wire = H2Connection<TlsStream<TcpStream>, Bytes>;

pub(super) struct Connection {
    pub(super) id: u64,
    pub(super) sender: SendRequest<Bytes>,
    in_flight: AtomicUsize,
    /// What the peer allows now, and never more than we want; kept by the driver.
    streams_max: AtomicUsize,
    answered: AtomicBool,
    born: Instant,
    distrust_after_ms: u64,
    /// Last answer or pong, in milliseconds since `born`.
    alive_at_ms: AtomicU64,
    /// Must answer a ping before it gets a request.
    distrusted: AtomicBool,
    ping_wanted: Arc<Notify>,
}

impl Connection {
    fn new(id: u64, sender: SendRequest<Bytes>, limit: usize, options: &PoolOptions) -> Self {
        Self {
            id,
            sender,
            in_flight: AtomicUsize::new(0),
            streams_max: AtomicUsize::new(options.streams_max.min(limit)),
            answered: AtomicBool::new(false),
            born: Instant::now(),
            distrust_after_ms: options.distrust_after.as_millis() as u64,
            alive_at_ms: AtomicU64::new(0),
            distrusted: AtomicBool::new(false),
            ping_wanted: Arc::default(),
        }
    }

    fn age_ms(&self) -> u64 {
        self.born.elapsed().as_millis() as u64
    }

    /// Whether a further stream fits the peer's current limit, on a connection known to be alive. Asks for a ping where
    /// that is not known.
    pub(super) fn has_room(&self) -> bool {
        let in_flight = self.in_flight();
        if in_flight == 0 && self.silent_ms() > self.distrust_after_ms {
            self.distrust();
        }
        !self.distrusted.load(Ordering::Acquire) && in_flight < self.streams_max.load(Ordering::Acquire)
    }

    fn silent_ms(&self) -> u64 {
        self.age_ms().saturating_sub(self.alive_at_ms.load(Ordering::Relaxed))
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    pub(super) fn take(&self) {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn put_back(&self) {
        self.in_flight.fetch_sub(1, Ordering::AcqRel);
    }

    pub(super) fn ever_answered(&self) -> bool {
        self.answered.load(Ordering::Acquire)
    }

    /// Says whether this was the first answer.
    pub(super) fn answered(&self) -> bool {
        // Asked for only when nothing is in flight any more, and the clock is not for nothing.
        if self.in_flight() <= 1 {
            self.alive();
        }
        !self.answered.load(Ordering::Acquire) && !self.answered.swap(true, Ordering::AcqRel)
    }

    pub(super) fn distrust(&self) {
        if !self.distrusted.swap(true, Ordering::AcqRel) {
            self.ping_wanted.notify_one();
        }
    }

    fn alive(&self) {
        self.alive_at_ms.store(self.age_ms(), Ordering::Relaxed);
    }
}

/// Connects, reports to `shared`, then drives the connection until it ends.
pub(super) async fn open(shared: Arc<Shared>, id: u64) {
    let result = match timeout(shared.options.connect_timeout, handshake(&shared)).await {
        Ok(result) => result,
        Err(_) => Err("no connection within the connect timeout".to_owned()),
    };
    match result {
        Err(reason) => shared.open_failed(reason),
        Ok((sender, mut wire)) => {
            let Some(pings) = wire.ping_pong() else {
                return shared.open_failed("the connection can't ping".to_owned());
            };
            let limit = wire.max_concurrent_send_streams();
            let connection = Arc::new(Connection::new(id, sender, limit, &shared.options));
            let driver = Driver {
                shared: Arc::downgrade(&shared),
                connection: Arc::downgrade(&connection),
                ping_wanted: Arc::clone(&connection.ping_wanted),
                options: shared.options.clone(),
                limit_seen: limit,
            };
            shared.opened(connection);
            // From here on only the pool's users keep the pool alive.
            drop(shared);
            driver.run(wire, pings).await;
        }
    }
}

/// Up to the peer's first SETTINGS: until then nobody knows how many streams it takes.
async fn handshake(shared: &Shared) -> Result<(SendRequest<Bytes>, Wire), String> {
    let stream = shared.dialer.dial().await.map_err(|error| error.to_string())?;
    let (sender, mut wire) = Builder::new()
        .initial_max_send_streams(0)
        .enable_push(false)
        .handshake::<_, Bytes>(stream)
        .await
        .map_err(|error| error.to_string())?;
    poll_fn(|cx| {
        let ended = Pin::new(&mut wire).poll(cx);
        if wire.max_concurrent_send_streams() > 0 {
            return Poll::Ready(Ok(()));
        }
        match ended {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) => Poll::Ready(Err("closed by the peer".to_owned())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error.to_string())),
        }
    })
    .await?;
    Ok((sender, wire))
}

struct Driver {
    shared: Weak<Shared>,
    connection: Weak<Connection>,
    ping_wanted: Arc<Notify>,
    options: PoolOptions,
    limit_seen: usize,
}

impl Driver {
    async fn run(mut self, mut wire: Wire, mut pings: PingPong) {
        let ping_wanted = Arc::clone(&self.ping_wanted);
        let mut pong_due: Option<Instant> = None;
        let mut ping_at = Instant::now() + self.options.keep_alive_after;
        loop {
            let alarm = pong_due.unwrap_or(ping_at);
            tokio::select! {
                biased;
                () = poll_fn(|cx| self.poll_wire(&mut wire, cx)) => break,
                pong = poll_fn(|cx| pings.poll_pong(cx)), if pong_due.is_some() => {
                    pong_due = None;
                    ping_at = Instant::now() + self.options.keep_alive_after;
                    if pong.is_ok() {
                        self.trust();
                    }
                }
                () = ping_wanted.notified(), if pong_due.is_none() => {
                    pong_due = Some(self.ping(&mut pings));
                }
                () = sleep_until(alarm) => {
                    if pong_due.is_some() {
                        tracing::warn!("the push provider does not answer a ping, closing the connection");
                        break;
                    }
                    pong_due = Some(self.ping(&mut pings));
                }
            }
        }
        self.retire();
        // Dropping `wire` ends its streams with an error; their requests are ambiguous.
    }

    fn ping(&self, pings: &mut PingPong) -> Instant {
        if pings.send_ping(Ping::opaque()).is_err() {
            tracing::debug!("the connection takes no ping");
        }
        Instant::now() + self.options.ping_timeout
    }

    fn poll_wire(&mut self, wire: &mut Wire, cx: &mut Context<'_>) -> Poll<()> {
        let ended = Pin::new(&mut *wire).poll(cx);
        if ended.is_ready() {
            return Poll::Ready(());
        }
        let limit = wire.max_concurrent_send_streams();
        let grown = limit > self.limit_seen;
        let changed = limit != self.limit_seen;
        self.limit_seen = limit;
        if let Some(connection) = self.connection.upgrade() {
            if changed {
                let limit = self.options.streams_max.min(limit);
                connection.streams_max.store(limit, Ordering::Release);
            }
            // Not about room: fails once the peer has sent GOAWAY.
            let going_away = matches!(connection.sender.clone().poll_ready(cx), Poll::Ready(Err(_)));
            if going_away {
                self.retire();
            } else if grown && let Some(shared) = self.shared.upgrade() {
                shared.serve();
            }
        }
        Poll::Pending
    }

    fn trust(&self) {
        if let Some(connection) = self.connection.upgrade() {
            connection.alive();
            connection.distrusted.store(false, Ordering::Release);
            if let Some(shared) = self.shared.upgrade() {
                shared.serve();
            }
        }
    }

    /// Once retired the pool forgets the connection, so that it closes when its last stream ends.
    fn retire(&mut self) {
        if let Some(connection) = self.connection.upgrade()
            && let Some(shared) = self.shared.upgrade()
        {
            shared.retire(&connection);
        }
        self.connection = Weak::new();
    }
}
