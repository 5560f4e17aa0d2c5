//! Lays a ring out on a plane of longitude and latitude without jumps.
//!
//! Two consecutive vertices more than 180 degrees apart are neighbours across the antimeridian, so the second is moved
//! by 360 degrees. What then fails to meet its own start goes round a pole. Rings that were drawn for a flat map
//! (`-180` to `180` in one edge) are told apart by what the reading makes of them: a reading without area is none.

use super::shape::RingProblem;

/// Longitude and latitude in degrees.
pub(super) type Vertex = [f64; 2];

/// The pole that a ring encloses by going round it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pole {
    North,
    South,
}

/// How a ring lies on the plane.
#[derive(Debug, PartialEq)]
pub(super) struct Unwrapped {
    /// By how many turns of 360 degrees each vertex is moved; `None` when all stay where they are.
    pub(super) turns: Option<Vec<i32>>,
    /// The pole that it goes round.
    pub(super) around: Option<Pole>,
}

/// Most degrees of longitude that an unwrapped ring may span; more would be a spiral.
const SPAN_DEGREES_MAX: f64 = 720.0;

/// Degrees of longitude are cut to multiples of this (12 nm on the ground), so that adding 360 never rounds.
const GRID: f64 = 1.0 / (1_u64 << 43) as f64;

/// The nearest longitude to which 360 can be added without rounding.
fn snap(longitude: f64) -> f64 {
    (longitude / GRID).round() * GRID
}

/// Unwraps a closed ring of at least four vertices with finite coordinates within some turns of the Earth.
pub(super) fn unwrap(ring: &[Vertex]) -> Result<Unwrapped, RingProblem> {
    let shortest = Reading::of(ring, |_, _| false)?;
    if shortest.is_polygon(ring) {
        return shortest.lay(ring, None);
    }
    let along_pole = Reading::of(ring, is_along_pole)?;
    if along_pole.is_polygon(ring) {
        return along_pole.lay(ring, None);
    }
    let spans_world = ring.windows(2).any(|edge| is_whole_turn(edge[0], edge[1]));
    if shortest.turns_net == 0 {
        let as_written = Reading::of(ring, |a, b| is_along_pole(a, b) || is_whole_turn(a, b))?;
        return if spans_world && as_written.is_polygon(ring) {
            as_written.lay(ring, None)
        } else {
            Err(RingProblem::WithoutArea)
        };
    }
    if shortest.turns_net.abs() != 1 || spans_world {
        return Err(RingProblem::PoleAmbiguous);
    }
    let pole = if ring.iter().all(|vertex| vertex[1] > 0.0) {
        Pole::North
    } else if ring.iter().all(|vertex| vertex[1] < 0.0) {
        Pole::South
    } else {
        return Err(RingProblem::PoleAmbiguous);
    };
    shortest.lay(ring, Some(pole))
}

fn is_along_pole(a: Vertex, b: Vertex) -> bool {
    a[1].abs() == 90.0 && a[1] == b[1]
}

fn is_whole_turn(a: Vertex, b: Vertex) -> bool {
    (a[0] - b[0]).abs() == 360.0
}

/// One way to read the jumps of a ring: by how many turns each vertex is moved.
struct Reading {
    turns: Vec<i32>,
    /// Turns from the first vertex to the last, which is the same place.
    turns_net: i32,
}

impl Reading {
    /// Takes every jump over 180 degrees the short way round, except where `as_written` says to leave it.
    fn of(ring: &[Vertex], as_written: impl Fn(Vertex, Vertex) -> bool) -> Result<Self, RingProblem> {
        let mut turns = Vec::with_capacity(ring.len());
        let mut turn = 0_i32;
        turns.push(turn);
        for (index, edge) in ring.windows(2).enumerate() {
            let (a, b) = (edge[0], edge[1]);
            let jump = b[0] - a[0];
            if jump.abs() > 180.0 && !as_written(a, b) {
                let whole = (jump / 360.0).round();
                if (jump - 360.0 * whole).abs() == 180.0 {
                    return Err(RingProblem::JumpAmbiguous { vertex: index + 1 });
                }
                turn -= whole as i32;
            }
            turns.push(turn);
        }
        let ends_apart = ring[ring.len() - 1][0] - ring[0][0];
        Ok(Self {
            turns,
            turns_net: turn + (ends_apart / 360.0).round() as i32,
        })
    }

    fn place(&self, ring: &[Vertex], index: usize) -> Vertex {
        let [longitude, latitude] = ring[index];
        match self.turns[index] {
            0 => [longitude, latitude],
            turn => [snap(longitude) + 360.0 * f64::from(turn), latitude],
        }
    }

