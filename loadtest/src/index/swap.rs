//! Queries while the index is built anew and swapped in, again and again.

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use beckon::geo::{GeofenceIndex, Position, Shape};
use clap::Args;
use hdrhistogram::Histogram;

use super::{peers::position, shape, world::Plan};

/// Queries from several threads while a new index is built and swapped in, and without
#[derive(Args)]
pub(crate) struct Swap {
    /// Circles
    #[arg(long, default_value_t = 1_000_000)]
    fences: usize,
    /// Threads that query
    #[arg(long, default_value_t = 4)]
    threads: usize,
    /// Seconds of each of the four rounds
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
}

/// Nanoseconds that queries took, and how often the index was swapped meanwhile.
struct Round {
    latencies: Histogram<u64>,
    swaps: usize,
}

impl Swap {
    #[expect(clippy::print_stdout, reason = "the report")]
    pub(crate) fn run(&self) -> anyhow::Result<ExitCode> {
        let plan = Plan {
            fences: self.fences,
            cities: 2_000,
            large: None,
        };
        let shapes = plan.fences().map(shape).collect::<anyhow::Result<Vec<Shape>>>()?;
        let points: Vec<Position> = plan.points(200_000).into_iter().map(position).collect();
        let current = ArcSwap::from_pointee(GeofenceIndex::build(shapes.iter().cloned()));
        let (mut quiet, mut swapping) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            quiet.push(self.round(&current, &points, None)?);
            swapping.push(self.round(&current, &points, Some(&shapes))?);
        }
        println!("{}", self.table(&quiet, &swapping));
        Ok(ExitCode::SUCCESS)
    }

    fn table(&self, quiet: &[Round], swapping: &[Round]) -> String {
        let mut lines = vec![
            format!(
                "| {} threads, {} circles | no swapping | swapping | ratio |",
                self.threads, self.fences
            ),
            "| --- | --- | --- | --- |".to_owned(),
        ];
        for (name, quantile) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)] {
            let [without, with] = [quiet, swapping].map(|rounds| {
                let values = rounds
                    .iter()
                    .map(|round| round.latencies.value_at_quantile(quantile) as f64);
                values.sum::<f64>() / rounds.len() as f64
            });
            lines.push(format!(
                "| a query {name}, ns | {without:.0} | {with:.0} | {:.2} |",
                with / without
            ));
        }
        let [without, with] =
            [quiet, swapping].map(|rounds| rounds.iter().map(|round| round.latencies.len()).sum::<u64>() as f64 / 1e6);
        lines.push(format!("| queries, million | {without:.1} | {with:.1} | |"));
        let swaps: usize = swapping.iter().map(|round| round.swaps).sum();
        lines.push(format!("| swaps | 0 | {swaps} | |"));
        lines.join("\n")
    }

    fn round(
        &self,
        current: &ArcSwap<GeofenceIndex>,
        points: &[Position],
        shapes: Option<&[Shape]>,
    ) -> anyhow::Result<Round> {
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let askers: Vec<_> = (0..self.threads)
                .map(|number| {
                    let is_over = &is_over;
                    scope.spawn(move || ask(current, points, number * 12_345, is_over))
                })
                .collect();
            let end = Instant::now() + Duration::from_secs_f64(self.seconds);
            let mut swaps = 0;
            while Instant::now() < end {
                match shapes {
                    Some(shapes) => {
                        let next = GeofenceIndex::build(shapes.iter().cloned());
                        free(current.swap(Arc::new(next)));
                        swaps += 1;
                    }
                    None => thread::sleep(end.saturating_duration_since(Instant::now())),
                }
            }
            is_over.store(true, Ordering::Relaxed);
            let mut latencies = histogram()?;
            for asker in askers {
                let theirs = asker.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
                latencies.add(theirs)?;
            }
            Ok(Round { latencies, swaps })
        })
    }
}

/// Waits until no query uses the old index any more, so that none has to free it.
fn free(mut old: Arc<GeofenceIndex>) {
    loop {
        match Arc::try_unwrap(old) {
            Ok(index) => return drop(index),
            Err(shared) => old = shared,
        }
        thread::sleep(Duration::from_micros(50));
    }
}

fn ask(
    current: &ArcSwap<GeofenceIndex>,
    points: &[Position],
    start: usize,
    is_over: &AtomicBool,
) -> anyhow::Result<Histogram<u64>> {
    let mut latencies = histogram()?;
    let mut found = Vec::new();
    let mut next = start;
    while !is_over.load(Ordering::Relaxed) {
        next = (next + 1) % points.len();
        let begin = Instant::now();
        current.load().containing(points[next], &mut found);
        latencies.saturating_record(begin.elapsed().as_nanos() as u64);
    }
    Ok(latencies)
}

fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 1_000_000_000, 3)?)
}
