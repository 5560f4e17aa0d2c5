//! A way to the gateway that breaks.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use super::next;

/// Every connection is cut after so many bytes at the earliest.
const BYTES_MIN: u64 = 20_000;
/// One connection in four is cut after so many bytes more at the latest.
const SHORT_BYTES: u64 = 400_000;

/// Stands between server and gateway, and cuts, stalls and refuses by chance.
pub(super) struct Cuts {
    pub(super) url: String,
    calm: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
}

impl Cuts {
    /// `long_bytes`: three connections in four live for up to so many bytes in each direction.
    pub(super) fn before(gateway: &str, seed: u64, long_bytes: u64) -> Self {
        let gateway = gateway.trim_start_matches("https://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("https://{}", listener.local_addr().expect("an address"));
        let (calm, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let random = Arc::new(AtomicU64::new(seed));
        let (is_calm, counted) = (Arc::clone(&calm), Arc::clone(&count));
        std::thread::spawn(move || {
            for from in listener.incoming().map_while(Result::ok) {
                if !is_calm.load(Ordering::Relaxed) && next(&random).is_multiple_of(8) {
                    continue;
                }
                let Ok(to) = TcpStream::connect(&gateway) else { continue };
                let span = if next(&random).is_multiple_of(4) {
                    SHORT_BYTES
                } else {
                    long_bytes
                };
                for (mut from, mut to) in [(from.try_clone(), to.try_clone()), (to.try_clone(), from.try_clone())]
                    .into_iter()
                    .filter_map(|(from, to)| Some((from.ok()?, to.ok()?)))
                {
                    let (random, is_calm, counted) = (Arc::clone(&random), Arc::clone(&is_calm), Arc::clone(&counted));
                    let left = BYTES_MIN + next(&random) % span;
                    std::thread::spawn(move || {
                        forward(&mut from, &mut to, left, &random, &is_calm, &counted);
                        from.shutdown(Shutdown::Both).unwrap_or_default();
                        to.shutdown(Shutdown::Both).unwrap_or_default();
                    });
                }
            }
        });
        Self { url, calm, count }
    }

    /// Nothing breaks any more.
    pub(super) fn end(&self) {
        self.calm.store(true, Ordering::Relaxed);
    }

    /// Connections that were cut in the middle.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

/// Copies so many bytes, with pauses.
fn forward(
    from: &mut TcpStream,
    to: &mut TcpStream,
    mut left: u64,
    random: &AtomicU64,
    calm: &AtomicBool,
    cuts: &AtomicU64,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer) else {
            return;
        };
        let count = if calm.load(Ordering::Relaxed) {
            count as u64
        } else {
            (count as u64).min(left)
        };
        if to.write_all(&buffer[..count as usize]).is_err() {
            return;
        }
        left = left.saturating_sub(count);
        if left == 0 && !calm.load(Ordering::Relaxed) {
            cuts.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if next(random).is_multiple_of(2000) && !calm.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(next(random) % 1500));
        }
    }
}
