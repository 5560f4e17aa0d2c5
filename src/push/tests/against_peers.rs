//! Peers that refuse, cut, stall and say GOAWAY at will.

use std::{
    future::{pending, poll_fn},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use h2::{Reason, server};
use http::Response;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::Instant,
};
use tokio_rustls::server::TlsStream;

use super::peer::{Peer, endpoint, identity, idle, next, ok, post, sent, serve_all};
use crate::push::pool::{Pool, PoolOptions, RESPONSE_BYTES_MAX, SendError};

#[tokio::test]
async fn a_refused_stream_is_sent_again_on_another_connection() {
    let peer = Peer::new(server::Builder::new(), |number, mut wire| async move {
        if number == 0 {
            let (_request, mut respond) = next(&mut wire).await.unwrap();
            respond.send_reset(Reason::REFUSED_STREAM);
            idle(wire).await;
        } else {
            serve_all(wire).await;
        }
    })
    .await;
    assert_eq!(sent(&peer.pool(PoolOptions::default())).await.unwrap().status, 200);
    assert_eq!(peer.connections(), 2);
}

#[tokio::test]
async fn a_peer_that_refuses_each_time_has_provably_got_nothing() {
    let peer = Peer::new(server::Builder::new(), |_, mut wire| async move {
        while let Some((_, mut respond)) = next(&mut wire).await {
            respond.send_reset(Reason::REFUSED_STREAM);
        }
    })
    .await;
    let result = sent(&peer.pool(PoolOptions::default())).await;
    assert!(matches!(result, Err(SendError::NotSent { .. })), "{result:?}");
}

#[tokio::test]
async fn any_other_reset_leaves_it_open() {
    let peer = Peer::new(server::Builder::new(), |_, mut wire| async move {
        while let Some((_, mut respond)) = next(&mut wire).await {
            respond.send_reset(Reason::INTERNAL_ERROR);
        }
    })
    .await;
    let result = sent(&peer.pool(PoolOptions::default())).await;
    assert!(matches!(result, Err(SendError::Ambiguous { .. })), "{result:?}");
    assert_eq!(peer.connections(), 1, "not sent again");
}

#[tokio::test]
async fn a_connection_cut_in_flight_leaves_it_open() {
    let peer = Peer::new(server::Builder::new(), |number, mut wire| async move {
        if number > 0 {
            return serve_all(wire).await;
        }
        next(&mut wire).await.unwrap();
        // Dropped without a word.
    })
    .await;
    let pool = peer.pool(PoolOptions::default());
    let result = sent(&pool).await;
    assert!(matches!(result, Err(SendError::Ambiguous { .. })), "{result:?}");
    assert_eq!(
        sent(&pool).await.unwrap().status,
        200,
        "the next one gets a new connection"
    );
}

/// What a peer sends that has processed nothing, or all up to stream 1: RFC 9113 section 6.8.
const fn goaway(last_stream: u8) -> [u8; 17] {
    [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, last_stream, 0, 0, 0, 0]
}

/// A peer of bare frames: says SETTINGS, waits for a request's body, then says `frame` and, if told, closes.
async fn bare_peer(frame: [u8; 17], close: bool) -> Peer {
    let (acceptor, ca_pem) = identity();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let number = counter.fetch_add(1, Ordering::SeqCst);
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut tls = acceptor.accept(tcp).await.unwrap();
                if number > 0 {
                    return serve_all(server::handshake(tls).await.unwrap()).await;
                }
                tls.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
                tls.read_exact(&mut [0; 24]).await.unwrap();
                next_body(&mut tls).await;
                tls.write_all(&frame).await.unwrap();
                tls.flush().await.unwrap();
                if !close {
                    pending::<()>().await;
                }
            });
        }
    });
    Peer {
        url,
        ca_pem,
        connections,
    }
}

/// Reads frames up to the next DATA and gives its stream.
async fn next_body(tls: &mut TlsStream<TcpStream>) -> u8 {
    loop {
        let mut head = [0; 9];
        tls.read_exact(&mut head).await.unwrap();
        let mut body = vec![0; usize::from(head[1]) * 256 + usize::from(head[2])];
        tls.read_exact(&mut body).await.unwrap();
        if head[3] == 0 {
            return head[8];
        }
    }
}

#[tokio::test]
async fn goaway_below_our_stream_is_proof_and_it_is_sent_again_at_once() {
    for close in [true, false] {
        let peer = bare_peer(goaway(0), close).await;
        assert_eq!(sent(&peer.pool(PoolOptions::default())).await.unwrap().status, 200);
        assert_eq!(peer.connections(), 2);
    }
}

