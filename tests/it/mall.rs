//! The shops that people pass in a real mall, by the beacons that their phones heard and by where they surely were.
//!
//! The walks are surveyed, so their positions are the truth. Nearly all beacons of this mall share one identity and differ
//! by their address only. So there are two registers: the identities as they are sent, and as if each beacon had one of
//! its own. `cargo test mall -- --nocapture` shows the figures.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::Arc,
};

use beckon::{
    domain::{
        beacon::{BeaconId, BeaconSighting},
        catalogue::Places,
        checkin::{BEACONS_MAX, CheckIn, Fix},
        geofence::{Geofence, PresenceOptions},
        ids::{CauseId, DeviceId, ExternalId, GeofenceId, Tag},
        presence::{Observation, PresenceRules, TransitionKind, Whereabouts},
        time::Timestamp,
    },
    geo::{Position, Shape},
};
use flate2::read::GzDecoder;
use serde_json::Value;
use uuid::Uuid;

use crate::harness::real_data;

const FLOORS: [&str; 5] = ["B1", "F1", "F2", "F3", "F4"];
/// A beacon stands for the shop that it hangs in, or at.
const BESIDE_M: f64 = 5.0;
/// What is heard within this belongs together.
const SCAN_MS: i64 = 2_000;
/// How good a position indoors is taken for.
const ACCURACY_M: f64 = 5.0;

/// Which identity a beacon has.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Register {
    AsSent,
    EachItsOwn,
}

impl Register {
    fn id(self, row: &BTreeMap<String, String>) -> BeaconId {
        match self {
            Self::AsSent => BeaconId::IBeacon {
                uuid: Uuid::parse_str(&row["uuid"]).expect("a UUID"),
                major: number(row, "major"),
                minor: number(row, "minor"),
            },
            Self::EachItsOwn => {
                let bytes = row["mac"]
                    .split(':')
                    .map(|byte| u8::from_str_radix(byte, 16).expect("a byte"));
                let instance = <[u8; 6]>::try_from(bytes.collect::<Vec<u8>>()).expect("an address");
                BeaconId::Eddystone {
                    namespace: [0; 10],
                    instance,
                }
            }
        }
    }
}

type Row = BTreeMap<String, String>;

fn rows(reader: impl std::io::Read) -> Vec<Row> {
    let mut reader = csv::Reader::from_reader(reader);
    reader.deserialize().map(|row| row.expect("a row")).collect()
}

fn number<T: std::str::FromStr>(row: &Row, column: &str) -> T {
    row[column].parse().ok().expect("a number")
}

fn position(row: &Row) -> Position {
    Position::new(number(row, "lat"), number(row, "lon")).expect("a position")
}

/// The shops of a floor, each with its beacons.
fn shops(data: &Path, floor: &str, register: Register, rssi_min_dbm: i16, beacons: &[Row]) -> Vec<Geofence> {
    let file = fs::read(data.join(format!("geofences/hangzhou_mall1_{floor}.geojson"))).expect("a floor");
    let file: Value = serde_json::from_slice(&file).expect("JSON");
    let features = file["features"].as_array().expect("features").iter();
    let mut shops: Vec<Geofence> = features
        .filter(|feature| feature["geometry"]["type"] == "Polygon")
        .filter_map(|feature| {
            let id = GeofenceId {
                tag: Tag::new("shop").ok()?,
                external_id: ExternalId::new(feature["properties"]["id"].as_str()?).ok()?,
            };
            let rings = serde_json::from_value(feature["geometry"]["coordinates"].clone()).ok()?;
            let presence = PresenceOptions {
                beacon_rssi_min_dbm: Some(rssi_min_dbm),
                ..PresenceOptions::default()
            };
            Some(Geofence {
                presence: presence.boxed(),
                ..Geofence::new(id, Shape::polygon(rings).ok()?)
            })
        })
        .collect();
    for beacon in beacons.iter().filter(|beacon| beacon["floor"] == floor) {
        let at = position(beacon);
        let inside_m = |shop: &Geofence| shop.shape.signed_distance_m(at);
        let nearest = shops.iter_mut().max_by(|a, b| inside_m(a).total_cmp(&inside_m(b)));
        if let Some(shop) = nearest.filter(|shop| shop.shape.signed_distance_m(at) >= -BESIDE_M) {
            let pattern = register.id(beacon).into();
            if !shop.beacons.contains(&pattern) {
                shop.beacons.push(pattern);
            }
        }
    }
    shops
}

