//! Bodies become check-ins, or problems that name the place.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{
    domain::{
        beacon::{BeaconId, BeaconSighting},
        checkin::{BEACONS_MAX, CheckIn, Fix},
        ids::{CauseId, DeviceId},
        time::Timestamp,
    },
    geo::Position,
    http::{
        App,
        body::{self, UnknownFields},
        made_up_id,
        problem::{Code, Problem},
    },
};

/// Longest scanned code, in bytes.
const CODE_BYTES_MAX: usize = 512;
/// Greatest accuracy that means anything, in metres.
pub(in crate::http) const ACCURACY_MAX_M: f64 = 20_000_000.0;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CheckInBody<'a> {
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    device_id: Cow<'a, str>,
    at: Option<Timestamp>,
    location: Option<LocationBody>,
    beacons: Option<Vec<BeaconBody>>,
    #[serde(borrow)]
    code: Option<Cow<'a, str>>,
    #[serde(default)]
    regions: bool,
}

#[derive(Deserialize)]
#[expect(
    dead_code,
    reason = "speed, course and altitude are part of the API and not used yet"
)]
struct LocationBody {
    latitude: f64,
    longitude: f64,
    accuracy: Option<f64>,
    floor: Option<i32>,
    speed: Option<f64>,
    course: Option<f64>,
    altitude: Option<f64>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum BeaconBody {
    IBeacon {
        uuid: Uuid,
        major: NumberOrText,
        minor: NumberOrText,
        rssi: Option<f64>,
    },
    Eddystone {
        namespace: String,
        instance: String,
        rssi: Option<f64>,
    },
}

/// Radar's SDK writes major and minor as texts.
#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrText {
    Number(u16),
    Text(String),
}

impl NumberOrText {
    fn number(&self, pointer: &str) -> Result<u16, Problem> {
        match self {
            Self::Number(number) => Ok(*number),
            Self::Text(text) => text
                .trim()
                .parse()
                .map_err(|_| Problem::field(Code::FieldInvalid, pointer, "must be a whole number from 0 to 65535")),
        }
    }
}

/// One item of a request, or why it is none.
pub(super) type Item = Result<CheckIn, (Option<String>, Problem)>;

/// Where bodies become check-ins.
pub(super) struct Door<'a> {
    pub(super) app: &'a App,
    pub(super) now: Timestamp,
}

impl Door<'_> {
    pub(super) fn clock_ahead(&self, at: Timestamp) -> Problem {
        let detail = format!(
            "{at} is more than {} ahead of the server's {}",
            self.app.limits.future_max, self.now
        );
        Problem::field(Code::TimeInFuture, "/at", detail)
    }

    pub(super) fn read_array(&self, bytes: &[u8], unknown: &mut UnknownFields) -> Result<Vec<Item>, Problem> {
        let raw: Vec<&RawValue> = serde_json::from_slice(bytes).map_err(|error| body::broken(bytes, &error))?;
        self.refuse_too_many(raw.len())?;
        Ok(raw
            .iter()
            .enumerate()
            .map(|(index, raw)| {
                self.read_one(raw.get().as_bytes(), unknown)
                    .map_err(|(id, problem)| (id, problem.within(&format!("/{index}"), None)))
            })
            .collect())
    }

    pub(super) fn read_lines(&self, bytes: &[u8], unknown: &mut UnknownFields) -> Result<Vec<Item>, Problem> {
        let lines = || {
            (1u64..)
                .zip(bytes.split(|byte| *byte == b'\n'))
                .filter(|(_, line)| !line.trim_ascii().is_empty())
        };
        self.refuse_too_many(lines().count())?;
        Ok(lines()
            .map(|(number, line)| {
                self.read_one(line, unknown)
                    .map_err(|(id, problem)| (id, problem.within("", Some(number))))
            })
            .collect())
    }

    fn refuse_too_many(&self, count: usize) -> Result<(), Problem> {
        let most = self.app.limits.check_ins_max;
        if count > most {
            return Err(Problem::new(
                Code::TooManyItems,
                format!("{count} check-ins at once, the limit is {most}"),
            ));
        }
        Ok(())
    }

    pub(super) fn read_one(&self, bytes: &[u8], unknown: &mut UnknownFields) -> Item {
        let parsed = body::parse::<CheckInBody<'_>>(bytes, unknown);
        let body = parsed.map_err(|problem| {
            // The id is told back where it can be found, so that the client knows which one it was.
            let value: Option<serde_json::Value> = serde_json::from_slice(bytes).ok();
            (
                value.and_then(|value| Some(value.get("id")?.as_str()?.to_owned())),
                problem,
            )
        })?;
        let id = body.id.as_ref().map(|id| id.clone().into_owned());
        self.validate(body).map_err(|problem| (id, problem))
    }

    fn validate(&self, body: CheckInBody<'_>) -> Result<CheckIn, Problem> {
        let invalid = |pointer: &str, detail: &dyn std::fmt::Display| {
            Problem::field(Code::FieldInvalid, pointer, detail.to_string())
        };
        let id = match &body.id {
            None => made_up_id()?,
            Some(id) => CauseId::new(id).map_err(|error| invalid("/id", &error))?,
        };
        let device = DeviceId::new(&body.device_id).map_err(|error| invalid("/deviceId", &error))?;
        let at = body.at.unwrap_or(self.now);
        let location = body.location.as_ref().map(read_location).transpose()?;
        if body
            .code
            .as_ref()
            .is_some_and(|code| code.is_empty() || code.len() > CODE_BYTES_MAX)
        {
            return Err(invalid("/code", &format!("must have 1 to {CODE_BYTES_MAX} bytes")));
        }
        let beacons = body.beacons.as_deref().map(read_beacons).transpose()?;
        if location.is_none() && beacons.is_none() && body.code.is_none() {
            return Err(Problem::field(
                Code::NothingReported,
                "",
                "needs a location, beacons or a code",
            ));
        }
        Ok(CheckIn {
            id,
            device,
            at,
            location,
            beacons,
            code: body.code.map(Cow::into_owned),
            regions: body.regions,
        })
    }
}

