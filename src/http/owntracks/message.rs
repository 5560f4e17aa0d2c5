//! What the apps say, as far as it is about where the phone is.

use serde::Deserialize;
use uuid::Uuid;

use super::waypoints::is_area;
use crate::{
    domain::{
        beacon::{BeaconId, BeaconSighting},
        checkin::Fix,
        time::Timestamp,
    },
    geo::Position,
    http::{
        body::{self, UnknownFields},
        check_ins::ACCURACY_MAX_M,
        problem::{Code, Problem},
    },
};

/// The last second that can be written as a time, in the year 9999.
const SECONDS_MAX: f64 = 253_402_300_799.0;

/// What a message says.
#[derive(Debug, PartialEq)]
pub(super) struct Said {
    /// When it was so.
    pub(super) at: Timestamp,
    /// Where the phone is.
    pub(super) fix: Option<Fix>,
    /// Which beacon it hears.
    pub(super) beacons: Option<Vec<BeaconSighting>>,
    /// Whether the phone needs to be told what to monitor.
    pub(super) wants_regions: bool,
}

/// Some versions write numbers as texts.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Number(f64),
    Text(String),
}

impl Number {
    fn value(&self, pointer: &str) -> Result<f64, Problem> {
        let value = match self {
            Self::Number(value) => Some(*value),
            Self::Text(text) => text.trim().parse().ok(),
        };
        value
            .filter(|value| value.is_finite())
            .ok_or_else(|| invalid(pointer, "must be a number"))
    }
}

#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "_type")]
    kind: String,
}

#[derive(Deserialize)]
struct LocationMessage {
    tst: Number,
    lat: Number,
    lon: Number,
    acc: Option<Number>,
    /// Why it was sent.
    t: Option<String>,
    /// Names of the regions that the phone is in.
    #[serde(default)]
    inregions: Vec<String>,
    /// Their ids, on iOS.
    #[serde(default)]
    inrids: Vec<String>,
}

#[derive(Deserialize)]
struct TransitionMessage {
    tst: Number,
    lat: Option<Number>,
    lon: Option<Number>,
    acc: Option<Number>,
    event: Option<String>,
    desc: Option<String>,
    rid: Option<String>,
}

#[derive(Deserialize)]
struct BeaconMessage {
    tst: Number,
    uuid: Uuid,
    major: Number,
    minor: Number,
    rssi: Option<Number>,
}

fn invalid(pointer: &str, detail: impl Into<String>) -> Problem {
    Problem::field(Code::FieldInvalid, pointer, detail)
}

/// Fields that nobody needs are many, and the apps don't read warnings.
fn parse<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, Problem> {
    body::parse(bytes, &mut UnknownFields::default())
}

impl Said {
    /// Reads a message; `None`: it says nothing about where the phone is.
    pub(super) fn read(bytes: &[u8]) -> Result<Option<Self>, Problem> {
        if bytes.is_empty() {
            // A friend was deleted in the app.
            return Ok(None);
        }
        let Kind { kind } = parse(bytes)?;
        match kind.as_str() {
            "location" => parse::<LocationMessage>(bytes)?.said().map(Some),
            "transition" => parse::<TransitionMessage>(bytes)?.said(),
            "beacon" => parse::<BeaconMessage>(bytes)?.said(),
            "encrypted" => Err(Problem::new(
                Code::EncryptedMessage,
                "this server has no key for encrypted messages: remove the encryption key from the app's settings, \
                 and use https",
            )),
            // waypoint, waypoints, lwt, status, card, cmd, steps, and what is yet to be invented.
            _ => Ok(None),
        }
    }
}

impl LocationMessage {
    fn said(&self) -> Result<Said, Problem> {
        // The user asks for it by hand (u), or the app's clock does (p): what is monitored is renewed then, too.
        let asks = matches!(self.t.as_deref(), Some("u" | "p"));
        let mut regions = self.inregions.iter().chain(&self.inrids);
        let in_area = regions.any(|name| is_area(name));
        Ok(Said {
            at: read_time(&self.tst)?,
            fix: Some(read_fix(&self.lat, &self.lon, self.acc.as_ref())?),
            beacons: None,
            wants_regions: asks || !in_area,
        })
    }
}

impl TransitionMessage {
    fn said(&self) -> Result<Option<Said>, Problem> {
        let at = read_time(&self.tst)?;
        let (Some(latitude), Some(longitude)) = (&self.lat, &self.lon) else {
            return Ok(None);
        };
        let about_area = self.desc.iter().chain(&self.rid).any(|name| is_area(name));
        Ok(Some(Said {
            at,
            fix: Some(read_fix(latitude, longitude, self.acc.as_ref())?),
            beacons: None,
            wants_regions: about_area && self.event.as_deref() == Some("leave"),
        }))
    }
}

impl BeaconMessage {
    fn said(&self) -> Result<Option<Said>, Problem> {
        let at = read_time(&self.tst)?;
        let rssi = self.rssi.as_ref().map(|rssi| rssi.value("/rssi")).transpose()?;
        if rssi == Some(0.0) {
            // Apple's way of saying that it was not heard this time.
            return Ok(None);
        }
        let id = BeaconId::IBeacon {
            uuid: self.uuid,
            major: read_u16(&self.major, "/major")?,
            minor: read_u16(&self.minor, "/minor")?,
        };
        Ok(Some(Said {
            at,
            fix: None,
            beacons: Some(vec![BeaconSighting {
                id,
                rssi_dbm: rssi.map(|rssi| rssi as i32),
            }]),
            wants_regions: false,
        }))
    }
}

