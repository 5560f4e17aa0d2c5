//! Cuts polygons at the antimeridian (RFC 7946 section 3.1.9) and closes rings that go round a pole through the pole.
//!
//! Rings are laid out without jumps and broken at each crossing of the antimeridian into chains. A chain runs through one
//! strip of 360 degrees, from border to border. Whatever the rings look like, each border is met an even number of
//! times, and it is inside between the first and the second meeting, the third and the fourth, and so on (that is
//! where a line that moves along it would enter and leave). Joining the meetings in these pairs makes closed rings which
//! enclose what the rings did, holes included that lie across the antimeridian.

use super::{
    polygons::{Side, area_doubled, crossings},
    shape::RingProblem,
    unwrap::{Pole, Unwrapped, Vertex, orient, unwrap},
};

/// What was done to polygons so that no edge crosses the antimeridian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// They cross the antimeridian and were cut in pieces there.
    CrossesAntimeridian,
    /// A ring goes round a pole; it was closed through the pole.
    EnclosesPole,
}

/// A polygon's rings, the outer one first.
type Polygon = Vec<Vec<Vertex>>;

/// A polygon within -180 to 180, and whether that took a cut. An error names its ring.
pub(super) fn flatten(rings: Polygon) -> Result<(Vec<Polygon>, Option<Cut>), (usize, RingProblem)> {
    let mut layouts = Vec::with_capacity(rings.len());
    for (number, ring) in rings.iter().enumerate() {
        layouts.push(unwrap(ring).map_err(|problem| (number, problem))?);
    }
    let is_flat = |(ring, layout): (&Vec<Vertex>, &Unwrapped)| {
        layout.turns.is_none() && ring.iter().all(|vertex| vertex[0].abs() <= 180.0)
    };
    if rings.iter().zip(&layouts).all(is_flat) {
        return Ok((vec![rings], None));
    }
    let encloses_pole = layouts.iter().any(|layout| layout.around.is_some());
    let paths: Vec<Vec<Place>> = rings
        .iter()
        .zip(layouts)
        .map(|(ring, layout)| path(ring, layout))
        .collect();
    if !encloses_pole && let Some(moved) = paths.iter().map(|path| in_one_strip(path)).collect() {
        return Ok((vec![moved], None));
    }
    let cut = if encloses_pole {
        Cut::EnclosesPole
    } else {
        Cut::CrossesAntimeridian
    };
    let pieces = pieces(&paths);
    if pieces.is_empty() {
        return Err((0, RingProblem::WithoutArea));
    }
    Ok((pieces, Some(cut)))
}

/// A vertex on the plane: its longitude as written and the turns that it was moved by.
#[derive(Debug, Clone, Copy)]
struct Place {
    vertex: Vertex,
    turns: i32,
}

impl Place {
    /// The longitude on the plane.
    fn u(self) -> f64 {
        self.vertex[0] + 360.0 * f64::from(self.turns)
    }

    /// The number k of the border at 180 + 360 k degrees that it lies on.
    fn border(self) -> Option<i32> {
        let turns = (self.u() - 180.0) / 360.0;
        (turns.fract() == 0.0).then_some(turns as i32)
    }

    /// The strip k, from 360 k - 180 to 360 k + 180 degrees, that it lies in.
    fn strip(self) -> i32 {
        ((self.u() + 180.0) / 360.0).floor() as i32
    }

    /// Brought back from that strip. What lies within -180 to 180 as written stays as it is, to the bit.
    fn in_strip(self, strip: i32) -> Vertex {
        let [longitude, latitude] = self.vertex;
        let longitude = match self.turns - strip {
            0 => longitude,
            turns => longitude + 360.0 * f64::from(turns),
        };
        [longitude.clamp(-180.0, 180.0), latitude]
    }

    fn on_border(border: i32, latitude: f64) -> Self {
        Self {
            vertex: [180.0, latitude],
            turns: border,
        }
    }
}

/// The ring without jumps, closed; through the pole if it goes round one.
fn path(ring: &[Vertex], layout: Unwrapped) -> Vec<Place> {
    let turns = layout.turns.unwrap_or_else(|| vec![0; ring.len()]);
    let places: Vec<Place> = ring
        .iter()
        .zip(turns)
        .map(|(vertex, turns)| Place { vertex: *vertex, turns })
        .collect();
    match layout.around {
        Some(pole) => through_pole(&places, pole),
        None => places,
    }
}

