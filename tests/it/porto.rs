//! A day of 308 taxis past the taxi stands of Porto, against an independent computation of who was where.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    path::Path,
    process::Command,
};

use beckon::{
    config::Config,
    domain::time::{DurationMs, Timestamp},
};
use geo::{Point, VincentyDistance as _};
use serde_json::Value;

use crate::harness::{ADMIN_KEY, World, real_data};

const RADIUS_M: f64 = 100.0;
pub(crate) const STANDS: &str = "geofences/porto_taxi_stands.csv";
pub(crate) const TAXIS: &str = "trajectories/porto_taxi_points_sorted.csv";

/// What happened, in a form that two computations can be compared by: time, device, stand, whether entered.
pub(crate) type Happening = (String, String, String, bool);

/// Who entered and left which stand: from the files alone, by Vincenty's formula as the crate `geo` has it; Beckon
/// itself uses Karney's, from another crate.
fn expected(data: &Path) -> Vec<Happening> {
    let stands: Vec<(String, Point<f64>)> = fs::read_to_string(data.join(STANDS))
        .expect("the stands")
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            let (latitude, longitude) = (fields.get(2)?.trim().parse().ok()?, fields.get(3)?.trim().parse().ok()?);
            Some((fields[0].to_owned(), Point::new(longitude, latitude)))
        })
        .collect();
    assert_eq!(stands.len(), 62);
    let mut inside: HashMap<String, HashSet<usize>> = HashMap::new();
    let mut happenings = Vec::new();
    for line in fs::read_to_string(data.join(TAXIS)).expect("the taxis").lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let at = Timestamp(fields[0].parse::<i64>().expect("seconds") * 1000).to_string();
        let here: Point<f64> = Point::new(
            fields[3].parse().expect("a longitude"),
            fields[4].parse().expect("a latitude"),
        );
        let near = inside.entry(fields[1].to_owned()).or_default();
        for (index, (stand, place)) in stands.iter().enumerate() {
            // One degree of latitude is 111 km: what is far in latitude alone is not computed.
            let is_in = (here.y() - place.y()).abs() < 0.01
                && here.vincenty_distance(place).expect("it converges for near points") <= RADIUS_M;
            if is_in != near.contains(&index) {
                happenings.push((at.clone(), fields[1].to_owned(), stand.clone(), is_in));
                if is_in {
                    near.insert(index)
                } else {
                    near.remove(&index)
                };
            }
        }
    }
    happenings.sort();
    happenings
}

/// Reads a file of events as `replay --events` writes it.
pub(crate) fn happenings(events: &str) -> Vec<Happening> {
    let mut happenings: Vec<Happening> = events
        .lines()
        .map(|line| {
            let event: Value = serde_json::from_str(line).expect("an event");
            let text = |value: &Value| value.as_str().expect("a text").to_owned();
            let entered = event["type"] == "user.entered_geofence";
            (
                text(&event["at"]),
                text(&event["deviceId"]),
                text(&event["geofence"]["externalId"]),
                entered,
            )
        })
        .collect();
    happenings.sort();
    happenings
}

/// Runs the command line against a server.
pub(crate) fn beckon(server: &str, arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_beckon"))
        .args(arguments)
        .env("BECKON_URL", server)
        .env("BECKON_KEY", ADMIN_KEY)
        .output()
        .expect("beckon runs")
}

/// Imports the stands as circles; the broken row must be named.
pub(crate) fn import_stands(server: &str, data: &Path) {
    let file = data.join(STANDS);
    let file = file.to_str().expect("a path");
    let arguments = [
        "geofences",
        "import",
        file,
        "--set",
        "stands",
        "--tag",
        "taxi-stand",
        "--radius",
        "100",
    ];
    let refused = beckon(server, &arguments);
    assert_eq!(refused.status.code(), Some(1));
    let told = String::from_utf8_lossy(&refused.stdout).into_owned();
    assert!(
        told.starts_with("line 42: error column_missing:") && told.contains("41.163066654-8.67598304213"),
        "{told}"
    );
    let taken = beckon(server, &[&arguments[..], &["--allow-partial"]].concat());
    assert!(taken.status.success(), "{taken:?}");
    let told = String::from_utf8_lossy(&taken.stdout).into_owned();
    assert!(told.contains("63 read, 62 accepted, 1 rejected"), "{told}");
}

#[test]
fn a_day_of_taxis_enters_and_leaves_as_an_independent_computation_says() {
    let Some(data) = real_data("porto") else { return };
    // The computation believes every fix, also those that no taxi can have reached, and knows no silence.
    let configure = |config: &mut Config| {
        config.presence.speed_max_km_per_h = f64::MAX;
        config.presence.silent_after = DurationMs::from_secs(7 * 24 * 3600);
    };
    let world = World::start_with(|_| {}, configure);
    import_stands(&world.api.base, &data);
    let folder = tempfile::tempdir().expect("a folder");
    let events = folder.path().join("events.ndjson");
    let (taxis, events_file) = (data.join(TAXIS), events.to_str().expect("a path"));
    let track = taxis.to_str().expect("a path");
    let replay = beckon(
        &world.api.base,
        &["replay", track, "--speed", "max", "--events", events_file, "--json"],
    );
    assert!(replay.status.success(), "{replay:?}");
    let summary: Value = serde_json::from_slice(&replay.stdout).expect("a summary");
    assert_eq!(summary["checkIns"], 47_304);
    let found = happenings(&fs::read_to_string(&events).expect("events"));
    let expected = expected(&data);
    assert!(expected.len() > 5_000);
    let by_stand = |happenings: &[Happening]| {
        let mut counts: BTreeMap<(String, bool), usize> = BTreeMap::new();
        for (_, _, stand, entered) in happenings {
            *counts.entry((stand.clone(), *entered)).or_default() += 1;
        }
        counts
    };
    assert_eq!(by_stand(&found), by_stand(&expected));
    assert_eq!(found, expected);
}
