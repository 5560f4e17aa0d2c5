//! The index against `rstar` and `geo`, on one core, in one run.

mod measure;
mod peers;
mod report;
mod swap;
mod world;

use std::{hint::black_box, process::ExitCode, time::Duration};

use anyhow::bail;
use beckon::geo::{GeofenceIndex, Hits, Polygons, Position, Shape};
use clap::Args;
use measure::{microseconds_p50, nanoseconds, seconds};
use peers::{Entry, Peer, position};
use report::{Found, Row, Side};
pub(crate) use swap::Swap;
use world::{Fence, Plan, Vertex};

use crate::ALLOCATOR;

/// The geofence index against rstar with geo
#[derive(Args)]
pub(crate) struct Index {
    /// Which rows, of 10k-mix, 100k-mix, 1m-mix, 1m-circles, 10m-circles
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "10k-mix,100k-mix,1m-mix,1m-circles,10m-circles"
    )]
    rows: Vec<String>,
    /// Queries of a pass
    #[arg(long, default_value_t = 200_000)]
    queries: usize,
    /// Seconds for each measured figure
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Leave the peers out
    #[arg(long)]
    alone: bool,
}

/// Points that are asked together.
const BATCH: usize = 64;
/// How many points are asked for their nearest fences.
const NEAREST_POINTS: usize = 20_000;
/// How many shapes each of these is asked for.
const NEAREST_KS: [usize; 2] = [20, 100];

/// What a row's world looks like, and whether `IntervalTreeMultiPolygon` fits into the memory.
fn plan(row: &str) -> anyhow::Result<(Plan, bool)> {
    let plan = |fences, cities, large| Plan { fences, cities, large };
    Ok(match row {
        "10k-mix" => (plan(10_000, 20, Some((500, 10_000))), true),
        "100k-mix" => (plan(100_000, 200, Some((500, 10_000))), true),
        // A fifth of the vertices, so that 2 GB are enough.
        "1m-mix" => (plan(1_000_000, 2_000, Some((100, 2_000))), false),
        "1m-circles" => (plan(1_000_000, 2_000, None), false),
        "10m-circles" => (plan(10_000_000, 2_000, None), false),
        other => bail!("there is no row `{other}`"),
    })
}

impl Index {
    #[expect(clippy::print_stdout, reason = "the report")]
    pub(crate) fn run(&self) -> anyhow::Result<ExitCode> {
        let mut rows = Vec::new();
        for name in &self.rows {
            let (plan, has_interval_trees) = plan(name)?;
            let points = plan.points(self.queries);
            let ours = self.ours(plan, &points)?;
            let peer = (!self.alone).then(|| self.peer(plan, &points, false));
            let indexed = (!self.alone && has_interval_trees).then(|| self.peer(plan, &points, true));
            rows.push(Row {
                name: name.clone(),
                ours,
                peer,
                indexed,
            });
        }
        println!("{}", report::table(&rows));
        Ok(ExitCode::SUCCESS)
    }

