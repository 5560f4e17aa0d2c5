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
mod proxy;
mod state;

pub(crate) use dial::Endpoint;

use std::{pin::pin, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use h2::{Reason, RecvStream};
use http::{HeaderMap, Method, Request, Uri, Version, header, uri::PathAndQuery};
use tokio::time::{Instant, sleep_until};

use crate::domain::time::{DurationMs, Timestamp};

use self::{
    dial::Dialer,
    state::{Shared, Slot},
};

/// Most of a provider's answer that is read, in bytes. Real ones are below 1 KiB.
pub(crate) const RESPONSE_BYTES_MAX: usize = 16 * 1024;

/// A provider's wish to wait longer is not heeded beyond this.
const RETRY_AFTER_MAX: DurationMs = DurationMs::from_secs(86_400);

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
            connections_max: 4,
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
    /// Not a proxy's address.
    #[error("the proxy is not of the form http://[user:password@]host:port")]
    Proxy,
    /// The client certificate is not usable. Never holds key material.
    #[error("the client certificate is not usable: {0}")]
    Certificate(&'static str),
    /// Credentials that don't go together.
    #[error("{0}")]
    Credential(String),
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
    /// `Retry-After`, as seconds or as a date (RFC 9110 section 10.2.3), at most a day. A date is compared with the
    /// peer's own, where it gives one.
    pub(crate) fn retry_after(&self, now: Timestamp) -> Option<DurationMs> {
        let text = self.headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
        let wait = match text.parse::<u32>() {
            Ok(seconds) => DurationMs::from_secs(i64::from(seconds)),
            Err(_) => http_date(text)?.since(self.peers_time().unwrap_or(now)),
        };
        Some(wait.clamp(DurationMs(0), RETRY_AFTER_MAX))
    }

    fn peers_time(&self) -> Option<Timestamp> {
        http_date(self.headers.get(header::DATE)?.to_str().ok()?)
    }
}

/// A date in HTTP's preferred form, `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 section 5.6.7).
fn http_date(text: &str) -> Option<Timestamp> {
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(Timestamp(date.as_millisecond()))
}

/// Connections to one host.
#[derive(Clone)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
}

impl Pool {
    /// Connects to nothing yet. `ca_pem` holds root certificates to trust besides the usual ones.
    pub(crate) fn new(endpoint: &Endpoint<'_>, options: PoolOptions) -> Result<Self, SetupError> {
        let dialer = Dialer::new(endpoint)?;
        Ok(Self {
            shared: Shared::new(dialer, options),
        })
    }

    /// Sends the request that `post` makes; each time that it has to be sent anew, it is made anew. Ends by `deadline`.
    pub(crate) async fn post(&self, post: impl Fn() -> Post, deadline: Instant) -> Result<Reply, SendError> {
        let mut refused_by = None;
        let mut attempts_left = ATTEMPTS_MAX;
        loop {
            let slot = self.shared.acquire(refused_by, deadline).await?;
            let connection_id = slot.connection().id;
            attempts_left -= 1;
            match exchange(slot, self.shared.dialer.base(), post(), deadline).await {
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

async fn exchange(slot: Slot, base: &Uri, post: Post, deadline: Instant) -> Result<Reply, Failure> {
    let Post { path, headers, body } = post;
    let request = request_head(base, path, headers).map_err(|error| Failure::ProvenNotProcessed(error.to_string()))?;
    let mut sender = slot.connection().sender.clone();
    let (response, mut stream) = sender
        .send_request(request, body.is_empty())
        .map_err(|error| Failure::ProvenNotProcessed(error.to_string()))?;
    drop(sender);
    if !body.is_empty() && stream.send_data(body, true).is_err() {
        // The stream has just been reset or refused; `response` below knows why.
        tracing::trace!("stream ended before its body");
    }
    // One timer for headers and body.
    let mut over = pin!(sleep_until(deadline));
    let response = tokio::select! {
        biased;
        response = response => response.map_err(|error| Failure::of_stream(&error))?,
        () = over.as_mut() => {
            slot.distrust();
            return Err(Failure::Ambiguous("no answer before the deadline".to_owned()));
        }
    };
    slot.answered();
    let (head, body) = response.into_parts();
    let (body, complete) = if body.is_end_stream() {
        (Bytes::new(), true)
    } else {
        let mut collected = BytesMut::new();
        let complete = tokio::select! {
            biased;
            complete = collect(body, &mut collected) => complete,
            () = over => false,
        };
        (collected.freeze(), complete)
    };
    Ok(Reply {
        status: head.status.as_u16(),
        headers: head.headers,
        body,
        complete,
    })
}

/// Says whether all of it came and fitted.
async fn collect(mut body: RecvStream, collected: &mut BytesMut) -> bool {
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
}

fn request_head(base: &Uri, path: PathAndQuery, headers: HeaderMap) -> Result<Request<()>, http::Error> {
    let mut parts = base.clone().into_parts();
    parts.path_and_query = Some(path);
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_parts(parts)?;
    *request.version_mut() = Version::HTTP_2;
    *request.headers_mut() = headers;
    Ok(request)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = Timestamp::parse("2026-11-22T08:30:00Z").unwrap();
        let wait = |text: &'static str, date: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(text));
            if let Some(date) = date {
                headers.insert(header::DATE, HeaderValue::from_static(date));
            }
            let reply = Reply {
                status: 503,
                headers,
                body: Bytes::new(),
                complete: true,
            };
            reply.retry_after(now).map(|wait| wait.0 / 1000)
        };
        assert_eq!(wait("17", None), Some(17));
        assert_eq!(wait("4000000000", None), Some(86_400));
        assert_eq!(wait("Sun, 22 Nov 2026 08:31:30 GMT", None), Some(90));
        let (later, behind) = ("Sun, 22 Nov 2026 08:31:30 GMT", "Sun, 22 Nov 2026 08:31:00 GMT");
        assert_eq!(wait(later, Some(behind)), Some(30), "by the peer's own clock");
        assert_eq!(wait("Sun, 22 Nov 2026 08:00:00 GMT", None), Some(0));
        assert_eq!(wait("-1", None), None);
        assert_eq!(wait("soon", None), None);
    }
}
