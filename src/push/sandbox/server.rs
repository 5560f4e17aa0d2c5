//! The sandbox's two listeners. What is asked and what is answered are decided in the pure modules beside this one.

use std::{
    convert::Infallible,
    future::Future,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use uuid::Uuid;

use crate::engine::ports::Clock;

use super::{
    apns::{self, ConnectionToken},
    fcm, identity,
    log::{Log, Provider},
    oauth,
};

/// Most of a request's body that is read, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Most connections of one listener.
const CONNECTIONS_MAX: usize = 1024;
/// Time for the TLS handshake, and for an HTTP/1.1 request's head.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for open requests when the sandbox stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
const LOG_LIMIT_DEFAULT: usize = 100;
const LOG_LIMIT_MAX: usize = 10_000;

pub(super) struct Desk {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) rules: apns::Rules,
    pub(super) account: oauth::Account,
    pub(super) access_tokens: Mutex<oauth::AccessTokens>,
    pub(super) log: Log,
    pub(super) streams_max: u32,
}

/// Which of the two listeners a request came in by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Door {
    Tls,
    Plain,
}

type Reply = Response<Full<Bytes>>;

/// Serves until `stop` changes or its sender is gone.
pub(super) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    desk: Arc<Desk>,
    mut stop: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stop.changed() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => {
                let Ok((tcp, _)) = accepted else {
                    // Out of file descriptors, most likely; not to spin until there are some.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                };
                connections.spawn(connection(tcp, tls.clone(), Arc::clone(&desk), stop.clone()));
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn connection(tcp: TcpStream, tls: Option<TlsAcceptor>, desk: Arc<Desk>, stop: watch::Receiver<bool>) {
    if let Err(error) = greet(tcp, tls, desk, stop).await {
        tracing::debug!(%error, "sandbox connection ended");
    }
}

async fn greet(
    tcp: TcpStream,
    tls: Option<TlsAcceptor>,
    desk: Arc<Desk>,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let Some(tls) = tls else {
        return talk(tcp, Door::Plain, desk, stop).await;
    };
    let stream = tokio::select! {
        _ = stop.changed() => return Ok(()),
        stream = timeout(HANDSHAKE_TIMEOUT, tls.accept(tcp)) => stream??,
    };
    talk(stream, Door::Tls, desk, stop).await
}

async fn talk<S>(stream: S, door: Door, desk: Arc<Desk>, mut stop: watch::Receiver<bool>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HANDSHAKE_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(desk.streams_max);
    let token = Arc::new(Mutex::new(ConnectionToken::default()));
    let service = service_fn(|request| {
        let (desk, token) = (Arc::clone(&desk), Arc::clone(&token));
        async move { Ok::<_, Infallible>(answer(&desk, door, &token, request).await) }
    });
    let serving = builder.serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        _ = stop.changed() => {
            serving.as_mut().graceful_shutdown();
            drain(serving).await
        }
    };
    ended.map_err(io::Error::other)
}

async fn drain<E>(serving: impl Future<Output = Result<(), E>>) -> Result<(), E> {
    timeout(DRAIN_TIMEOUT, serving).await.unwrap_or(Ok(()))
}

async fn answer(desk: &Desk, door: Door, token: &Mutex<ConnectionToken>, request: Request<Incoming>) -> Reply {
    let (head, body) = request.into_parts();
    // A body that is longer than any limit stays longer than any limit.
    let body = match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => Bytes::from(vec![b' '; BODY_BYTES_MAX]),
    };
    match (head.uri.path(), &head.method, door) {
        ("/log", &Method::GET, _) => log_page(desk, head.uri.query().unwrap_or_default()),
        ("/log", &Method::DELETE, _) => {
            desk.log.clear();
            json(StatusCode::OK, &json!({ "status": "cleared" }))
        }
        ("/livez", &Method::GET, _) => json(StatusCode::OK, &json!({ "status": "ok" })),
        ("/token", &Method::POST, Door::Plain) => access_token(desk, &body),
        (path, _, Door::Tls) if path.starts_with("/v1/projects/") => fcm_send(desk, &head, &body),
        (_, _, Door::Tls) => apns_send(desk, token, &head, &body),
        (_, _, Door::Plain) => json(
            StatusCode::NOT_FOUND,
            &json!({ "error": "not_found", "error_description": "there are /token, /log and /livez; pushes go to the TLS listener" }),
        ),
    }
}