    fn budget(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    fn ours(&self, plan: Plan, points: &[Vertex]) -> anyhow::Result<Side> {
        let before = ALLOCATOR.current_usage();
        let (shapes, shapes_s) = seconds(|| plan.fences().map(shape).collect::<Result<Vec<Shape>, _>>());
        let shapes = shapes?;
        let after_shapes = ALLOCATOR.current_usage();
        let vertices: usize = shapes.iter().map(Shape::vertices).sum();
        let polygon_bytes: usize = shapes.iter().filter_map(polygons).map(Polygons::memory_bytes).sum();
        let list_bytes = shapes.capacity() * size_of::<Shape>();
        // Once to warm up; the faster of two.
        let (_, first_s) = seconds(|| GeofenceIndex::build(shapes.iter().cloned()));
        let (index, second_s) = seconds(|| GeofenceIndex::build(shapes));
        let after = ALLOCATOR.current_usage();
        let positions: Vec<Position> = points.iter().map(|point| position(*point)).collect();
        let mut hits = 0;
        let mut found = Vec::new();
        for at in &positions {
            index.containing(*at, &mut found);
            hits += found.len();
        }
        let one_ns = nanoseconds(&positions, self.budget(), |points| {
            for at in points {
                index.containing(*at, &mut found);
                black_box(found.len());
            }
        });
        let mut batch = Hits::default();
        let batch_ns = nanoseconds(&positions, self.budget(), |points| {
            for together in points.chunks(BATCH) {
                index.containing_batch(together, &mut batch);
                black_box(batch.of(0).len());
            }
        });
        let nearest = &positions[..NEAREST_POINTS.min(positions.len())];
        let nearest_us = NEAREST_KS.map(|k| microseconds_p50(nearest, |at| _ = black_box(index.nearest(at, k))));
        Ok(Side {
            one_ns,
            batch_ns: Some(batch_ns),
            build_s: first_s.min(second_s),
            shapes_s,
            nearest_us: Some(nearest_us),
            found: Found {
                hits_per_query: hits as f64 / points.len() as f64,
                index_bytes: index.memory_bytes() as f64 / plan.fences as f64,
                // The list that the shapes came in is gone by now.
                allocated_bytes: (after + list_bytes) as f64 - after_shapes as f64,
                vertex_bytes: (vertices > 0).then(|| polygon_bytes as f64 / vertices as f64),
                allocated_vertex_bytes: (vertices > 0)
                    .then(|| (after_shapes - before - list_bytes) as f64 / vertices as f64),
                vertices,
                fences: plan.fences,
            },
        })
    }

    fn peer(&self, plan: Plan, points: &[Vertex], has_interval_trees: bool) -> Side {
        let before = ALLOCATOR.current_usage();
        let (entries, shapes_s) = seconds(|| {
            (0_u32..)
                .zip(plan.fences())
                .map(|(id, fence)| Entry::new(id, fence, has_interval_trees))
                .collect::<Vec<Entry>>()
        });
        let polygon_bytes = ALLOCATOR.current_usage() - before - entries.capacity() * size_of::<Entry>();
        let (peer, build_s) = seconds(|| Peer::build(entries));
        let index_bytes = ALLOCATOR.current_usage() - before - polygon_bytes;
        let mut hits = 0;
        let mut found = Vec::new();
        let counted = &points[..points.len().min(20_000)];
        for at in counted {
            peer.containing(*at, &mut found);
            hits += found.len();
        }
        let one_ns = nanoseconds(points, self.budget(), |points| {
            for at in points {
                peer.containing(*at, &mut found);
                black_box(found.len());
            }
        });
        let nearest = &points[..NEAREST_POINTS.min(points.len())];
        let nearest_us = (!has_interval_trees)
            .then(|| NEAREST_KS.map(|k| microseconds_p50(nearest, |at| _ = black_box(peer.nearest(at, k)))));
        Side {
            one_ns,
            batch_ns: None,
            build_s,
            shapes_s,
            nearest_us,
            found: Found {
                hits_per_query: hits as f64 / counted.len() as f64,
                index_bytes: index_bytes as f64 / plan.fences as f64,
                allocated_bytes: index_bytes as f64,
                vertex_bytes: None,
                allocated_vertex_bytes: None,
                vertices: 0,
                fences: plan.fences,
            },
        }
    }
}

fn shape(fence: Fence) -> anyhow::Result<Shape> {
    Ok(match fence {
        Fence::Circle { center, radius_m } => Shape::circle(position(center), radius_m)?,
        Fence::Polygon(ring) => Shape::polygon(vec![ring])?,
    })
}

fn polygons(shape: &Shape) -> Option<&Polygons> {
    match shape {
        Shape::Circle { .. } => None,
        Shape::Polygons(polygons) => Some(polygons),
    }
}