/// Begins at the crossing of the antimeridian that is nearest to the pole, goes once round, and back through the pole.
fn through_pole(places: &[Place], pole: Pole) -> Vec<Place> {
    let round = ((places[places.len() - 1].u() - places[0].u()) / 360.0).round() as i32;
    let crossed = with_crossings(places);
    let nearest = (0..crossed.len() - 1)
        .filter(|index| crossed[*index].border().is_some())
        .max_by(|a, b| {
            let [a, b] = [*a, *b].map(|index| crossed[index].vertex[1]);
            match pole {
                Pole::North => a.total_cmp(&b),
                Pole::South => b.total_cmp(&a),
            }
        });
    let start = nearest.unwrap_or(0);
    let later = |place: &Place| Place {
        turns: place.turns + round,
        ..*place
    };
    let mut path: Vec<Place> = crossed[start..crossed.len() - 1].to_vec();
    path.extend(crossed[..=start].iter().map(later));
    let latitude = match pole {
        Pole::North => 90.0,
        Pole::South => -90.0,
    };
    let first = path[0];
    let at_pole = |place: &Place| Place {
        vertex: [place.vertex[0], latitude],
        ..*place
    };
    path.extend([at_pole(&later(&first)), at_pole(&first), first]);
    path
}

/// The path with a vertex more wherever an edge crosses the antimeridian.
fn with_crossings(path: &[Place]) -> Vec<Place> {
    let mut crossed = Vec::with_capacity(path.len() + 8);
    for edge in path.windows(2) {
        let (a, b) = (edge[0], edge[1]);
        crossed.push(a);
        let (from, to) = (a.u().min(b.u()), a.u().max(b.u()));
        let first = ((from - 180.0) / 360.0).floor() as i32;
        let last = ((to - 180.0) / 360.0).ceil() as i32;
        let mut borders: Vec<i32> = (first..=last)
            .filter(|border| {
                let at = 180.0 + 360.0 * f64::from(*border);
                from < at && at < to
            })
            .collect();
        if b.u() < a.u() {
            borders.reverse();
        }
        for border in borders {
            let share = (180.0 + 360.0 * f64::from(border) - a.u()) / (b.u() - a.u());
            let (y0, y1) = (a.vertex[1], b.vertex[1]);
            let latitude = (y0 + (y1 - y0) * share).clamp(y0.min(y1), y0.max(y1));
            crossed.push(Place::on_border(border, latitude));
        }
    }
    crossed.extend(path.last());
    crossed
}

/// The ring brought back into -180 to 180, if it lies between two borders.
fn in_one_strip(path: &[Place]) -> Option<Vec<Vertex>> {
    let strip = path.iter().find(|place| place.border().is_none())?.strip();
    let fits = |place: &Place| match place.border() {
        Some(border) => border == strip || border == strip - 1,
        None => place.strip() == strip,
    };
    path.iter()
        .all(fits)
        .then(|| path.iter().map(|place| place.in_strip(strip)).collect())
}

/// A part of a ring from border to border; only its ends lie on borders.
type Chain = Vec<Vertex>;

/// Breaks a path into chains. A ring that meets no border comes back whole.
fn chains(path: &[Place], chains: &mut Vec<Chain>) -> Option<Vec<Vertex>> {
    let mut crossed = with_crossings(path);
    let Some(first) = crossed.iter().position(|place| place.border().is_some()) else {
        return in_one_strip(path);
    };
    crossed.pop();
    crossed.rotate_left(first);
    crossed.push(crossed[0]);
    let mut start = 0;
    for end in 1..crossed.len() {
        let Some(border) = crossed[end].border() else {
            continue;
        };
        let part = &crossed[start..=end];
        start = end;
        let strip = match part {
            [_, inner, _, ..] => inner.strip(),
            [from, _] if from.border() != Some(border) => from.border().map_or(border, |other| other.max(border)),
            _ => continue,
        };
        chains.push(part.iter().map(|place| place.in_strip(strip)).collect());
    }
    None
}

fn pieces(paths: &[Vec<Place>]) -> Vec<Polygon> {
    let Some((outer, holes)) = paths.split_first() else {
        return Vec::new();
    };
    let mut parts = Vec::new();
    let whole = chains(outer, &mut parts);
    let mut whole_holes: Vec<Vec<Vertex>> = holes.iter().filter_map(|hole| chains(hole, &mut parts)).collect();
    let outers = match whole {
        // Such a hole isn't in its polygon.
        Some(outer) => {
            whole_holes.extend(join(&parts));
            vec![outer]
        }
        None => join(&parts),
    };
    let mut pieces: Vec<Polygon> = outers.into_iter().map(|outer| vec![outer]).collect();
    let spans: Vec<[Vertex; 2]> = pieces.iter().map(|piece| span(&piece[0])).collect();
    for hole in whole_holes {
        let [from, to] = span(&hole);
        let may_hold = |[west_south, east_north]: &[Vertex; 2]| {
            (0..2).all(|axis| west_south[axis] <= from[axis] && to[axis] <= east_north[axis])
        };
        let home = pieces
            .iter()
            .zip(&spans)
            .position(|(piece, span)| may_hold(span) && holds(&piece[0], &hole))
            .unwrap_or(0);
        if let Some(piece) = pieces.get_mut(home) {
            piece.push(hole);
        }
    }
    pieces
}

