//! The TLS listener's HTTP/2, on the `h2` crate: each stream is answered, or meets a fault.

use std::{
    future::poll_fn,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use h2::{
    Reason, RecvStream,
    server::{Builder, SendResponse},
};
use http::{HeaderValue, Request, Response, header, request::Parts};
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::domain::time::{DurationMs, Timestamp};

use super::{
    Desk,
    answers::{self, Reply, Seen},
    apns::ConnectionToken,
    faults::{FaultKind, FaultRule, LastStream, Met, ResetCode, World},
    fcm,
    log::Provider,
    server::{BODY_BYTES_MAX, DRAIN_TIMEOUT, HANDSHAKE_TIMEOUT},
    wire::{Control, Wire},
};

/// No client gets more streams, whatever a script says.
const STREAMS_MAX: u32 = 10_000;
/// Windows for bodies, which are small.
const CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;
/// GOAWAY for all streams that are under way.
const LAST_STREAM_ID: u32 = (1 << 31) - 1;

/// What is known of one connection.
struct Connection {
    desk: Arc<Desk>,
    control: Arc<Control>,
    token: Mutex<ConnectionToken>,
    has_certificate: bool,
    open: AtomicU32,
    /// Whether the full number of streams has been announced.
    trusted: AtomicBool,
}

/// A stream that is open.
struct Open(Arc<Connection>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Serves one connection until it ends, or `stop` changes.
pub(super) async fn serve<S>(
    stream: S,
    has_certificate: bool,
    desk: Arc<Desk>,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let control = Control::new(if desk.cautious { 1 } else { desk.streams_max });
    let connection = Arc::new(Connection {
        control: Arc::clone(&control),
        token: Mutex::default(),
        has_certificate,
        open: AtomicU32::new(0),
        trusted: AtomicBool::new(!desk.cautious),
        desk,
    });
    let handshake = Builder::new()
        .max_concurrent_streams(STREAMS_MAX)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .handshake(Wire::new(stream, control));
    let mut wire = timeout(HANDSHAKE_TIMEOUT, handshake).await?.map_err(io::Error::other)?;
    let mut streams = JoinSet::new();
    let mut drained = None;
    loop {
        tokio::select! {
            biased;
            _ = stop.changed(), if drained.is_none() => {
                wire.graceful_shutdown();
                drained = Some(Instant::now() + DRAIN_TIMEOUT);
            }
            accepted = wire.accept() => match accepted {
                None => return Ok(()),
                Some(accepted) => {
                    let (request, respond) = accepted.map_err(io::Error::other)?;
                    connection.take(&mut streams, request, respond);
                }
            },
            Some(_) = streams.join_next(), if !streams.is_empty() => {}
            () = sleep_until(drained.unwrap_or_else(Instant::now)), if drained.is_some() => return Ok(()),
        }
    }
}

impl Connection {
    fn take(
        self: &Arc<Self>,
        streams: &mut JoinSet<()>,
        request: Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
    ) {
        let before = self.open.fetch_add(1, Ordering::AcqRel);
        let open = Open(Arc::clone(self));
        if self.control.limit().is_some_and(|limit| before >= limit) {
            self.desk.log.stream_beyond_limit();
            respond.send_reset(Reason::REFUSED_STREAM);
            return;
        }
        streams.spawn(async move {
            open.0.answer(request, respond).await;
        });
    }

    async fn answer(&self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        let (head, body) = request.into_parts();
        let Some(body) = collect(body).await else {
            // The client has given it up.
            return;
        };
        if let Some(reply) = answers::service(&self.desk, &head, &body) {
            return send(&mut respond, reply);
        }
        let own = match head.uri.query().map(FaultRule::from_query).transpose() {
            Ok(own) => own,
            Err(why) => {
                let reply = answers::json(http::StatusCode::BAD_REQUEST, &json!({ "error": why }));
                return send(&mut respond, reply);
            }
        };
        let seen = answers::push(&self.desk, &self.token, self.has_certificate, &head, &body);
        let met = {
            let mut faults = self.desk.faults.lock().unwrap_or_else(PoisonError::into_inner);
            faults.meet(seen.provider, seen.asked.token.as_deref().unwrap_or_default(), own)
        };
        self.play(met, seen, &head, &mut respond).await;
    }

    /// Answers as deserved, or as the fault wants it.
    async fn play(&self, met: Met, mut seen: Seen, head: &Parts, respond: &mut SendResponse<Bytes>) {
        let stream = respond.stream_id().as_u32();
        if met.delay_ms > 0 {
            sleep(Duration::from_millis(met.delay_ms)).await;
        }
        let rule = met.fault.unwrap_or_default();
        if rule.fault == FaultKind::Goaway && rule.last == LastStream::Before {
            self.go_away(&rule, stream.saturating_sub(2));
        }
        if !self.control.enters(stream) {
            seen.record(&self.desk, Some("goaway"), false, false);
            return given_up(respond).await;
        }
        match rule.fault {
            FaultKind::Delay => self.finish(seen, None, respond),
            FaultKind::Answer => {
                seen.replace(&rule, self.desk.clock.now());
                self.finish(seen, Some("answer"), respond);
            }
            FaultKind::ExpiredToken => {
                seen.expire();
                self.finish(seen, Some("expiredToken"), respond);
            }
            FaultKind::World => {
                let is_other = rule.world != world(head);
                if is_other && seen.provider == Provider::Apns {
                    seen.refuse(400, "BadDeviceToken");
                }
                self.finish(seen, is_other.then_some("world"), respond);
            }
            FaultKind::Streams => {
                self.control
                    .announce(rule.max.unwrap_or(self.desk.streams_max).min(STREAMS_MAX));
                self.finish(seen, Some("streams"), respond);
            }
            FaultKind::Goaway => {
                let last = match rule.last {
                    LastStream::This | LastStream::Before => stream,
                    LastStream::All => LAST_STREAM_ID,
                };
                self.go_away(&rule, last);
                self.finish(seen, Some("goaway"), respond);
            }
            FaultKind::Reset => {
                seen.record(&self.desk, Some("reset"), false, rule.processed);
                respond.send_reset(match rule.code {
                    Some(ResetCode::RefusedStream) => Reason::REFUSED_STREAM,
                    Some(ResetCode::Cancel) => Reason::CANCEL,
                    Some(ResetCode::InternalError) | None => Reason::INTERNAL_ERROR,
                });
            }
            FaultKind::Stall => {
                seen.record(&self.desk, Some("stall"), false, rule.processed);
                given_up(respond).await;
            }
            FaultKind::Cut => {
                let reply = seen.record(&self.desk, Some("cut"), false, rule.processed);
                self.control.cut_after(rule.bytes);
                if rule.processed {
                    send(respond, reply);
                }
                given_up(respond).await;
            }
        }
    }

    fn go_away(&self, rule: &FaultRule, last_stream: u32) {
        self.control.go_away(last_stream);
        if rule.close {
            self.control.cut_after(0);
        }
    }

    fn finish(&self, seen: Seen, fault: Option<&str>, respond: &mut SendResponse<Bytes>) {
        let reply = seen.record(&self.desk, fault, true, true);
        let accepted = reply.status() == http::StatusCode::OK;
        send(respond, reply);
        if accepted && !self.trusted.swap(true, Ordering::AcqRel) {
            self.control.announce(self.desk.streams_max);
        }
    }
}

impl Seen {
    fn refuse(&mut self, status: u16, reason: &str) {
        let id = self.reply.headers().get("apns-id").cloned();
        self.reply = answers::json(answers::status(status), &json!({ "reason": reason }));
        if let Some(id) = id {
            self.reply.headers_mut().insert("apns-id", id);
        }
        self.reason = Some(reason.to_owned());
    }

    fn expire(&mut self) {
        match self.provider {
            Provider::Apns => self.refuse(403, "ExpiredProviderToken"),
            Provider::Fcm => {
                let refusal = fcm::Refusal::unauthenticated();
                self.reply = answers::json(answers::status(refusal.status), &refusal.body());
                self.reason = Some(refusal.reason().to_owned());
            }
        }
    }

    /// The answer that a rule asks for.
    pub(super) fn replace(&mut self, rule: &FaultRule, now: Timestamp) {
        let status = rule.status.unwrap_or(500);
        let reason = rule.reason.clone().unwrap_or_else(|| format!("status {status}"));
        match self.provider {
            Provider::Apns => {
                self.refuse(status, &reason);
                if let Some(since) = rule.since {
                    let since = now.plus(DurationMs::from_secs(since));
                    let body = json!({ "reason": reason, "timestamp": since.0 });
                    *self.reply.body_mut() = Bytes::from(body.to_string());
                }
            }
            Provider::Fcm => {
                let body = json!({ "error": { "code": status, "message": reason, "status": reason, "details": [{
                    "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": reason,
                }]}});
                self.reply = answers::json(answers::status(status), &body);
                self.reason = Some(reason);
            }
        }
        if let Some(seconds) = rule.retry_after {
            let value = if rule.as_date {
                http_date(now.plus(DurationMs::from_secs(i64::from(seconds))))
            } else {
                HeaderValue::from(seconds)
            };
            self.reply.headers_mut().insert(header::RETRY_AFTER, value);
        }
    }
}

/// HTTP's preferred form of a date (RFC 9110 section 5.6.7).
fn http_date(at: Timestamp) -> HeaderValue {
    let printed = jiff::Timestamp::from_millisecond(at.0).ok().and_then(|at| {
        jiff::fmt::rfc2822::DateTimePrinter::new()
            .timestamp_to_rfc9110_string(&at)
            .ok()
    });
    printed
        .and_then(|text| HeaderValue::try_from(text).ok())
        .unwrap_or_else(|| HeaderValue::from_static("0"))
}

/// `localhost` stands for Apple's host for development builds.
fn world(head: &Parts) -> World {
    match head.uri.host() {
        Some("localhost") => World::Development,
        _ => World::Production,
    }
}

/// The body, at most [`BODY_BYTES_MAX`] of it; what is longer than any limit stays longer than any limit.
async fn collect(mut body: RecvStream) -> Option<Bytes> {
    let mut whole = BytesMut::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.ok()?;
        body.flow_control().release_capacity(chunk.len()).ok()?;
        let room = BODY_BYTES_MAX - whole.len();
        whole.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
    }
    Some(whole.freeze())
}

/// Waits until the client gives the stream up, so that it no longer counts as open, or its connection ends.
async fn given_up(respond: &mut SendResponse<Bytes>) {
    drop(poll_fn(|cx| respond.poll_reset(cx)).await);
}

fn send(respond: &mut SendResponse<Bytes>, reply: Reply) {
    let (head, body) = reply.into_parts();
    let sent = respond.send_response(Response::from_parts(head, ()), body.is_empty());
    let sent = sent.and_then(|mut stream| {
        if body.is_empty() {
            Ok(())
        } else {
            stream.send_data(body, true)
        }
    });
    if let Err(error) = sent {
        tracing::debug!(%error, "the client did not wait for its answer");
    }
}
