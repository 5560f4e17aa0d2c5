//! Which places the beacons that a phone hears speak for.
//!
//! Every beacon that a place names, and that is not weaker than the place's floor, is a vote for it, worth its amplitude:
//! 6 dB stronger counts twice. Of places that name the same beacon, or the same wildcard, only the one with most votes is
//! where the phone is. So a shop is told from its neighbour that shares an identity with it, a mall is entered together
//! with the shop that has a beacon of its own in it, and several beacons of one place speak together. Votes that are
//! equal go to the place that the position is deepest in or nearest to, then to the first by name.

use std::collections::{BTreeMap, BTreeSet};

use super::Places;
use crate::{
    domain::{
        beacon::{BeaconPattern, BeaconSighting},
        checkin::BEACONS_MAX,
        presence::VISITS_MAX,
    },
    geo::Position,
};

/// What a beacon counts for whose strength the phone doesn't tell.
const UNKNOWN_RSSI_DBM: i32 = -100;

/// One bit a sighting.
type Heard = u128;
const _: () = assert!(BEACONS_MAX <= Heard::BITS as usize);

/// The places that win, in ascending order.
pub(super) fn vote(places: &Places, sightings: &[BeaconSighting], at: Option<Position>) -> Vec<u32> {
    let sightings = &sightings[..sightings.len().min(BEACONS_MAX)];
    let mut by_pattern: BTreeMap<BeaconPattern, Heard> = BTreeMap::new();
    for (number, sighting) in sightings.iter().enumerate() {
        for pattern in sighting.id.patterns() {
            *by_pattern.entry(pattern).or_default() |= 1 << number;
        }
    }
    let mut candidates: Vec<Vec<u32>> = Vec::new();
    let mut votes: BTreeMap<u32, Heard> = BTreeMap::new();
    for (pattern, heard) in by_pattern {
        let mut rivals = Vec::new();
        for place in places.with_beacon(pattern).take(VISITS_MAX) {
            let counted = loud_enough(places, place, sightings, heard);
            if counted != 0 {
                *votes.entry(place).or_default() |= counted;
                rivals.push(place);
            }
        }
        candidates.push(rivals);
    }
    let weight = |place: u32| amplitude(sightings, votes.get(&place).copied().unwrap_or_default());
    let winners: BTreeSet<u32> = candidates
        .into_iter()
        .filter_map(|rivals| strongest(places, rivals, weight, at))
        .collect();
    winners.into_iter().collect()
}

/// Those of the sightings that reach the place's floor.
fn loud_enough(places: &Places, place: u32, sightings: &[BeaconSighting], heard: Heard) -> Heard {
    let own = places.get(place).presence.as_ref();
    let Some(floor) = own.and_then(|own| own.beacon_rssi_min_dbm) else {
        return heard;
    };
    let is_loud = |sighting: &BeaconSighting| sighting.rssi_dbm.is_none_or(|rssi| rssi >= i32::from(floor));
    (0..).zip(sightings).fold(heard, |heard, (number, sighting)| {
        if is_loud(sighting) {
            heard
        } else {
            heard & !(1 << number)
        }
    })
}

fn amplitude(sightings: &[BeaconSighting], heard: Heard) -> f64 {
    let counted = (0..).zip(sightings).filter(|(number, _)| heard >> number & 1 == 1);
    counted
        .map(|(_, sighting): (u32, _)| {
            let rssi = sighting.rssi_dbm.unwrap_or(UNKNOWN_RSSI_DBM).clamp(-127, 20);
            10_f64.powf(f64::from(rssi) / 20.0)
        })
        .sum()
}

fn strongest(places: &Places, rivals: Vec<u32>, weight: impl Fn(u32) -> f64, at: Option<Position>) -> Option<u32> {
    if rivals.len() <= 1 {
        return rivals.into_iter().next();
    }
    let weights: Vec<f64> = rivals.iter().map(|place| weight(*place)).collect();
    let most = weights.iter().copied().fold(0.0, f64::max);
    let tied = rivals.into_iter().zip(weights).filter(|(_, weight)| *weight >= most);
    let nearness = |place: u32| at.map_or(0.0, |at| places.get(place).shape.signed_distance_m(at));
    tied.map(|(place, _)| (place, nearness(place)))
        .max_by(|(a, a_inside_m), (b, b_inside_m)| {
            let by_name = || places.get(*b).id.cmp(&places.get(*a).id);
            a_inside_m.total_cmp(b_inside_m).then_with(by_name)
        })
        .map(|(place, _)| place)
}
