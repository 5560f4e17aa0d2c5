//! The sandbox's two listeners. HTTP/2 over TLS is in `door`; HTTP/1.1 is answered here.

use std::{
    convert::Infallible,
    future::Future,
    io,
    sync::{Arc, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::{
    Desk,
    answers::{self, Reply},
    door,
    faults::FaultKind,
};

/// Most of a request's body that is read, in bytes; a script of faults is the largest.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024;
/// Most connections of one listener.
const CONNECTIONS_MAX: usize = 1024;
/// Time for the TLS handshake, and for an HTTP/1.1 request's head.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for open requests when the sandbox stops.
pub(super) const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// Which of the two listeners a request came in by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Door {
    Tls,
    Plain,
}

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
                    sleep(Duration::from_millis(50)).await;
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
    let session = stream.get_ref().1;
    if session.alpn_protocol() == Some(b"h2") {
        let has_certificate = session.peer_certificates().is_some();
        return door::serve(stream, has_certificate, desk, stop).await;
    }
    talk(stream, Door::Tls, desk, stop).await
}

/// HTTP/1.1.
async fn talk<S>(stream: S, door: Door, desk: Arc<Desk>, mut stop: watch::Receiver<bool>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request| {
        let desk = Arc::clone(&desk);
        async move { Ok::<_, Infallible>(answer(&desk, door, request).await.map(Full::<Bytes>::from)) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HANDSHAKE_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
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

async fn answer(desk: &Desk, door: Door, request: Request<Incoming>) -> Reply {
    let (head, body) = request.into_parts();
    // A body that is longer than any limit stays longer than any limit.
    let body = match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => Bytes::from(vec![b' '; BODY_BYTES_MAX]),
    };
    if let Some(reply) = answers::service(desk, &head, &body) {
        return reply;
    }
    if door == Door::Plain {
        return answers::not_found();
    }
    // Google takes HTTP/1.1, too. What needs streams can't happen here.
    let mut seen = answers::push(desk, &std::sync::Mutex::default(), false, &head, &body);
    let met = {
        let mut faults = desk.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.meet(seen.provider, seen.asked.token.as_deref().unwrap_or_default(), None)
    };
    sleep(Duration::from_millis(met.delay_ms)).await;
    let answer = met.fault.filter(|rule| rule.fault == FaultKind::Answer);
    if let Some(rule) = &answer {
        seen.replace(rule, desk.clock.now());
    }
    seen.record(desk, answer.map(|_| "answer"), true, true)
}
