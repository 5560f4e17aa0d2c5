//! The index against independent oracles at places where geometry goes wrong, with as many queries as
//! `BECKON_PROVE_QUERIES` says: `make prove-geometry` asks 100,000 in each.
//!
//! Circles are held against the geodesic and, where it converges, Vincenty's formulas; polygons against every edge with
//! exact predicates, and away from the antimeridian against `geo`. Half of the queries lie within 5 cm of a boundary.

#![expect(clippy::unwrap_used, reason = "a test stops and says why")]

use std::f64::consts::TAU;

use geo::{Intersects as _, VincentyDistance as _};
use geographiclib_rs::{DirectGeodesic, Geodesic, InverseGeodesic};

use beckon::geo::{GeofenceIndex, Hits, Position, Shape};

fn queries() -> usize {
    let wanted = std::env::var("BECKON_PROVE_QUERIES").ok();
    wanted.and_then(|count| count.parse().ok()).unwrap_or(5_000)
}

/// `SplitMix64`.
struct Random(u64);

impl Random {
    fn between(&mut self, low: f64, high: f64) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        low + (high - low) * (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// A place that far from another, whatever the direction.
fn beside(from: Position, azimuth: f64, metres: f64) -> Position {
    let (latitude, longitude) = Geodesic::wgs84().direct(from.latitude, from.longitude, azimuth, metres);
    let longitude = if longitude > 180.0 {
        longitude - 360.0
    } else {
        longitude
    };
    Position::new(latitude.clamp(-90.0, 90.0), longitude.clamp(-180.0, 180.0)).unwrap()
}

/// A fence as its oracle knows it. Rings are not cut: longitudes go on beyond 180.
enum Fence {
    Circle(Position, f64),
    Ring(Vec<[f64; 2]>),
}

impl Fence {
    fn shape(&self) -> Shape {
        match self {
            Self::Circle(center, radius_m) => Shape::circle(*center, *radius_m).unwrap(),
            Self::Ring(ring) => Shape::polygon(vec![ring.clone()]).unwrap(),
        }
    }

    /// A ball that holds it, without asking the shape.
    fn ball(&self) -> ([f64; 3], f64) {
        match self {
            Self::Circle(center, radius_m) => (on_sphere(*center), *radius_m),
            Self::Ring(ring) => {
                let place = |[longitude, latitude]: [f64; 2]| on_sphere(Position { latitude, longitude });
                let first = place(ring[0]);
                let metres = |vertex: &[f64; 2]| -> f64 {
                    let squared: f64 = place(*vertex).iter().zip(first).map(|(a, b)| (a - b).powi(2)).sum();
                    squared.sqrt()
                };
                (first, ring.iter().map(metres).fold(0.0, f64::max))
            }
        }
    }

    /// A place on the boundary.
    fn edge(&self, random: &mut Random) -> Position {
        match self {
            Self::Circle(center, radius_m) => beside(*center, random.between(0.0, 360.0), *radius_m),
            Self::Ring(ring) => {
                let edge = random.between(0.0, (ring.len() - 1) as f64) as usize;
                let share = random.between(0.0, 1.0);
                let [x, y] = [0, 1].map(|axis| ring[edge][axis] + share * (ring[edge + 1][axis] - ring[edge][axis]));
                let x = if x > 180.0 { x - 360.0 } else { x };
                Position::new(y.clamp(-90.0, 90.0), x).unwrap()
            }
        }
    }

    /// `None` where the oracle can't say: a ring was cut, and the point is on an edge but for rounding.
    fn contains(&self, at: Position) -> Option<bool> {
        match self {
            Self::Circle(center, radius_m) => {
                let metres: f64 =
                    Geodesic::wgs84().inverse(center.latitude, center.longitude, at.latitude, at.longitude);
                let points = [*center, at].map(|at| geo::Point::new(at.longitude, at.latitude));
                if let Ok(other) = points[0].vincenty_distance(&points[1]) {
                    assert!((metres - other).abs() < 1e-3, "{metres} {other}");
                }
                Some(metres <= *radius_m)
            }
            Self::Ring(ring) => {
                let is_cut = ring.iter().any(|vertex| vertex[0] > 180.0);
                let turns: &[f64] = if is_cut { &[0.0, 360.0] } else { &[0.0] };
                let sides = turns
                    .iter()
                    .map(|turn| winding(ring, [at.longitude + turn, at.latitude]));
                let inside = sides.collect::<Vec<_>>();
                if is_cut && inside.iter().any(|(_, gap)| *gap < 1e-12) {
                    return None;
                }
                let contains = inside.iter().any(|(inside, _)| *inside);
                if !is_cut {
                    let line = ring.iter().map(|[x, y]| geo::coord! {x: *x, y: *y}).collect();
                    let other = geo::Polygon::new(line, Vec::new());
                    assert_eq!(
                        contains,
                        other.intersects(&geo::coord! {x: at.longitude, y: at.latitude})
                    );
                }
                Some(contains)
            }
        }
    }
}

/// Whether the point is in the ring or on it, by the winding number over every edge, and how near an edge is in degrees.
fn winding(ring: &[[f64; 2]], [x, y]: [f64; 2]) -> (bool, f64) {
    let coord = |[x, y]: [f64; 2]| robust::Coord { x, y };
    let (mut winding, mut gap) = (0, f64::INFINITY);
    for edge in ring.windows(2) {
        let (a, b) = (edge[0], edge[1]);
        let turn = robust::orient2d(coord(a), coord(b), coord([x, y]));
        let is_beside = x >= a[0].min(b[0]) && x <= a[0].max(b[0]) && y >= a[1].min(b[1]) && y <= a[1].max(b[1]);
        if turn == 0.0 && is_beside {
            return (true, 0.0);
        }
        gap = gap.min(turn.abs() / (a[0] - b[0]).hypot(a[1] - b[1]));
        if a[1] <= y && b[1] > y && turn > 0.0 {
            winding += 1;
        } else if a[1] > y && b[1] <= y && turn < 0.0 {
            winding -= 1;
        }
    }
    (winding != 0, gap)
}

fn fences(around: Position, reach_m: f64, random: &mut Random) -> Vec<Fence> {
    let mut fences = Vec::new();
    for number in 0..400 {
        let center = beside(around, random.between(0.0, 360.0), random.between(0.0, reach_m));
        let radius_m = 10f64.powf(random.between(1.0, 3.5));
        if number % 2 == 0 {
            let radius_m = match number % 40 {
                0 => radius_m * 300.0,
                2 => radius_m.round(),
                _ => radius_m,
            };
            fences.push(Fence::Circle(center, radius_m.min(1e6)));
            continue;
        }
        let corners = 10f64.powf(random.between(0.7, 2.6)) as usize;
        let stretch = 1.0 / center.latitude.to_radians().cos().max(1e-3);
        let mut ring: Vec<[f64; 2]> = (0..corners)
            .map(|corner| {
                let (sin, cos) = (TAU * corner as f64 / corners as f64).sin_cos();
                let degrees = radius_m / 111_000.0 * random.between(0.5, 1.0);
                let x = center.longitude + degrees * stretch * cos;
                [x, (center.latitude + degrees * sin).clamp(-90.0, 90.0)]
            })
            .collect();
        ring.push(ring[0]);
        // Western longitudes go on beyond 180, so that no ring has jumps.
        if ring.iter().any(|vertex| vertex[0] < -180.0) {
            for vertex in &mut ring {
                vertex[0] += 360.0;
            }
        }
        let fence = Fence::Ring(ring);
        let Fence::Ring(ring) = &fence else { continue };
        let is_flat = ring.iter().any(|vertex| vertex[1].abs() == 90.0) || stretch > 500.0;
        if !is_flat {
            fences.push(fence);
        }
    }
    fences
}

#[expect(clippy::print_stdout, reason = "what was proven")]
fn prove(around: Position, reach_m: f64, seed: u64) {
    let mut random = Random(seed);
    let fences = fences(around, reach_m, &mut random);
    let index = GeofenceIndex::build(fences.iter().map(Fence::shape));
    let points: Vec<Position> = (0..queries())
        .map(|number| {
            if number % 2 == 0 {
                return beside(around, random.between(0.0, 360.0), random.between(0.0, reach_m));
            }
            let fence = random.between(0.0, fences.len() as f64) as usize;
            let edge = fences[fence].edge(&mut random);
            beside(edge, random.between(0.0, 360.0), random.between(0.0, 0.05))
        })
        .collect();
    let (mut found, mut hits) = (Vec::new(), Hits::default());
    index.containing_batch(&points, &mut hits);
    let circles: Vec<([f64; 3], f64)> = fences.iter().map(Fence::ball).collect();
    let (mut inside, mut unclear) = (0, 0);
    for (number, at) in points.iter().enumerate() {
        index.containing(*at, &mut found);
        found.sort_unstable();
        let mut together = hits.of(number).to_vec();
        together.sort_unstable();
        assert_eq!(found, together);
        for ((id, fence), (center, reach_m)) in (0_u32..).zip(&fences).zip(&circles) {
            // Most are far off, and their oracles are slow.
            let squared: f64 = on_sphere(*at).iter().zip(center).map(|(a, b)| (a - b).powi(2)).sum();
            if squared.sqrt() > reach_m * 1.02 + 50.0 {
                assert!(!found.contains(&id), "{id} {at:?}");
                continue;
            }
            match fence.contains(*at) {
                Some(expected) => {
                    assert_eq!(found.contains(&id), expected, "{id} {at:?}");
                    inside += usize::from(expected);
                }
                None => unclear += 1,
            }
        }
    }
    println!(
        "{} queries, {inside} times inside, {unclear} times unclear",
        points.len()
    );
    assert!(inside > points.len() / 10, "{inside}");
    assert!(unclear <= points.len() / 100, "{unclear}");
}

/// Good to half a percent, which is enough to tell what is far.
fn on_sphere(at: Position) -> [f64; 3] {
    let (sin_lat, cos_lat) = at.latitude.to_radians().sin_cos();
    let (sin_lon, cos_lon) = at.longitude.to_radians().sin_cos();
    [cos_lat * cos_lon, cos_lat * sin_lon, sin_lat].map(|share| share * 6_378_137.0)
}

#[test]
fn in_a_city() {
    prove(Position::new(47.37, 8.54).unwrap(), 8_000.0, 1);
}

#[test]
fn at_the_antimeridian() {
    prove(Position::new(-17.0, 179.999).unwrap(), 8_000.0, 2);
}

#[test]
fn at_the_north_pole() {
    prove(Position::new(89.99, 12.0).unwrap(), 30_000.0, 3);
}

#[test]
fn at_the_south_pole() {
    prove(Position::new(-89.99, -120.0).unwrap(), 30_000.0, 4);
}

#[test]
fn close_to_boundaries() {
    prove(Position::new(1.3, 103.8).unwrap(), 2_000.0, 5);
}
