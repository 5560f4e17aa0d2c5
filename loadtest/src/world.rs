//! The seeded world: cities full of geofences, and phones that walk in them.

use std::fmt::Write as _;

use crate::random::Random;

/// Geofences of one city.
const CITY_FENCES: usize = 500;
/// Geofences of one uploaded set, so that a file stays below the server's limit.
const SET_FENCES: usize = 200_000;
/// Degrees of latitude a metre.
const DEGREES_A_METRE: f64 = 1.0 / 111_320.0;

/// A circle.
#[derive(Clone, Copy)]
pub(crate) struct Fence {
    latitude: f64,
    longitude: f64,
    radius_m: f64,
}

/// Geofences and where phones start.
pub(crate) struct World {
    fences: Vec<Fence>,
}

impl World {
    /// `count` circles of 30 to 500 m in cities of 500, each city some 25 km wide.
    pub(crate) fn new(count: usize, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut fences = Vec::with_capacity(count);
        while fences.len() < count {
            let (latitude, longitude) = (random.fraction() * 100.0 - 45.0, random.fraction() * 340.0 - 170.0);
            for _ in 0..CITY_FENCES.min(count - fences.len()) {
                fences.push(Fence {
                    latitude: latitude + random.fraction() * 0.25,
                    longitude: longitude + random.fraction() * 0.25,
                    radius_m: 30.0 + (random.fraction() * 471.0).floor(),
                });
            }
        }
        Self { fences }
    }

    /// The geofences as GeoJSON files, by set name.
    pub(crate) fn files(&self) -> Vec<(String, String)> {
        let file = |(set, fences): (usize, &[Fence])| {
            let mut text = String::from("{\"type\":\"FeatureCollection\",\"features\":[");
            for (index, fence) in fences.iter().enumerate() {
                let comma = if index == 0 { "" } else { "," };
                let Fence {
                    latitude,
                    longitude,
                    radius_m,
                } = fence;
                write!(
                    text,
                    "{comma}{{\"type\":\"Feature\",\"properties\":{{\"tag\":\"shop\",\"externalId\":\"{set}-{index}\",\
                     \"radius\":{radius_m}}},\"geometry\":{{\"type\":\"Point\",\"coordinates\":[{longitude:.6},\
                     {latitude:.6}]}}}}"
                )
                .unwrap_or_default();
            }
            text.push_str("]}");
            (format!("load-{set}"), text)
        };
        self.fences.chunks(SET_FENCES).enumerate().map(file).collect()
    }

    /// Where a phone's check-in of that number is. A walker moves some metres each time, between the geofences; one in
    /// `1 / entering` of its check-ins is in the middle of one. A pure function of its arguments.
    pub(crate) fn position(&self, seed: u64, phone: usize, number: u64, entering: f64) -> (f64, f64) {
        let mut home = Random::new(seed ^ (phone as u64).wrapping_mul(0x5851_f42d_4c95_7f2d));
        let fence = self.fences[home.below(self.fences.len())];
        let mut step = Random::new(home.next() ^ number.wrapping_mul(0x2545_f491_4f6c_dd1d));
        if step.fraction() < entering {
            return (fence.latitude, fence.longitude);
        }
        // South of the city, along a street: 20 m further each time, and back again.
        let along = (number % 200).abs_diff(100) as f64 * 20.0 * DEGREES_A_METRE;
        let south = (2_000.0 + step.fraction() * 5.0) * DEGREES_A_METRE;
        (fence.latitude - 0.26 - south, fence.longitude + along)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_world_is_the_same_for_the_same_seed_and_walks_are_mostly_outside() {
        let (one, other) = (World::new(1_000, 7), World::new(1_000, 7));
        assert_eq!(one.files(), other.files());
        let mut inside = 0;
        for number in 0..10_000u64 {
            let at = one.position(7, (number % 50) as usize, number, 0.02);
            assert_eq!(at, other.position(7, (number % 50) as usize, number, 0.02));
            inside += usize::from(one.fences.iter().any(|fence| (fence.latitude, fence.longitude) == at));
        }
        assert!((100..400).contains(&inside), "{inside}");
    }
}