fn read_location(body: &LocationBody) -> Result<Fix, Problem> {
    let invalid = |pointer: &str, detail: String| Problem::field(Code::FieldInvalid, pointer, detail);
    if !(-90.0..=90.0).contains(&body.latitude) {
        return Err(invalid(
            "/location/latitude",
            format!("{} is not between -90 and 90", body.latitude),
        ));
    }
    if !(-180.0..=180.0).contains(&body.longitude) {
        return Err(invalid(
            "/location/longitude",
            format!("{} is not between -180 and 180", body.longitude),
        ));
    }
    if let Some(accuracy) = body.accuracy
        && !(0.0..=ACCURACY_MAX_M).contains(&accuracy)
    {
        return Err(invalid(
            "/location/accuracy",
            format!("{accuracy} is not a radius in metres"),
        ));
    }
    let position = Position {
        latitude: body.latitude,
        longitude: body.longitude,
    };
    Ok(Fix {
        position,
        accuracy_m: body.accuracy,
        floor: body.floor,
    })
}

fn read_beacons(bodies: &[BeaconBody]) -> Result<Vec<BeaconSighting>, Problem> {
    if bodies.len() > BEACONS_MAX {
        let detail = format!("{} beacons, the limit is {BEACONS_MAX}", bodies.len());
        return Err(Problem::field(Code::FieldInvalid, "/beacons", detail));
    }
    bodies
        .iter()
        .enumerate()
        .map(|(index, body)| {
            let at = |field: &str| format!("/beacons/{index}/{field}");
            let (id, rssi) = match body {
                BeaconBody::IBeacon {
                    uuid,
                    major,
                    minor,
                    rssi,
                } => {
                    let (major, minor) = (major.number(&at("major"))?, minor.number(&at("minor"))?);
                    (
                        BeaconId::IBeacon {
                            uuid: *uuid,
                            major,
                            minor,
                        },
                        rssi,
                    )
                }
                BeaconBody::Eddystone {
                    namespace,
                    instance,
                    rssi,
                } => {
                    let id = serde_json::json!({"type": "eddystone", "namespace": namespace, "instance": instance});
                    let id = serde_json::from_value(id)
                        .map_err(|error| Problem::field(Code::FieldInvalid, at(""), error.to_string()))?;
                    (id, rssi)
                }
            };
            Ok(BeaconSighting {
                id,
                rssi_dbm: rssi.map(|rssi| rssi as i32),
            })
        })
        .collect()
}