    /// Whether the ring ends where it began and isn't all on one line.
    fn is_polygon(&self, ring: &[Vertex]) -> bool {
        if self.turns_net != 0 {
            return false;
        }
        let start = self.place(ring, 0);
        let places = || (1..ring.len()).map(|index| self.place(ring, index));
        let away = |vertex: &Vertex| (vertex[0] - start[0]).abs().max((vertex[1] - start[1]).abs());
        let Some(farthest) = places().max_by(|a, b| away(a).total_cmp(&away(b))) else {
            return false;
        };
        places().any(|vertex| orient(start, farthest, vertex) != 0.0)
    }

    fn lay(self, ring: &[Vertex], around: Option<Pole>) -> Result<Unwrapped, RingProblem> {
        if around.is_none() && self.turns.iter().all(|turn| *turn == 0) {
            return Ok(Unwrapped { turns: None, around });
        }
        let longitudes = || (0..ring.len()).map(|index| self.place(ring, index)[0]);
        let west = longitudes().fold(f64::INFINITY, f64::min);
        let east = longitudes().fold(f64::NEG_INFINITY, f64::max);
        if east - west > SPAN_DEGREES_MAX {
            return Err(RingProblem::PoleAmbiguous);
        }
        Ok(Unwrapped {
            turns: Some(self.turns),
            around,
        })
    }
}

/// Positive when `c` lies left of the line from `a` to `b`, zero when on it: exact.
pub(super) fn orient(a: Vertex, b: Vertex, c: Vertex) -> f64 {
    let [a, b, c] = [a, b, c].map(|[x, y]| robust::Coord { x, y });
    robust::orient2d(a, b, c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn longitudes(ring: &[Vertex]) -> Vec<f64> {
        let turns = unwrap(ring).unwrap().turns.unwrap_or_else(|| vec![0; ring.len()]);
        ring.iter()
            .zip(turns)
            .map(|(vertex, turn)| vertex[0] + 360.0 * f64::from(turn))
            .collect()
    }

    #[test]
    fn a_jump_crosses_the_antimeridian() {
        let ring = [[170.0, 0.0], [-170.0, 0.0], [-170.0, 9.0], [170.0, 9.0], [170.0, 0.0]];
        assert_eq!(longitudes(&ring), [170.0, 190.0, 190.0, 170.0, 170.0]);
    }

    #[test]
    fn a_vertex_written_on_both_sides_of_the_antimeridian_is_one_place() {
        let ring = [
            [170.0, 10.0],
            [180.0, 10.0],
            [-180.0, 10.0],
            [-170.0, 10.0],
            [-170.0, 20.0],
            [-180.0, 20.0],
            [180.0, 20.0],
            [170.0, 20.0],
            [170.0, 10.0],
        ];
        assert_eq!(
            longitudes(&ring),
            [170.0, 180.0, 180.0, 190.0, 190.0, 180.0, 180.0, 170.0, 170.0]
        );
    }

    #[test]
    fn bands_round_the_earth_stay_as_written() {
        let band = |south, north| {
            [
                [-180.0, south],
                [180.0, south],
                [180.0, north],
                [-180.0, north],
                [-180.0, south],
            ]
        };
        for (south, north) in [(-90.0, 90.0), (10.0, 20.0), (-90.0, -60.0), (60.0, 90.0)] {
            assert_eq!(longitudes(&band(south, north)), [-180.0, 180.0, 180.0, -180.0, -180.0]);
        }
    }

    #[test]
    fn the_pole_is_the_one_of_the_hemisphere() {
        let round = |latitude| [[0.0, latitude], [120.0, latitude], [-120.0, latitude], [0.0, latitude]];
        assert_eq!(unwrap(&round(80.0)).unwrap().around, Some(Pole::North));
        assert_eq!(unwrap(&round(-80.0)).unwrap().around, Some(Pole::South));
        assert_eq!(unwrap(&round(0.0)), Err(RingProblem::PoleAmbiguous));
        let tilted = [[0.0, 10.0], [120.0, -10.0], [-120.0, 10.0], [0.0, 10.0]];
        assert_eq!(unwrap(&tilted), Err(RingProblem::PoleAmbiguous));
    }

    #[test]
    fn what_could_be_two_things_is_refused() {
        let wiggly = [
            [-180.0, 70.0],
            [-180.0, 80.0],
            [180.0, 80.0],
            [180.0, 70.0],
            [0.0, 75.0],
            [-180.0, 70.0],
        ];
        assert_eq!(unwrap(&wiggly), Err(RingProblem::PoleAmbiguous));
        let far = [[-270.0, 0.0], [270.0, 0.0], [270.0, 9.0], [-270.0, 0.0]];
        assert_eq!(unwrap(&far), Err(RingProblem::JumpAmbiguous { vertex: 1 }));
        let line = [[0.0, 0.0], [1.0, 1.0], [2.0, 2.0], [0.0, 0.0]];
        assert_eq!(unwrap(&line), Err(RingProblem::WithoutArea));
    }
}
