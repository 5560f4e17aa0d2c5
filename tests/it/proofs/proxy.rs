//! A TCP proxy that delays answers and cuts connections.

use std::{
    io::{Read, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Between servers and a Redis on this machine. Ends with the test's process; what it holds open ends with both sides.
pub(super) struct Proxy {
    pub(super) port: u16,
    delay_ms: Arc<AtomicU64>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    pub(super) fn start(upstream: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (delay_ms, open) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (delay, connections) = (Arc::clone(&delay_ms), Arc::clone(&open));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // Redis may be away: then the client finds the connection closed.
                let Ok(server) = TcpStream::connect(("127.0.0.1", upstream)) else {
                    continue;
                };
                let both = |stream: &TcpStream| stream.try_clone().expect("a socket");
                connections
                    .lock()
                    .expect("a lock")
                    .extend([both(&client), both(&server)]);
                let (asks, answers) = ((both(&client), both(&server)), (server, client));
                std::thread::spawn(move || pass(asks, &AtomicU64::new(0)));
                let delay = Arc::clone(&delay);
                std::thread::spawn(move || pass(answers, &delay));
            }
        });
        Self { port, delay_ms, open }
    }

    /// Each answer comes so much later from now on.
    pub(super) fn delay(&self, by_ms: u64) {
        self.delay_ms.store(by_ms, Ordering::Release);
    }

    /// Cuts every connection, whatever is on its way.
    pub(super) fn cut(&self) {
        for stream in self.open.lock().expect("a lock").drain(..) {
            // One that has ended already needs no end.
            stream.shutdown(Shutdown::Both).unwrap_or_default();
        }
    }
}

fn pass((mut from, mut to): (TcpStream, TcpStream), delay_ms: &AtomicU64) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let delay = delay_ms.load(Ordering::Acquire);
        if delay > 0 {
            std::thread::sleep(Duration::from_millis(delay));
        }
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    for stream in [from, to] {
        stream.shutdown(Shutdown::Both).unwrap_or_default();
    }
}
