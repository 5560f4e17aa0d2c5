//! Which connections there are, which of them has room, and who waits.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};
use uuid::Uuid;

use crate::domain::time::DurationMs;

use super::{
    PoolOptions, SendError,
    connection::{Connection, open},
    dial::Dialer,
};

/// First pause after a failed connect.
const BACKOFF_FIRST: Duration = Duration::from_millis(250);
/// Longest pause after failed connects.
const BACKOFF_MAX: Duration = Duration::from_secs(30);

pub(super) struct Shared {
    pub(super) dialer: Dialer,
    pub(super) options: PoolOptions,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connections: Vec<Arc<Connection>>,
    waiting: VecDeque<Waiter>,
    /// A connect is under way; one at a time.
    connecting: bool,
    next_id: u64,
    /// Connects in a row that brought no answered request.
    failures: u32,
    /// No connect before this.
    pause_until: Option<Instant>,
    /// What the last failed connect failed of.
    last_failure: String,
}

struct Waiter {
    grant: oneshot::Sender<Result<Slot, SendError>>,
    /// A connection that has refused this request.
    avoid: Option<u64>,
}

impl State {
    /// The least used connection with room; the one to avoid only when there is no other and will be none.
    fn with_room(&self, avoid: Option<u64>, options: &PoolOptions) -> Option<&Arc<Connection>> {
        let alone = avoid.is_some()
            && self.connections.len() == 1
            && !self.connecting
            && !self.may_connect(options, Instant::now());
        self.connections
            .iter()
            .filter(|connection| (alone || Some(connection.id) != avoid) && connection.has_room())
            .min_by_key(|connection| connection.in_flight())
    }

    fn not_connected(&self, now: Instant) -> SendError {
        let wait = self.pause_until.map_or(Duration::ZERO, |until| until - now);
        SendError::NotSent {
            reason: format!("no connection: {}", self.last_failure),
            retry_after: Some(DurationMs(wait.as_millis() as i64)),
        }
    }

    fn may_connect(&self, options: &PoolOptions, now: Instant) -> bool {
        !self.connecting
            && self.connections.len() < options.connections_max.max(1)
            && self.pause_until.is_none_or(|until| until <= now)
    }
}