#[tokio::test]
async fn goaway_that_includes_our_stream_proves_nothing() {
    let peer = bare_peer(goaway(1), true).await;
    let pool = peer.pool(PoolOptions::default());
    let result = sent(&pool).await;
    assert!(matches!(result, Err(SendError::Ambiguous { .. })), "{result:?}");
    assert_eq!(sent(&pool).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_connection_is_replaced_while_it_drains() {
    let peer = Peer::new(server::Builder::new(), |number, mut wire| async move {
        if number > 0 {
            return serve_all(wire).await;
        }
        let held = next(&mut wire).await;
        wire.graceful_shutdown();
        idle(wire).await;
        drop(held);
    })
    .await;
    let pool = peer.pool(PoolOptions::default());
    let first = pool.clone();
    let draining = tokio::spawn(async move { sent(&first).await });
    let replaced = async {
        while peer.connections() < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let replaced = tokio::time::timeout(Duration::from_secs(30), replaced).await;
    replaced.expect("a second connection");
    assert!(!draining.is_finished(), "nobody has asked for the second connection");
    assert_eq!(sent(&pool).await.unwrap().status, 200);
    draining.abort();
}

#[tokio::test]
async fn a_peer_that_closes_every_few_requests_loses_none() {
    let mut build = server::Builder::new();
    build.max_concurrent_streams(5);
    let peer = Peer::new(build, |_, mut wire| async move {
        for _ in 0..7 {
            let Some((_, respond)) = next(&mut wire).await else {
                return;
            };
            ok(respond);
        }
        wire.graceful_shutdown();
        serve_all(wire).await;
    })
    .await;
    let pool = peer.pool(PoolOptions::default());
    assert_eq!(send_many(&pool, 300).await, 300);
    assert!(peer.connections() > 20, "{}", peer.connections());
}

#[tokio::test]
async fn a_silent_peer_is_given_up_at_the_deadline() {
    let peer = Peer::new(server::Builder::new(), |_, mut wire| async move {
        let mut held = Vec::new();
        while let Some(request) = next(&mut wire).await {
            held.push(request);
        }
    })
    .await;
    let pool = peer.pool(PoolOptions::default());
    let result = pool.post(post, Instant::now() + Duration::from_millis(200)).await;
    assert!(matches!(result, Err(SendError::Ambiguous { .. })), "{result:?}");
    let late = pool.post(post, Instant::now()).await;
    assert!(matches!(late, Err(SendError::NotSent { .. })), "{late:?}");
}

#[tokio::test]
async fn who_waits_for_a_stream_until_the_deadline_was_not_sent() {
    let mut build = server::Builder::new();
    build.max_concurrent_streams(1);
    let peer = Peer::new(build, |_, mut wire| async move {
        let _held = next(&mut wire).await;
        idle(wire).await;
    })
    .await;
    let pool = peer.pool(PoolOptions {
        connections_max: 1,
        ..PoolOptions::default()
    });
    let soon = Instant::now() + Duration::from_millis(300);
    let (first, second) = tokio::join!(pool.post(post, soon), pool.post(post, soon));
    assert!(matches!(first, Err(SendError::Ambiguous { .. })), "{first:?}");
    assert!(matches!(second, Err(SendError::NotSent { .. })), "{second:?}");
}

#[tokio::test]
async fn a_dead_connection_is_found_by_a_ping_and_replaced() {
    // The first connection stops reading and writing after its first answer; nothing closes it.
    let peer = Peer::new(server::Builder::new(), |number, mut wire| async move {
        if number > 0 {
            return serve_all(wire).await;
        }
        let (_, respond) = next(&mut wire).await.unwrap();
        ok(respond);
        let mut once = Some(());
        poll_fn(|cx| {
            // Flushes the answer, then never again.
            if once.take().is_some() {
                assert!(wire.poll_accept(cx).is_pending());
            }
            std::task::Poll::<()>::Pending
        })
        .await;
    })
    .await;
    let pool = peer.pool(PoolOptions {
        connections_max: 1,
        distrust_after: Duration::ZERO,
        ping_timeout: Duration::from_millis(200),
        ..PoolOptions::default()
    });
    assert_eq!(sent(&pool).await.unwrap().status, 200);
    // Idle for longer than it is trusted: asked for a ping first, so that nothing is lost in it.
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(sent(&pool).await.unwrap().status, 200);
    assert_eq!(peer.connections(), 2);
}

#[tokio::test]
async fn nobody_there_is_said_at_once_and_not_asked_again_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    drop(listener);
    let pool = Pool::new(&endpoint(&url, None), PoolOptions::default()).unwrap();
    for _ in 0..3 {
        let Err(SendError::NotSent { retry_after, .. }) = sent(&pool).await else {
            panic!("nobody is there");
        };
        assert!(
            retry_after.is_some_and(|pause| pause.0 > 0 && pause.0 <= 1000),
            "{retry_after:?}"
        );
    }
}

#[tokio::test]
async fn a_peer_that_never_says_settings_is_no_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let pool = Pool::new(
        &endpoint(&url, None),
        PoolOptions {
            connect_timeout: Duration::from_millis(100),
            ..PoolOptions::default()
        },
    )
    .unwrap();
    let result = sent(&pool).await;
    assert!(
        matches!(&result, Err(SendError::NotSent { reason, .. }) if reason.contains("connect timeout")),
        "{result:?}"
    );
}

#[tokio::test]
async fn an_endless_answer_is_cut() {
    let peer = Peer::new(server::Builder::new(), |_, mut wire| async move {
        let mut open = Vec::new();
        while let Some((_, mut respond)) = next(&mut wire).await {
            let response = Response::builder().status(400).body(()).unwrap();
            let mut body = respond.send_response(response, false).unwrap();
            body.send_data(Bytes::from(vec![b'x'; 60_000]), false).unwrap();
            open.push(body);
        }
    })
    .await;
    let reply = sent(&peer.pool(PoolOptions::default())).await.unwrap();
    assert_eq!(
        (reply.status, reply.body.len(), reply.complete),
        (400, RESPONSE_BYTES_MAX, false)
    );
}

#[tokio::test]
async fn no_more_streams_than_the_peer_allows() {
    let most = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&most);
    let mut build = server::Builder::new();
    build.max_concurrent_streams(2);
    let peer = Peer::new(build, move |_, mut wire| {
        let seen = Arc::clone(&seen);
        async move {
            let mut open = Vec::new();
            while let Some((_, respond)) = next(&mut wire).await {
                open.push(respond);
                seen.fetch_max(open.len(), Ordering::SeqCst);
                if open.len() == 2 {
                    open.drain(..).for_each(ok);
                }
            }
        }
    })
    .await;
    let pool = peer.pool(PoolOptions {
        connections_max: 1,
        ..PoolOptions::default()
    });
    assert_eq!(send_many(&pool, 100).await, 100);
    assert_eq!(most.load(Ordering::SeqCst), 2);
    assert_eq!(peer.connections(), 1);
}