fn json(status: StatusCode, body: &impl Serialize) -> Reply {
    let bytes = serde_json::to_vec(body).unwrap_or_default();
    let mut reply = Response::new(Full::from(bytes));
    *reply.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    reply.headers_mut().insert(header::CONTENT_TYPE, kind);
    reply
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn log_page(desk: &Desk, query: &str) -> Reply {
    let number = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value.parse())
    };
    let (after, limit) = match (number("after").transpose(), number("limit").transpose()) {
        (Ok(after), Ok(limit)) => (
            after.unwrap_or(0),
            limit.map_or(LOG_LIMIT_DEFAULT, |limit: u64| limit as usize),
        ),
        _ => {
            return json(
                StatusCode::BAD_REQUEST,
                &json!({ "error": "`after` and `limit` are numbers" }),
            );
        }
    };
    json(StatusCode::OK, &desk.log.page(after, limit.clamp(1, LOG_LIMIT_MAX)))
}

fn access_token(desk: &Desk, form: &[u8]) -> Reply {
    let now = desk.clock.now();
    if let Err(refusal) = oauth::check(&String::from_utf8_lossy(form), &desk.account, now) {
        return json(StatusCode::BAD_REQUEST, &refusal.body());
    }
    let mut tokens = desk.access_tokens.lock().unwrap_or_else(PoisonError::into_inner);
    desk.log.access_token_issued();
    json(StatusCode::OK, &tokens.issue(now))
}

fn apns_send(desk: &Desk, token: &Mutex<ConnectionToken>, head: &http::request::Parts, body: &[u8]) -> Reply {
    if head.version != Version::HTTP_2 {
        let reason = json!({ "reason": "APNs speaks HTTP/2 only" });
        return json(StatusCode::HTTP_VERSION_NOT_SUPPORTED, &reason);
    }
    let now = desk.clock.now();
    let parts = apns::Parts {
        method: &head.method,
        path: head.uri.path(),
        headers: &head.headers,
        body,
    };
    let asked = apns::read(&parts);
    let id = asked.apns_id.as_deref().and_then(|id| HeaderValue::from_str(id).ok());
    let verdict = {
        let mut token = token.lock().unwrap_or_else(PoisonError::into_inner);
        let verdict = apns::check(&parts, &desk.rules, &mut token, now);
        if let Some(token) = token.current() {
            desk.log.provider_token_seen(token);
        }
        verdict
    };
    let mut reply = match &verdict {
        Ok(()) => Response::new(Full::default()),
        Err(refusal) => json(status(refusal.status), &refusal.body()),
    };
    if let Some(id) = id {
        reply.headers_mut().insert("apns-id", id);
    }
    let reason = verdict.err().map(|refusal| refusal.reason.to_owned());
    desk.log
        .record(now, Provider::Apns, reply.status().as_u16(), reason, asked);
    reply
}

fn fcm_send(desk: &Desk, head: &http::request::Parts, body: &[u8]) -> Reply {
    let now = desk.clock.now();
    let mut asked = fcm::read(body, now);
    let verdict = fcm_access(desk, head).and_then(|()| fcm::check(body, &desk.rules.unregistered));
    let (reply, reason) = match verdict {
        Ok(()) => {
            let name = format!("projects/{}/messages/{}", identity::PROJECT_ID, Uuid::new_v4().simple());
            let reply = json(StatusCode::OK, &json!({ "name": name }));
            asked.name = Some(name);
            (reply, None)
        }
        Err(refusal) => {
            let body: Value = refusal.body();
            (json(status(refusal.status), &body), Some(refusal.reason().to_owned()))
        }
    };
    desk.log
        .record(now, Provider::Fcm, reply.status().as_u16(), reason, asked);
    reply
}

fn fcm_access(desk: &Desk, head: &http::request::Parts) -> Result<(), fcm::Refusal> {
    let rest = head.uri.path().strip_prefix("/v1/projects/").unwrap_or_default();
    let Some(("messages:send", project)) = rest.split_once('/').map(|(project, action)| (action, project)) else {
        return Err(fcm::Refusal::not_found());
    };
    if head.method != Method::POST {
        return Err(fcm::Refusal::not_found());
    }
    let authorization = head.headers.get(header::AUTHORIZATION);
    let bearer = authorization
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    let tokens = desk.access_tokens.lock().unwrap_or_else(PoisonError::into_inner);
    if !bearer.is_some_and(|token| tokens.is_valid(token, desk.clock.now())) {
        return Err(fcm::Refusal::unauthenticated());
    }
    if project != identity::PROJECT_ID {
        return Err(fcm::Refusal::other_project());
    }
    Ok(())
}
