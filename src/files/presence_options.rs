//! How presence is told of one geofence, out of named values.

use serde_json::Value;

use super::{
    Finding, FindingCode,
    attributes::{Found, Values, read_truth},
    names::Field,
};
use crate::domain::geofence::{PROBABILITIES, PresenceOptions, RSSI_DBM};

pub(super) fn read_presence(values: &mut Values) -> Result<PresenceOptions, Finding> {
    Ok(PresenceOptions {
        enter_at: values
            .take(Field::EnterAt)
            .map(|found| read_probability(&found))
            .transpose()?,
        exit_at: values
            .take(Field::ExitAt)
            .map(|found| read_probability(&found))
            .transpose()?,
        exit_after_fixes: values
            .take(Field::ExitAfterFixes)
            .map(|found| read_fixes(&found))
            .transpose()?,
        beacon_rssi_min_dbm: values
            .take(Field::BeaconRssiMin)
            .map(|found| read_rssi(&found))
            .transpose()?,
        crossed: values
            .take(Field::Crossed)
            .map(|found| read_crossed(&found))
            .transpose()?,
    })
}

fn number(found: &Found) -> Option<f64> {
    match &found.value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn read_probability(found: &Found) -> Result<f64, Finding> {
    number(found)
        .filter(|value| PROBABILITIES.contains(value))
        .ok_or_else(|| {
            let hint = format!(
                "write a number from {} to {}, such as 0.9",
                PROBABILITIES.start(),
                PROBABILITIES.end()
            );
            found.error(FindingCode::PresenceInvalid, "this is no such probability:", &hint)
        })
}

fn read_fixes(found: &Found) -> Result<u8, Finding> {
    number(found)
        .filter(|value| value.fract() == 0.0 && (1.0..=f64::from(u8::MAX)).contains(value))
        .map(|value| value as u8)
        .ok_or_else(|| {
            let hint = format!("write a whole number from 1 to {}", u8::MAX);
            found.error(FindingCode::PresenceInvalid, "this is no number of fixes:", &hint)
        })
}

fn read_rssi(found: &Found) -> Result<i16, Finding> {
    number(found)
        .filter(|value| value.fract() == 0.0 && (f64::from(*RSSI_DBM.start())..=0.0).contains(value))
        .map(|value| value as i16)
        .ok_or_else(|| {
            let hint = format!("write dBm from {} to {}, such as -80", RSSI_DBM.start(), RSSI_DBM.end());
            found.error(FindingCode::PresenceInvalid, "this is no strength of a signal:", &hint)
        })
}

fn read_crossed(found: &Found) -> Result<bool, Finding> {
    read_truth(&found.value).ok_or_else(|| {
        found.error(
            FindingCode::PresenceInvalid,
            "`crossed` is neither true nor false:",
            "write true or false, or leave it out",
        )
    })
}