impl Shared {
    pub(super) fn new(dialer: Dialer, options: PoolOptions) -> Arc<Self> {
        Arc::new(Self {
            dialer,
            options,
            state: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the right to open one stream.
    pub(super) async fn acquire(self: &Arc<Self>, avoid: Option<u64>, deadline: Instant) -> Result<Slot, SendError> {
        let now = Instant::now();
        if deadline <= now {
            return Err(SendError::not_sent("the deadline is over"));
        }
        let granted = {
            let mut state = self.lock();
            if state.waiting.is_empty()
                && let Some(connection) = state.with_room(avoid, &self.options)
            {
                return Ok(Slot::take(self, connection));
            }
            if state.connections.is_empty() && !state.connecting && !state.may_connect(&self.options, now) {
                return Err(state.not_connected(now));
            }
            if state.waiting.len() >= self.options.waiting_max {
                state.waiting.retain(|waiter| !waiter.grant.is_closed());
                if state.waiting.len() >= self.options.waiting_max {
                    return Err(SendError::not_sent("too many requests wait for a stream"));
                }
            }
            let (grant, granted) = oneshot::channel();
            state.waiting.push_back(Waiter { grant, avoid });
            granted
        };
        self.serve();
        match timeout_at(deadline, granted).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(SendError::not_sent("the pool is closed")),
            Err(_) => Err(SendError::not_sent("no stream became free before the deadline")),
        }
    }

    /// Hands free streams to those who wait, and connects when there are too few.
    pub(super) fn serve(self: &Arc<Self>) {
        loop {
            let (waiter, slot) = {
                let mut state = self.lock();
                while state.waiting.front().is_some_and(|waiter| waiter.grant.is_closed()) {
                    state.waiting.pop_front();
                }
                let Some(waiter) = state.waiting.pop_front() else {
                    return;
                };
                let Some(connection) = state.with_room(waiter.avoid, &self.options) else {
                    state.waiting.push_front(waiter);
                    self.grow(&mut state);
                    return;
                };
                let slot = Slot::take(self, connection);
                (waiter, slot)
            };
            if let Err(Ok(unused)) = waiter.grant.send(Ok(slot)) {
                // Given up in this very moment; this loop serves the next one.
                unused.put_back();
            }
        }
    }

    fn grow(self: &Arc<Self>, state: &mut State) {
        if !state.may_connect(&self.options, Instant::now()) {
            return;
        }
        state.connecting = true;
        state.next_id += 1;
        tokio::spawn(open(Arc::clone(self), state.next_id));
    }

    /// A connect succeeded.
    pub(super) fn opened(self: &Arc<Self>, connection: Arc<Connection>) {
        {
            let mut state = self.lock();
            state.connecting = false;
            state.connections.push(connection);
        }
        self.serve();
    }

    /// A connect failed: those who wait hear it at once, unless another connection can serve them.
    pub(super) fn open_failed(self: &Arc<Self>, reason: String) {
        let now = Instant::now();
        let (waiting, error) = {
            let mut state = self.lock();
            state.connecting = false;
            state.failures = state.failures.saturating_add(1);
            state.pause_until = Some(now + backoff(state.failures));
            tracing::warn!(host = %self.dialer.base(), failures = state.failures, %reason, "can't connect to the push provider");
            state.last_failure = reason;
            let waiting = if state.connections.is_empty() {
                std::mem::take(&mut state.waiting)
            } else {
                VecDeque::new()
            };
            (waiting, state.not_connected(now))
        };
        fail_all(waiting, &error);
        self.serve();
    }

    /// No new streams on this connection any more: it ended, or the peer said GOAWAY.
    pub(super) fn retire(self: &Arc<Self>, connection: &Connection) {
        {
            let mut state = self.lock();
            let before = state.connections.len();
            state.connections.retain(|other| other.id != connection.id);
            if state.connections.len() == before {
                return;
            }
            if !connection.ever_answered() {
                // One such connection may be chance; a peer that closes each one must not be dialled without a pause.
                state.failures = state.failures.saturating_add(1);
                if state.failures > 1 {
                    state.pause_until = Some(Instant::now() + backoff(state.failures));
                    "the peer closes connections without answering".clone_into(&mut state.last_failure);
                }
            }
            if state.connections.is_empty() && connection.in_flight() > 0 {
                // It was in use: the next push finds a connection while this one still drains.
                self.grow(&mut state);
            }
        }
        self.serve();
        self.fail_waiting_if_cut_off();
    }

    /// Without a connection and without the right to make one, nobody would wake those who wait.
    fn fail_waiting_if_cut_off(self: &Arc<Self>) {
        let now = Instant::now();
        let (waiting, error) = {
            let mut state = self.lock();
            if !state.connections.is_empty() || state.connecting || state.may_connect(&self.options, now) {
                return;
            }
            (std::mem::take(&mut state.waiting), state.not_connected(now))
        };
        fail_all(waiting, &error);
    }

    fn proven(&self) {
        let mut state = self.lock();
        state.failures = 0;
        state.pause_until = None;
    }
}

fn fail_all(waiting: VecDeque<Waiter>, error: &SendError) {
    for waiter in waiting {
        if waiter.grant.send(Err(error.clone())).is_err() {
            tracing::trace!("a request gave up before its connection failed");
        }
    }
}

/// Doubles from [`BACKOFF_FIRST`] to [`BACKOFF_MAX`]; between half and all of it, by chance.
fn backoff(failures: u32) -> Duration {
    let full = BACKOFF_FIRST
        .saturating_mul(1 << failures.saturating_sub(1).min(10))
        .min(BACKOFF_MAX);
    let chance = f64::from(Uuid::new_v4().as_fields().0) / f64::from(u32::MAX);
    full.mul_f64(0.5 + chance / 2.0)
}

/// The right to have one stream on one connection.
pub(super) struct Slot {
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    held: bool,
}

impl Slot {
    /// Only under the lock that found room.
    fn take(shared: &Arc<Shared>, connection: &Arc<Connection>) -> Self {
        connection.take();
        Self {
            shared: Arc::clone(shared),
            connection: Arc::clone(connection),
            held: true,
        }
    }

    fn put_back(mut self) {
        self.connection.put_back();
        self.held = false;
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The peer has answered: the connection, and the way to the provider, work.
    pub(super) fn answered(&self) {
        if self.connection.answered() {
            self.shared.proven();
        }
    }

    /// The peer has not answered in time: no further request until it answers a ping.
    pub(super) fn distrust(&self) {
        self.connection.distrust();
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.held {
            self.connection.put_back();
            self.shared.serve();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_grows_to_its_limit_and_is_never_nothing() {
        for (failures, full) in [(1, 250), (2, 500), (4, 2000), (8, 30_000), (100, 30_000)] {
            let pause = backoff(failures).as_millis();
            assert!((full / 2..=full).contains(&pause), "{failures}: {pause}");
        }
    }
}
