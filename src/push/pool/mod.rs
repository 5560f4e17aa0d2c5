//! One HTTP/2 client pool for both providers, on the `h2` crate over rustls.
//!
//! What a push client must know after a request is whether it can have arrived, because the answer decides between
//! "send it again" and "a second one may disturb the customer twice". The pool keeps that apart:
//!
//! - Nothing was handed to a connection, or the peer *proved* that it did not process the stream (GOAWAY with a
//!   last-stream-id below ours, RFC 9113 section 6.8; `REFUSED_STREAM`, section 8.7): [`SendError::NotSent`]. After
//!   proof by the peer the pool tries again at once, on another connection where there is one, a few times at most.
//! - Anything else that breaks once the request was handed over: [`SendError::Ambiguous`].
//!
//! A connection takes a request only while fewer streams are open on it than the peer allows at this moment, so a
//! request that waits for its turn has provably not been sent. Waiting requests are served first come, first served.
//! Every wait ends by the caller's deadline.

mod connection;
mod dial;
mod state;

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use h2::Reason;
use http::{HeaderMap, Method, Request, Uri, Version, header, uri::PathAndQuery};
use tokio::time::{Instant, timeout_at};

use crate::domain::time::DurationMs;

use self::{
    dial::Dialer,
    state::{Shared, Slot},
};

/// Most of a provider's answer that is read, in bytes. Real ones are below 1 KiB.
pub(crate) const RESPONSE_BYTES_MAX: usize = 16 * 1024;

/// Most times that one request is sent, each but the first after proof that the one before was not processed. More than
/// two, because connections opened together reach a peer's limit of requests together.
const ATTEMPTS_MAX: u32 = 4;

/// How the connections to a provider behave.
#[derive(Debug, Clone)]
pub struct PoolOptions {
    /// Most connections to one host.
    pub connections_max: usize,
    /// Most streams on one connection, whatever the peer allows.
    pub streams_max: usize,
    /// Most requests that wait for a stream; further ones fail at once.
    pub waiting_max: usize,
    /// Time for name lookup, TCP, TLS and the peer's first SETTINGS.
    pub connect_timeout: Duration,
    /// A connection without any request for so long is pinged, to keep it open.
    pub keep_alive_after: Duration,
    /// A connection unused for so long must answer a ping before it gets a request: a silently dead one would make
    /// that request's fate unknown.
    pub distrust_after: Duration,
    /// A ping unanswered for so long ends the connection.
    pub ping_timeout: Duration,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            connections_max: 2,
            streams_max: 4096,
            waiting_max: 50_000,
            connect_timeout: Duration::from_secs(5),
            keep_alive_after: Duration::from_hours(1),
            distrust_after: Duration::from_mins(1),
            ping_timeout: Duration::from_secs(5),
        }
    }
}

/// Why a client can't be built from its settings.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Not `https://host[:port]`.
    #[error("`{0}` is not a base URL of the form https://host[:port]")]
    BaseUrl(String),
    /// The extra root certificates are not PEM certificates.
    #[error("the CA file is not usable: {0}")]
    Ca(String),
    /// TLS can't be set up.
    #[error("TLS can't be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The provider's key or account file is not usable. Never holds key material.
    #[error("{0}")]
    Key(String),
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SendError {
    /// Proven: the peer has not processed the request.
    NotSent {
        reason: String,
        retry_after: Option<DurationMs>,
    },
    /// The request may have arrived.
    Ambiguous { reason: String },
}

impl SendError {
    fn not_sent(reason: impl Into<String>) -> Self {
        Self::NotSent {
            reason: reason.into(),
            retry_after: None,
        }
    }
}

/// A POST to the pool's host.
#[derive(Debug, Clone)]
pub(crate) struct Post {
    /// Path, from `/`.
    pub(crate) path: PathAndQuery,
    /// Without the pseudo headers; the caller marks what HPACK must not index.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) body: Bytes,
}

/// The peer's answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// At most [`RESPONSE_BYTES_MAX`].
    pub(crate) body: Bytes,
    /// Whether `body` is all of it.
    pub(crate) complete: bool,
}

impl Reply {
    /// `Retry-After` in its form of seconds (RFC 9110 section 10.2.3), at most a day.
    pub(crate) fn retry_after(&self) -> Option<DurationMs> {
        let text = self.headers.get(header::RETRY_AFTER)?.to_str().ok()?;
        let seconds: u32 = text.trim().parse().ok()?;
        Some(DurationMs::from_secs(i64::from(seconds.min(86_400))))
    }
}