/// One walk: where it went, and what was heard.
#[derive(Default)]
struct Walk {
    floor: String,
    way: BTreeMap<i64, Position>,
    heard: Vec<(i64, Row)>,
}

impl Walk {
    /// Where the walker was, straight between two surveyed points.
    fn at(&self, ms: i64) -> Option<Position> {
        let (before_ms, before) = self.way.range(..=ms).next_back()?;
        let Some((after_ms, after)) = self.way.range(ms..).next() else {
            return Some(*before);
        };
        let share = (ms - before_ms) as f64 / (after_ms - before_ms).max(1) as f64;
        Position::new(
            before.latitude + share * (after.latitude - before.latitude),
            before.longitude + share * (after.longitude - before.longitude),
        )
        .ok()
    }

    /// Check-ins with everything that there is, one for each scan.
    fn check_ins(&self, register: Register) -> Vec<CheckIn> {
        let mut scans: BTreeMap<i64, BTreeMap<BeaconId, i32>> = BTreeMap::new();
        for (ms, row) in &self.heard {
            let rssi: i32 = number(row, "rssi");
            let scan = scans.entry(ms / SCAN_MS * SCAN_MS + SCAN_MS).or_default();
            let strongest = scan.entry(register.id(row)).or_insert(rssi);
            *strongest = rssi.max(*strongest);
        }
        let check_in = |(ms, scan): (&i64, &BTreeMap<BeaconId, i32>)| CheckIn {
            id: CauseId::new(ms.to_string()).expect("an id"),
            device: DeviceId::new("walker").expect("an id"),
            at: Timestamp(*ms),
            location: self.at(*ms).map(|position| Fix {
                position,
                accuracy_m: Some(ACCURACY_M),
                floor: None,
            }),
            beacons: Some(
                scan.iter()
                    .take(BEACONS_MAX)
                    .map(|(id, rssi)| BeaconSighting {
                        id: *id,
                        rssi_dbm: Some(*rssi),
                    })
                    .collect(),
            ),
            code: None,
            regions: false,
        };
        scans.iter().map(check_in).collect()
    }
}

fn walks(data: &Path) -> Vec<Walk> {
    let mut walks: BTreeMap<String, Walk> = BTreeMap::new();
    let waypoints = fs::File::open(data.join("beacons/hangzhou_mall1_walk_waypoints.csv")).expect("the waypoints");
    for row in rows(waypoints) {
        let walk = walks.entry(row["trace"].clone()).or_default();
        walk.floor.clone_from(&row["floor"]);
        walk.way.insert(number(&row, "ts_ms"), position(&row));
    }
    let scans = fs::File::open(data.join("beacons/hangzhou_mall1_ibeacon_scans.csv.gz")).expect("the scans");
    for row in rows(GzDecoder::new(scans)) {
        let walk = walks.get_mut(&row["trace"]).expect("a walk");
        walk.heard.push((number(&row, "ts_ms"), row));
    }
    walks.into_values().collect()
}

/// The shops that a walk entered, and how far the walker was from each then, in metres.
fn entered(check_ins: &[CheckIn], places: &Places, walk: &Walk) -> BTreeMap<GeofenceId, f64> {
    let mut whereabouts = Whereabouts::default();
    let mut entered = BTreeMap::new();
    for check_in in check_ins {
        whereabouts.pass(check_in.at, check_in.at, places, |_| Vec::new(), PresenceRules::DEFAULT);
        let seen = Observation {
            check_in,
            matches: &places.matching(check_in),
            platform: None,
        };
        let (transitions, _) = whereabouts.observe(seen, places, PresenceRules::DEFAULT);
        for change in transitions
            .iter()
            .filter(|change| change.kind == TransitionKind::Entered)
        {
            let shop = places
                .find(&change.geofence)
                .map(|place| places.get(place))
                .expect("the shop");
            let at = walk.at(change.at.0).expect("a place");
            let beside_m = (-shop.shape.signed_distance_m(at)).max(0.0);
            entered.entry(change.geofence.clone()).or_insert(beside_m);
        }
    }
    entered
}

