//! Latitude and longitude swapped, judged by the other places of the file.

use std::collections::HashMap;

use crate::geo::Position;

/// Width of the squares that places are counted in, in degrees.
const SQUARE_DEGREES: f64 = 1.0;

/// A place nearer than this to where it would be when swapped can't be told, in squares.
const SQUARES_APART_MIN: i32 = 5;

/// At the swapped place there must be at least so many others,
const NEIGHBOURS_MIN: usize = 3;

/// and this share of all: one in twenty within three squares by three. No set of the whole world is so dense anywhere
/// that a lonely island is taken for a swapped place by chance.
const NEIGHBOURS_SHARE: usize = 20;

/// And so many times as many as where the place is.
const NEIGHBOURS_TIMES: usize = 3;

type Square = (i32, i32);

fn square(latitude: f64, longitude: f64) -> Square {
    let of = |degrees: f64| (degrees / SQUARE_DEGREES).floor() as i32;
    (of(latitude), of(longitude))
}

/// Which of the places lie far from the others, and among them with their two numbers swapped.
pub(super) fn swapped(places: &[Position]) -> Vec<usize> {
    let mut counts: HashMap<Square, usize> = HashMap::new();
    for place in places {
        *counts.entry(square(place.latitude, place.longitude)).or_default() += 1;
    }
    let around = |(row, column): Square| -> usize {
        let squares = (row - 1..=row + 1).flat_map(|row| (column - 1..=column + 1).map(move |column| (row, column)));
        squares.filter_map(|square| counts.get(&square)).sum()
    };
    // Most files have few squares: each is looked at once.
    let is_suspect = |here: Square, there: Square| {
        let is_apart = (here.0 - there.0).abs().max((here.1 - there.1).abs()) >= SQUARES_APART_MIN;
        let is_crowded = |count: usize| count >= NEIGHBOURS_MIN && count * NEIGHBOURS_SHARE >= places.len();
        is_apart && is_crowded(around(there)) && around(there) >= NEIGHBOURS_TIMES * around(here)
    };
    let mut verdicts: HashMap<(Square, Square), bool> = HashMap::new();
    places
        .iter()
        .enumerate()
        .filter(|(_, place)| {
            let here = square(place.latitude, place.longitude);
            let there = square(place.longitude, place.latitude);
            *verdicts.entry((here, there)).or_insert_with(|| is_suspect(here, there))
        })
        .map(|(index, _)| index)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(latitude: f64, longitude: f64) -> Position {
        Position::new(latitude, longitude).unwrap()
    }

    #[test]
    fn a_place_is_judged_by_its_neighbours() {
        let zurich = |number: u8| at(47.3 + f64::from(number) / 100.0, 8.5);
        let mut places: Vec<Position> = (0..20).map(zurich).collect();
        assert!(swapped(&places).is_empty());
        places.extend([at(8.5, 47.3), at(8.6, 47.4), at(60.2, 24.9), at(-47.3, -8.5)]);
        assert_eq!(swapped(&places), [20, 21]);
        // A second branch as large as the first is no mistake.
        places.extend((0..20).map(|number| at(8.5, 47.3 + f64::from(number) / 100.0)));
        assert!(swapped(&places).is_empty());
    }

    #[test]
    fn few_places_prove_nothing() {
        assert!(swapped(&[at(47.3, 8.5), at(47.4, 8.6), at(8.5, 47.3)]).is_empty());
        assert_eq!(
            swapped(&[at(47.3, 8.5), at(47.4, 8.6), at(8.5, 47.3), at(47.3, 8.6)]),
            [2]
        );
        assert!(swapped(&[]).is_empty());
    }
}