async fn send_many(pool: &Pool, count: usize) -> usize {
    let mut sends = tokio::task::JoinSet::new();
    for _ in 0..count {
        let pool = pool.clone();
        sends.spawn(async move { sent(&pool).await.map(|reply| reply.status) });
    }
    let results = sends.join_all().await;
    results.iter().filter(|result| **result == Ok(200)).count()
}

fn settings(streams_max: u8) -> [u8; 15] {
    [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, streams_max]
}

/// HEADERS that end the stream; 0x88 is `:status: 200` (RFC 7541 appendix A).
fn status_200(stream: u8) -> [u8; 10] {
    [0, 0, 1, 1, 5, 0, 0, 0, stream, 0x88]
}

#[tokio::test]
async fn the_number_of_streams_follows_the_peers_settings() {
    // One stream until the first answer, as Apple does before it knows the token; then answers to three at a time only.
    let (acceptor, ca_pem) = identity();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let peer = tokio::spawn(async move {
        let mut tls = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
        tls.write_all(&settings(1)).await.unwrap();
        tls.read_exact(&mut [0; 24]).await.unwrap();
        let first = next_body(&mut tls).await;
        tls.write_all(&status_200(first)).await.unwrap();
        tls.write_all(&settings(3)).await.unwrap();
        for _ in 0..2 {
            let mut answers = Vec::new();
            for _ in 0..3 {
                answers.extend_from_slice(&status_200(next_body(&mut tls).await));
            }
            tls.write_all(&answers).await.unwrap();
        }
        tls
    });
    let pool = Pool::new(
        &endpoint(&url, Some(&ca_pem)),
        PoolOptions {
            connections_max: 1,
            ..PoolOptions::default()
        },
    )
    .unwrap();
    assert_eq!(send_many(&pool, 7).await, 7);
    drop(peer.await.unwrap());
}