#[derive(Default)]
struct Figures {
    by_beacon: usize,
    by_position: usize,
    by_either: usize,
    agree: usize,
    /// At entries by beacon alone, and by both together.
    beside_m: [Vec<f64>; 2],
}

fn median(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}

fn share_within(sorted: &[f64], metres: f64) -> f64 {
    sorted.partition_point(|beside_m| *beside_m <= metres) as f64 / sorted.len() as f64
}

fn compare(data: &Path, register: Register, rssi_min_dbm: i16, walks: &[Walk]) -> Figures {
    let beacons = fs::File::open(data.join("beacons/hangzhou_mall1_beacons_estimated.csv")).expect("the beacons");
    let beacons = rows(beacons);
    let floors: BTreeMap<&str, Places> = FLOORS
        .into_iter()
        .map(|floor| {
            let shops = shops(data, floor, register, rssi_min_dbm, &beacons);
            (floor, Places::build(shops.into_iter().map(Arc::new)))
        })
        .collect();
    let mut figures = Figures::default();
    for walk in walks {
        let places = &floors[walk.floor.as_str()];
        let both = walk.check_ins(register);
        let mut heard = both.clone();
        for check_in in &mut heard {
            check_in.location = None;
        }
        let mut located = both.clone();
        for check_in in &mut located {
            check_in.beacons = None;
        }
        let [by_beacon, by_position, by_either] = [heard, located, both].map(|all| entered(&all, places, walk));
        figures.by_beacon += by_beacon.len();
        figures.by_position += by_position.len();
        figures.by_either += by_either.len();
        let names = |shops: &BTreeMap<GeofenceId, f64>| shops.keys().cloned().collect::<BTreeSet<_>>();
        figures.agree += names(&by_beacon).intersection(&names(&by_position)).count();
        figures.beside_m[0].extend(by_beacon.into_values());
        figures.beside_m[1].extend(by_either.into_values());
    }
    for beside_m in &mut figures.beside_m {
        beside_m.sort_by(f64::total_cmp);
    }
    let [by_beacon_m, by_either_m] = &figures.beside_m;
    println!(
        "{register:?}, from {rssi_min_dbm} dBm: {} walks entered {} shops by beacon, {} by position ({} of them the same), {} \
         by both together. The walker was beside the shop by {:.1} m in the median at an entry by beacon (within 10 m: {:.0} \
         %), by {:.1} m with both (within 10 m: {:.0} %)",
        walks.len(),
        figures.by_beacon,
        figures.by_position,
        figures.agree,
        figures.by_either,
        median(by_beacon_m),
        100.0 * share_within(by_beacon_m, 10.0),
        median(by_either_m),
        100.0 * share_within(by_either_m, 10.0),
    );
    figures
}

#[test]
fn beacons_tell_the_shops_that_people_pass() {
    let Some(data) = real_data("mall") else { return };
    let walks = walks(&data);
    assert_eq!(walks.len(), 571);
    let own = compare(&data, Register::EachItsOwn, -80, &walks);
    let own_near = compare(&data, Register::EachItsOwn, -70, &walks);
    let sent = compare(&data, Register::AsSent, -80, &walks);
    // Beacons with identities of their own tell the shop to some metres, and better with a higher floor.
    assert!(median(&own.beside_m[0]) < 12.0 && own.by_beacon > 1_000);
    assert!(share_within(&own_near.beside_m[0], 10.0) > share_within(&own.beside_m[0], 10.0));
    // An identity that all share tells nothing by itself; a position beside it does what it can.
    assert!(median(&sent.beside_m[0]) > 2.0 * median(&own.beside_m[0]));
    assert!(median(&sent.beside_m[1]) < median(&sent.beside_m[0]));
}