fn read_time(seconds: &Number) -> Result<Timestamp, Problem> {
    let seconds = seconds.value("/tst")?;
    if !(0.0..=SECONDS_MAX).contains(&seconds) {
        return Err(invalid("/tst", "must be seconds since 1970"));
    }
    Ok(Timestamp((seconds * 1000.0) as i64))
}

fn read_u16(number: &Number, pointer: &str) -> Result<u16, Problem> {
    let value = number.value(pointer)?;
    if value.fract() != 0.0 || !(0.0..=65_535.0).contains(&value) {
        return Err(invalid(pointer, "must be a whole number from 0 to 65535"));
    }
    Ok(value as u16)
}

fn read_fix(latitude: &Number, longitude: &Number, accuracy: Option<&Number>) -> Result<Fix, Problem> {
    let (latitude, longitude) = (latitude.value("/lat")?, longitude.value("/lon")?);
    let pointer = if (-90.0..=90.0).contains(&latitude) {
        "/lon"
    } else {
        "/lat"
    };
    let position = Position::new(latitude, longitude).map_err(|error| invalid(pointer, error.to_string()))?;
    let accuracy_m = accuracy.map(|accuracy| accuracy.value("/acc")).transpose()?;
    if accuracy_m.is_some_and(|accuracy| !(0.0..=ACCURACY_MAX_M).contains(&accuracy)) {
        return Err(invalid("/acc", "is not a radius in metres"));
    }
    Ok(Fix {
        position,
        accuracy_m,
        floor: None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(message: &Value) -> Result<Option<Said>, (Code, String)> {
        let said = Said::read(message.to_string().as_bytes());
        said.map_err(|problem| (problem.code(), problem.to_string()))
    }

    #[test]
    fn numbers_may_be_texts_and_unknown_fields_are_many() {
        let said = read(
            &json!({"_type": "location", "lat": "48.858330", "lon": 2.295_130, "tst": "1385997757",
            "acc": 25, "alt": 13, "vac": 10, "vel": 4, "cog": 270, "tid": "JJ", "batt": 81, "bs": 1, "conn": "w", "m": 1,
            "topic": "owntracks/jane/phone", "inregions": ["Beckon area"], "motionactivities": ["walking"],
            "created_at": 1_385_997_760, "SSID": "home", "_http": true}),
        );
        let said = said.expect("read").expect("a position");
        assert_eq!(said.at, Timestamp(1_385_997_757_000));
        assert_eq!(said.fix.expect("a fix").accuracy_m, Some(25.0));
        assert!(!said.wants_regions);
    }

    #[test]
    fn regions_are_wanted_outside_the_area_and_by_hand() {
        let said = |extra: Value| {
            let mut message = json!({"_type": "location", "lat": 1, "lon": 1, "tst": 1});
            message
                .as_object_mut()
                .unwrap()
                .extend(extra.as_object().unwrap().clone());
            read(&message).unwrap().unwrap().wants_regions
        };
        assert!(said(json!({})));
        assert!(said(json!({"inregions": ["Home"]})));
        assert!(!said(json!({"inregions": ["Home", "Beckon area"]})));
        assert!(!said(json!({"inregions": [], "inrids": ["beckon0"]})));
        assert!(said(json!({"inregions": ["Beckon area"], "t": "u"})));
        assert!(!said(json!({"inregions": ["Beckon area"], "t": "c"})));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let problem = |message: Value| read(&message).expect_err("wrong");
        assert!(problem(json!({"lat": 1})).1.contains("_type"));
        let located =
            |lat: Value, lon: Value, tst: Value| json!({"_type": "location", "lat": lat, "lon": lon, "tst": tst});
        for (message, pointer) in [
            (located(json!(91), json!(0), json!(1)), "/lat"),
            (located(json!(0), json!(181), json!(1)), "/lon"),
            (located(json!("x"), json!(0), json!(1)), "/lat"),
            (located(json!(0), json!(0), json!(-1)), "/tst"),
            (located(json!(0), json!(0), json!(1e300)), "/tst"),
        ] {
            let (code, text) = problem(message);
            assert_eq!(code, Code::FieldInvalid);
            assert!(text.contains(pointer), "{text}");
        }
        assert_eq!(
            problem(json!({"_type": "encrypted", "data": "x"})).0,
            Code::EncryptedMessage
        );
        assert_eq!(
            problem(json!({"_type": "beacon", "tst": 1, "uuid": "no", "major": 1, "minor": 1})).0,
            Code::FieldInvalid
        );
    }

    #[test]
    fn a_beacon_that_was_not_heard_says_nothing() {
        let message = |rssi: i32| {
            read(
                &json!({"_type": "beacon", "desc": "shop", "uuid": "B9407F30-F5F8-466E-AFF9-25556B57FE6D",
                "major": 1, "minor": 2, "tst": 1_385_997_757, "acc": 0.2, "prox": 1, "rssi": rssi}),
            )
        };
        assert_eq!(message(0), Ok(None));
        let said = message(-60).expect("read").expect("a beacon");
        assert_eq!(said.beacons.expect("beacons")[0].rssi_dbm, Some(-60));
    }
}
