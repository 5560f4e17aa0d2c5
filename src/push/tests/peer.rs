//! A peer over real sockets that plays what it is told.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use h2::server::{self, Connection, SendResponse};
use http::{HeaderMap, Request, Response, uri::PathAndQuery};
use rcgen::CertifiedKey;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::deadline;
use crate::push::pool::{Endpoint, Pool, PoolOptions, Post, Reply, SendError};

pub(super) type Wire = Connection<TlsStream<TcpStream>, Bytes>;

pub(super) struct Peer {
    pub(super) url: String,
    pub(super) ca_pem: String,
    pub(super) connections: Arc<AtomicUsize>,
}

pub(super) fn identity() -> (TlsAcceptor, String) {
    let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![cert.der().clone()],
            rustls::pki_types::PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    (TlsAcceptor::from(Arc::new(config)), cert.pem())
}

impl Peer {
    /// Runs `play` on each connection, with its number from 0.
    pub(super) async fn new<F, P>(build: server::Builder, play: P) -> Self
    where
        P: Fn(usize, Wire) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let (acceptor, ca_pem) = identity();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let play = Arc::new(play);
        tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let number = counter.fetch_add(1, Ordering::SeqCst);
                let (acceptor, build, play) = (acceptor.clone(), build.clone(), Arc::clone(&play));
                tokio::spawn(async move {
                    let tls = acceptor.accept(tcp).await.unwrap();
                    play(number, build.handshake(tls).await.unwrap()).await;
                });
            }
        });
        Self {
            url,
            ca_pem,
            connections,
        }
    }

    pub(super) fn pool(&self, options: PoolOptions) -> Pool {
        Pool::new(&endpoint(&self.url, Some(&self.ca_pem)), options).unwrap()
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

pub(super) fn endpoint<'a>(base_url: &'a str, ca_pem: Option<&'a str>) -> Endpoint<'a> {
    Endpoint {
        base_url,
        ca_pem,
        identity_pem: None,
        proxy: None,
    }
}

pub(super) fn post() -> Post {
    Post {
        path: PathAndQuery::from_static("/3/device/1"),
        headers: HeaderMap::new(),
        body: Bytes::from_static(b"{}"),
    }
}

pub(super) async fn sent(pool: &Pool) -> Result<Reply, SendError> {
    pool.post(post, deadline()).await
}

pub(super) fn ok(mut respond: SendResponse<Bytes>) {
    respond.send_response(Response::new(()), true).unwrap();
}

pub(super) async fn next(wire: &mut Wire) -> Option<(Request<h2::RecvStream>, SendResponse<Bytes>)> {
    wire.accept().await.and_then(Result::ok)
}

/// Keeps a connection going that gets no further answers.
pub(super) async fn idle(mut wire: Wire) {
    while next(&mut wire).await.is_some() {}
}

pub(super) async fn serve_all(mut wire: Wire) {
    while let Some((_, respond)) = next(&mut wire).await {
        ok(respond);
    }
}
