//! Geofences against each other, at the end: duplicates, overlaps and swapped places. In bounded memory: what is longer
//! than the limits isn't compared, and that is told.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use super::{
    Tallies,
    overlap::{Overlaps, overlaps},
    swapped::swapped,
};
use crate::{
    domain::ids::Tag,
    files::{Finding, FindingCode, Severity, collect::Place},
    geo::{Position, Shape},
};

/// Most geofences that are compared.
const FENCES_MAX: usize = 1_000_000;

/// Most vertices of all their polygons.
const VERTICES_MAX: usize = 3_000_000;

/// What is kept of a geofence. Lines and features beyond 4 billion are beyond what is compared.
#[derive(Debug)]
pub(super) struct Fence {
    pub(super) shape: Shape,
    /// Stands for the tag.
    pub(super) tag: u32,
    /// 0: none.
    pub(super) line: u32,
    pub(super) feature: u32,
}

impl Fence {
    fn place(&self) -> Place {
        Place {
            line: Some(u64::from(self.line)).filter(|line| *line > 0),
            feature: Some(u64::from(self.feature)),
            pointer: None,
        }
    }

    /// For a finding at another one's place.
    fn name(&self) -> String {
        if self.line > 0 {
            format!("feature {} in line {}", self.feature, self.line)
        } else {
            format!("feature {}", self.feature)
        }
    }
}

/// The good geofences, as long as there aren't too many.
#[derive(Debug, Default)]
pub(super) struct Fences {
    list: Vec<Fence>,
    tags: HashMap<Tag, u32>,
    vertices: usize,
    is_beyond: bool,
}

impl Fences {
    pub(super) fn add(&mut self, place: &Place, tag: &Tag, shape: &Shape) {
        if self.is_beyond {
            return;
        }
        self.vertices += shape.vertices();
        if self.list.len() == FENCES_MAX || self.vertices > VERTICES_MAX {
            *self = Self {
                is_beyond: true,
                ..Self::default()
            };
            return;
        }
        let tag = if let Some(number) = self.tags.get(tag) {
            *number
        } else {
            let number = self.tags.len() as u32;
            self.tags.insert(tag.clone(), number);
            number
        };
        let number = |value: Option<u64>| value.and_then(|value| u32::try_from(value).ok()).unwrap_or_default();
        self.list.push(Fence {
            shape: shape.clone(),
            tag,
            line: number(place.line),
            feature: number(place.feature),
        });
    }

    pub(super) fn compare(mut self, tallies: &mut Tallies) {
        if self.is_beyond {
            tallies.add(FindingCode::ChecksSkipped, &Place::default(), || {
                Finding::new(
                    Severity::Note,
                    FindingCode::ChecksSkipped,
                    format!(
                        "the file has more than {FENCES_MAX} geofences or {VERTICES_MAX} corners; they were not compared \
                         with each other for duplicates, overlaps and swapped coordinates"
                    ),
                    "split the file into several sets to have them compared",
                )
            });
            return;
        }
        self.tell_swapped(tallies);
        self.drop_duplicates(tallies);
        self.tell_overlaps(tallies);
    }

    fn tell_swapped(&self, tallies: &mut Tallies) {
        let places: Vec<Position> = self.list.iter().map(|fence| middle(&fence.shape)).collect();
        for index in swapped(&places) {
            let Position { latitude, longitude } = places[index];
            tallies.add(FindingCode::CoordinatesSwapped, &self.list[index].place(), || {
                Finding::new(
                    Severity::Warning,
                    FindingCode::CoordinatesSwapped,
                    format!(
                        "latitude {latitude:.4}, longitude {longitude:.4} lies far from the other places, and would lie \
                         among them with the two swapped"
                    ),
                    "swap them; GeoJSON has [longitude, latitude]",
                )
            });
        }
    }

    /// Tells what has the shape and tag of an earlier one, and takes it out: it overlaps, of course.
    fn drop_duplicates(&mut self, tallies: &mut Tallies) {
        let mut prints: Vec<(u64, usize)> = (0..)
            .zip(&self.list)
            .map(|(index, fence)| (print(fence), index))
            .collect();
        prints.sort_unstable();
        let mut later: Vec<(usize, usize)> = Vec::new();
        for run in prints.chunk_by(|a, b| a.0 == b.0) {
            let first = run[0].1;
            let is_same = |index: usize| {
                let (a, b) = (&self.list[first], &self.list[index]);
                a.tag == b.tag && a.shape == b.shape
            };
            later.extend(
                run[1..]
                    .iter()
                    .map(|(_, index)| (*index, first))
                    .filter(|(index, _)| is_same(*index)),
            );
        }
        later.sort_unstable();
        for (index, first) in &later {
            tallies.add(FindingCode::DuplicateGeometry, &self.list[*index].place(), || {
                Finding::new(
                    Severity::Warning,
                    FindingCode::DuplicateGeometry,
                    format!(
                        "this is where {} is, with the same shape and tag",
                        self.list[*first].name()
                    ),
                    "leave one of them out: a customer there would be in both",
                )
            });
        }
        let mut later = later.into_iter().map(|(index, _)| index).peekable();
        let mut index = 0;
        self.list.retain(|_| {
            let is_later = later.next_if_eq(&index).is_some();
            index += 1;
            !is_later
        });
    }

    fn tell_overlaps(&self, tallies: &mut Tallies) {
        let Overlaps { first, count, is_all } = overlaps(&self.list);
        if let Some((one, other)) = first {
            let (one, other) = (&self.list[one], &self.list[other]);
            tallies.add_all(FindingCode::Overlap, &one.place(), count, || {
                Finding::new(
                    Severity::Warning,
                    FindingCode::Overlap,
                    format!("this overlaps {}, which has the same tag", other.name()),
                    "nothing to do, if that is meant: a customer may be in both, and a campaign for the tag sees two entries",
                )
            });
        }
        if !is_all {
            tallies.add(FindingCode::ChecksSkipped, &Place::default(), || {
                Finding::new(
                    Severity::Note,
                    FindingCode::ChecksSkipped,
                    "the geofences lie so close together that not all of them were compared for overlaps",
                    "give kinds of places tags of their own: only geofences of one tag are compared",
                )
            });
        }
    }
}

/// Where a shape is, roughly.
fn middle(shape: &Shape) -> Position {
    match shape {
        Shape::Circle { center, .. } => *center,
        Shape::Polygons(_) => shape.enclosing_circle().0,
    }
}

/// The same for the same shape and tag.
fn print(fence: &Fence) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut write = |value: &f64| hasher.write_u64((value + 0.0).to_bits());
    match &fence.shape {
        Shape::Circle { center, radius_m } => [center.latitude, center.longitude, *radius_m].iter().for_each(write),
        Shape::Polygons(polygons) => {
            let vertices = polygons.coordinates().flatten().flatten();
            vertices.for_each(|vertex| vertex.iter().for_each(&mut write));
        }
    }
    fence.tag.hash(&mut hasher);
    hasher.finish()
}