/// The south-western and the north-eastern corner of the box round a ring.
fn span(ring: &[Vertex]) -> [Vertex; 2] {
    let nothing = [[f64::INFINITY; 2], [f64::NEG_INFINITY; 2]];
    ring.iter().fold(nothing, |[from, to], vertex| {
        [
            [from[0].min(vertex[0]), from[1].min(vertex[1])],
            [to[0].max(vertex[0]), to[1].max(vertex[1])],
        ]
    })
}

/// Whether the hole lies in the ring: told by its first vertex that isn't on the ring.
fn holds(ring: &[Vertex], hole: &[Vertex]) -> bool {
    hole.iter()
        .map(|vertex| crossings(ring, *vertex))
        .find(|side| *side != Side::Boundary)
        .is_none_or(|side| side == Side::Inside)
}

/// Joins chains along the borders into closed rings, without those that are flat.
fn join(chains: &[Chain]) -> Vec<Vec<Vertex>> {
    // The ends of chain `n` are 2 n and 2 n + 1.
    let end = |number: usize| {
        let chain = &chains[number / 2];
        chain[if number.is_multiple_of(2) { 0 } else { chain.len() - 1 }]
    };
    let mut partner = vec![usize::MAX; 2 * chains.len()];
    for longitude in [180.0, -180.0] {
        let mut ends: Vec<usize> = (0..partner.len())
            .filter(|number| end(*number)[0] == longitude)
            .collect();
        ends.sort_by(|a, b| end(*a)[1].total_cmp(&end(*b)[1]));
        for pair in ends.chunks_exact(2) {
            partner[pair[0]] = pair[1];
            partner[pair[1]] = pair[0];
        }
    }
    let mut is_used = vec![false; chains.len()];
    let mut rings = Vec::new();
    for first in 0..chains.len() {
        let mut ring: Vec<Vertex> = Vec::new();
        let mut entry = 2 * first;
        while let Some(false) = is_used.get(entry / 2) {
            is_used[entry / 2] = true;
            let chain = &chains[entry / 2];
            if entry.is_multiple_of(2) {
                ring.extend(chain);
            } else {
                ring.extend(chain.iter().rev());
            }
            entry = partner[entry ^ 1];
        }
        rings.extend(tidy(ring));
    }
    rings
}

/// Longest step in longitude that a cut ring makes, in degrees, so that no step can be taken for the other way round.
const STEP_DEGREES_MAX: f64 = 120.0;

/// Closes the ring; drops vertices that repeat or lead nowhere along a border; `None` for one without area.
fn tidy(ring: Vec<Vertex>) -> Option<Vec<Vertex>> {
    let mut tidy: Vec<Vertex> = Vec::with_capacity(ring.len() + 1);
    for vertex in ring {
        tidy.push(vertex);
        while let [.., a, b, c] = tidy[..] {
            if b == c || is_spike(a, b, c) {
                let last = tidy.len() - 2;
                tidy.remove(last);
            } else {
                break;
            }
        }
    }
    while tidy.len() > 1 && tidy.first() == tidy.last() {
        tidy.pop();
    }
    let first = *tidy.first()?;
    tidy.push(first);
    let away = |vertex: &Vertex| (vertex[0] - first[0]).abs().max((vertex[1] - first[1]).abs());
    let farthest = *tidy.iter().max_by(|a, b| away(a).total_cmp(&away(b)))?;
    let has_area = tidy.iter().any(|vertex| orient(first, farthest, *vertex) != 0.0);
    (has_area && area_doubled(&tidy) != 0.0).then(|| with_short_steps(&tidy))
}

/// Whether the way from `a` to `b` is gone back to `c`, along the antimeridian or a pole.
fn is_spike(a: Vertex, b: Vertex, c: Vertex) -> bool {
    let along = |axis: usize, border: f64| {
        a[axis].abs() == border
            && a[axis] == b[axis]
            && b[axis] == c[axis]
            && (b[1 - axis] - a[1 - axis]) * (c[1 - axis] - b[1 - axis]) <= 0.0
    };
    along(0, 180.0) || along(1, 90.0)
}

fn with_short_steps(ring: &[Vertex]) -> Vec<Vertex> {
    let mut stepped = Vec::with_capacity(ring.len());
    stepped.extend(ring.first());
    for edge in ring.windows(2) {
        let ([x0, y0], [x1, y1]) = (edge[0], edge[1]);
        if (x1 - x0).abs() > 180.0 {
            let steps = ((x1 - x0).abs() / STEP_DEGREES_MAX).ceil();
            for step in 1..steps as u32 {
                let share = f64::from(step) / steps;
                stepped.push([x0 + (x1 - x0) * share, y0 + (y1 - y0) * share]);
            }
        }
        stepped.push([x1, y1]);
    }
    stepped
}
