//! The seeded world of the index benchmark: the fences of many cities, and where people are.

use std::f64::consts::TAU;

use crate::random::Random;

/// Longitude and latitude in degrees.
pub(super) type Vertex = [f64; 2];

/// A geofence as a file would have it.
pub(super) enum Fence {
    Circle { center: Vertex, radius_m: f64 },
    Polygon(Vec<Vertex>),
}

/// How a world looks.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    pub(super) fences: usize,
    pub(super) cities: usize,
    /// Vertices of large polygons; `None` for circles only.
    pub(super) large: Option<(usize, usize)>,
}

/// How far fences and people spread round the middle of a city of 500 fences: one standard deviation, in metres. Larger
/// cities are wider and denser: ten times the fences spread twice as far.
const SPREAD_M: f64 = 2_000.0;
const SPREAD_FENCES: f64 = 500.0;
const SPREAD_POWER: f64 = 0.0;
/// How long a step of a random walk is, in metres, and how many a walk has.
const STEP_M: f64 = 25.0;
const STEPS: usize = 400;
const METRES_A_DEGREE: f64 = 111_320.0;

/// Moved by metres to the east and north.
fn moved([x, y]: Vertex, east_m: f64, north_m: f64) -> Vertex {
    [
        x + east_m / METRES_A_DEGREE / y.to_radians().cos(),
        y + north_m / METRES_A_DEGREE,
    ]
}

fn between(random: &mut Random, low: f64, high: f64) -> f64 {
    low + random.fraction() * (high - low)
}

/// As many small numbers as large ones, on a logarithmic scale.
fn log_between(random: &mut Random, low: f64, high: f64) -> f64 {
    (between(random, low.ln(), high.ln())).exp()
}

/// Normally distributed, by Box and Muller.
fn spread(random: &mut Random) -> (f64, f64) {
    let length = (-2.0 * (1.0 - random.fraction()).ln()).sqrt();
    let (sin, cos) = (random.fraction() * TAU).sin_cos();
    (length * cos, length * sin)
}

impl Plan {
    fn cities(&self) -> Vec<Vertex> {
        let mut random = Random::new(1);
        (0..self.cities)
            .map(|_| [between(&mut random, -179.0, 179.0), between(&mut random, -50.0, 62.0)])
            .collect()
    }

    /// All cities are of one size.
    fn somewhere(self, cities: &[Vertex], random: &mut Random) -> Vertex {
        let fences = self.fences as f64 / cities.len() as f64;
        let spread_m = SPREAD_M * (fences / SPREAD_FENCES).powf(SPREAD_POWER);
        let (east, north) = spread(random);
        moved(cities[random.below(cities.len())], east * spread_m, north * spread_m)
    }

    /// The fences, always the same.
    pub(super) fn fences(self) -> impl Iterator<Item = Fence> {
        let cities = self.cities();
        let mut random = Random::new(2);
        (0..self.fences).map(move |_| {
            let center = self.somewhere(&cities, &mut random);
            let kind = random.fraction();
            match self.large {
                Some(_) if (0.70..0.95).contains(&kind) => {
                    let corners = 4 + random.below(56);
                    let radius_m = between(&mut random, 30.0, 500.0);
                    Fence::Polygon(outline(&mut random, center, radius_m, corners))
                }
                Some((least, most)) if kind >= 0.95 => {
                    let corners = log_between(&mut random, least as f64, most as f64) as usize;
                    let radius_m = log_between(&mut random, 300.0, 3_000.0);
                    Fence::Polygon(outline(&mut random, center, radius_m, corners))
                }
                // Whole metres, as people write them.
                _ => Fence::Circle {
                    center,
                    radius_m: between(&mut random, 30.0, 500.0).round(),
                },
            }
        })
    }

    /// Half of them anywhere in the cities, half along random walks, shuffled.
    pub(super) fn points(self, count: usize) -> Vec<Vertex> {
        let cities = self.cities();
        let mut random = Random::new(3);
        let mut points: Vec<Vertex> = (0..count / 2).map(|_| self.somewhere(&cities, &mut random)).collect();
        while points.len() < count {
            let mut at = self.somewhere(&cities, &mut random);
            for _ in 0..STEPS.min(count - points.len()) {
                let (east, north) = spread(&mut random);
                at = moved(at, east * STEP_M, north * STEP_M);
                points.push(at);
            }
        }
        for last in (1..points.len()).rev() {
            points.swap(last, random.below(last + 1));
        }
        points
    }
}

/// A closed outline that wobbles: large bays and small ones, as districts and coasts have them.
fn outline(random: &mut Random, center: Vertex, radius_m: f64, corners: usize) -> Vec<Vertex> {
    let waves: Vec<(f64, f64, f64)> = (0..7)
        .map(|octave| {
            let often = f64::from(2_u32 << octave);
            (often, 0.3 / often * between(random, 0.5, 1.5), random.fraction() * TAU)
        })
        .collect();
    let mut ring: Vec<Vertex> = (0..corners)
        .map(|corner| {
            let angle = TAU * corner as f64 / corners as f64;
            let wobble: f64 = waves
                .iter()
                .map(|(often, height, phase)| height * (often * angle + phase).sin())
                .sum();
            let jitter = (random.fraction() - 0.5) / corners as f64;
            let (sin, cos) = angle.sin_cos();
            let reach = radius_m * (0.8 + wobble + jitter);
            moved(center, cos * reach, sin * reach)
        })
        .collect();
    ring.push(ring[0]);
    ring
}