/// Connections to one host.
#[derive(Clone)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
}

impl Pool {
    /// Connects to nothing yet. `ca_pem` holds root certificates to trust besides the usual ones.
    pub(crate) fn new(base_url: &str, ca_pem: Option<&str>, options: PoolOptions) -> Result<Self, SetupError> {
        let dialer = Dialer::new(base_url, ca_pem)?;
        Ok(Self {
            shared: Shared::new(dialer, options),
        })
    }

    /// Sends one request. Ends by `deadline`.
    pub(crate) async fn post(&self, post: &Post, deadline: Instant) -> Result<Reply, SendError> {
        let mut refused_by = None;
        let mut attempts_left = ATTEMPTS_MAX;
        loop {
            let slot = self.shared.acquire(refused_by, deadline).await?;
            let connection_id = slot.connection().id;
            attempts_left -= 1;
            match exchange(slot, self.shared.dialer.base(), post, deadline).await {
                Ok(reply) => return Ok(reply),
                Err(Failure::Ambiguous(reason)) => return Err(SendError::Ambiguous { reason }),
                Err(Failure::ProvenNotProcessed(reason)) if attempts_left == 0 => {
                    return Err(SendError::not_sent(reason));
                }
                Err(Failure::ProvenNotProcessed(reason)) => {
                    tracing::debug!(%reason, "push not processed by the peer, sending it again");
                    refused_by = Some(connection_id);
                }
            }
        }
    }
}

/// How one exchange failed.
enum Failure {
    ProvenNotProcessed(String),
    Ambiguous(String),
}

impl Failure {
    fn of_stream(error: &h2::Error) -> Self {
        let refused = error.is_reset() && error.is_remote() && error.reason() == Some(Reason::REFUSED_STREAM);
        // h2 gives a stream this error only when its id is above the last-stream-id of the peer's GOAWAY.
        let beyond_goaway = error.is_go_away() && error.is_remote();
        if refused {
            Self::ProvenNotProcessed("the peer refused the stream".to_owned())
        } else if beyond_goaway {
            Self::ProvenNotProcessed(format!("GOAWAY before the request was processed: {error}"))
        } else {
            Self::Ambiguous(error.to_string())
        }
    }
}

async fn exchange(slot: Slot, base: &Uri, post: &Post, deadline: Instant) -> Result<Reply, Failure> {
    let request = request_head(base, post).map_err(|error| Failure::ProvenNotProcessed(error.to_string()))?;
    let mut sender = slot.connection().sender.clone();
    let (response, mut stream) = sender
        .send_request(request, post.body.is_empty())
        .map_err(|error| Failure::ProvenNotProcessed(error.to_string()))?;
    drop(sender);
    if !post.body.is_empty() && stream.send_data(post.body.clone(), true).is_err() {
        // The stream has just been reset or refused; `response` below knows why.
        tracing::trace!("stream ended before its body");
    }
    let response = match timeout_at(deadline, response).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => return Err(Failure::of_stream(&error)),
        Err(_) => {
            slot.distrust();
            return Err(Failure::Ambiguous("no answer before the deadline".to_owned()));
        }
    };
    slot.answered();
    let (head, mut body) = response.into_parts();
    let mut collected = BytesMut::new();
    let complete = timeout_at(deadline, async {
        while let Some(chunk) = body.data().await {
            let Ok(chunk) = chunk else { return false };
            if body.flow_control().release_capacity(chunk.len()).is_err() {
                return false;
            }
            let room = RESPONSE_BYTES_MAX - collected.len();
            collected.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
            if chunk.len() > room {
                return false;
            }
        }
        true
    })
    .await
    .unwrap_or(false);
    Ok(Reply {
        status: head.status.as_u16(),
        headers: head.headers,
        body: collected.freeze(),
        complete,
    })
}

fn request_head(base: &Uri, post: &Post) -> Result<Request<()>, http::Error> {
    let mut parts = base.clone().into_parts();
    parts.path_and_query = Some(post.path.clone());
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_parts(parts)?;
    *request.version_mut() = Version::HTTP_2;
    *request.headers_mut() = post.headers.clone();
    Ok(request)
}
