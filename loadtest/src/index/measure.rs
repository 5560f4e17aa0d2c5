//! How long a query takes: the median over chunks of the mean within each, so that a disturbance spoils one chunk only.

use std::time::{Duration, Instant};

/// Queries that are timed together.
const CHUNK: usize = 1_024;

/// Nanoseconds a query. All points are asked once unmeasured, then again and again until `budget` is used up; `ask`
/// gets some consecutive points.
pub(super) fn nanoseconds<P>(points: &[P], budget: Duration, mut ask: impl FnMut(&[P])) -> f64 {
    let start = Instant::now();
    for chunk in points.chunks(CHUNK) {
        ask(chunk);
        if start.elapsed() > budget {
            break;
        }
    }
    let mut means = Vec::new();
    let start = Instant::now();
    'all: loop {
        for chunk in points.chunks_exact(CHUNK.min(points.len())) {
            let begin = Instant::now();
            ask(chunk);
            means.push(begin.elapsed().as_nanos() as f64 / chunk.len() as f64);
            if start.elapsed() > budget {
                break 'all;
            }
        }
    }
    median(&mut means)
}

/// The median of the times of single calls, in microseconds.
pub(super) fn microseconds_p50<P: Copy>(points: &[P], mut ask: impl FnMut(P)) -> f64 {
    let mut times: Vec<f64> = points
        .iter()
        .map(|point| {
            let begin = Instant::now();
            ask(*point);
            begin.elapsed().as_nanos() as f64 / 1e3
        })
        .collect();
    median(&mut times)
}

/// What came out, and how many seconds it took.
pub(super) fn seconds<T>(make: impl FnOnce() -> T) -> (T, f64) {
    let begin = Instant::now();
    let made = make();
    (made, begin.elapsed().as_secs_f64())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
