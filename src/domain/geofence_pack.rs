//! The stored form of geofences: many in one run of bytes, each behind its length.
//!
//! The set isn't part of it: what a set holds is the same wherever it is stored. Rarely used fields are JSON inside, so
//! that a further one needs no new form.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::{
    beacon::BeaconPattern,
    geofence::{Geofence, PresenceOptions},
    ids::{BrandId, ExternalId, GeofenceId, IdError, SetName, Tag},
    metadata::Metadata,
    operating_hours::OperatingHours,
    time::DurationMs,
};
use crate::geo::{Position, Shape, ShapeError};

/// The form that [`Packer`] writes; the first byte of each pack.
pub const PACK_SCHEMA: u8 = 2;

/// Bytes of the length before each geofence.
const LENGTH_BYTES: usize = 4;

/// Why a pack can't be read.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// Written by another Beckon.
    #[error("the form {0} of stored geofences is unknown; this Beckon knows {PACK_SCHEMA}")]
    Schema(u8),
    /// It ends in the middle.
    #[error("a run of geofences is cut off")]
    CutOff,
    /// The bytes are no geofence.
    #[error("a stored geofence can't be read: {0}")]
    Bytes(#[from] postcard::Error),
    /// The JSON inside is none.
    #[error("a stored geofence can't be read: {0}")]
    Json(#[from] serde_json::Error),
    /// A name can't be one.
    #[error("the name of a stored geofence {0}")]
    Id(#[from] IdError),
    /// The shape can't be one.
    #[error("the shape of a stored geofence: {0}")]
    Shape(#[from] ShapeError),
}

/// Longitude and latitude.
type Vertex = [f64; 2];

#[derive(Serialize, Deserialize)]
struct Packed<'a, S> {
    tag: &'a str,
    external_id: &'a str,
    description: Option<&'a str>,
    enabled: bool,
    brand: Option<&'a str>,
    shape: S,
    /// JSON; empty when there is none.
    metadata: &'a str,
    /// [`Rest`] as JSON; empty when there is none.
    rest: std::borrow::Cow<'a, str>,
}

#[derive(Serialize)]
enum ShapeOut<'a> {
    Circle([f64; 3]),
    Polygons(Vec<Vec<&'a [Vertex]>>),
}

#[derive(Deserialize)]
enum ShapeIn {
    Circle([f64; 3]),
    Polygons(Vec<Vec<Vec<Vertex>>>),
}

/// What most geofences don't have.
#[derive(Serialize, Deserialize, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
struct Rest {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    beacons: Vec<BeaconPattern>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    codes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dwell_threshold: Option<DurationMs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operating_hours: Option<OperatingHours>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence: Option<Box<PresenceOptions>>,
}

/// Writes geofences one after the other.
#[derive(Debug)]
pub struct Packer {
    bytes: Vec<u8>,
    count: u64,
}

impl Default for Packer {
    fn default() -> Self {
        Self {
            bytes: vec![PACK_SCHEMA],
            count: 0,
        }
    }
}

impl Packer {
    /// Adds one.
    pub fn push(&mut self, geofence: &Geofence) -> Result<(), PackError> {
        let rest = Rest {
            beacons: geofence.beacons.clone(),
            codes: geofence.codes.clone(),
            dwell_threshold: geofence.dwell_threshold,
            operating_hours: geofence.operating_hours.clone(),
            presence: geofence.presence.clone(),
        };
        let rest = if rest == Rest::default() {
            String::new()
        } else {
            serde_json::to_string(&rest)?
        };
        let packed = Packed {
            tag: geofence.id.tag.as_str(),
            external_id: geofence.id.external_id.as_str(),
            description: geofence.description.as_deref(),
            enabled: geofence.enabled,
            brand: geofence.brand.as_ref().map(BrandId::as_str),
            shape: match &geofence.shape {
                Shape::Circle { center, radius_m } => ShapeOut::Circle([center.latitude, center.longitude, *radius_m]),
                Shape::Polygons(polygons) => {
                    ShapeOut::Polygons(polygons.coordinates().map(Iterator::collect).collect())
                }
            },
            metadata: geofence.metadata.as_text(),
            rest: rest.into(),
        };
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; LENGTH_BYTES]);
        let bytes = postcard::to_extend(&packed, std::mem::take(&mut self.bytes))?;
        self.bytes = bytes;
        let length = (self.bytes.len() - start - LENGTH_BYTES) as u32;
        self.bytes[start..start + LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
        self.count += 1;
        Ok(())
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How many bytes they take.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The pack; the packer begins anew.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(self).bytes
    }
}

/// Reads packs of one set. Equal tags and brands share one text.
#[derive(Debug)]
pub struct Unpacker {
    set: SetName,
    tags: HashSet<Tag>,
    brands: HashSet<BrandId>,
}

impl Unpacker {
    /// For packs of this set.
    pub fn new(set: SetName) -> Self {
        Self {
            set,
            tags: HashSet::new(),
            brands: HashSet::new(),
        }
    }

    /// Hands out every geofence of a pack, or why it can't be read: one that is damaged doesn't take the others with it.
    pub fn unpack(&mut self, pack: &[u8], mut take: impl FnMut(Result<Geofence, PackError>)) -> Result<(), PackError> {
        let (schema, mut rest) = pack.split_first().ok_or(PackError::CutOff)?;
        if *schema != PACK_SCHEMA {
            return Err(PackError::Schema(*schema));
        }
        while !rest.is_empty() {
            let (length, after) = rest.split_first_chunk::<LENGTH_BYTES>().ok_or(PackError::CutOff)?;
            let length = u32::from_le_bytes(*length) as usize;
            let (entry, after) = after.split_at_checked(length).ok_or(PackError::CutOff)?;
            take(self.geofence(entry));
            rest = after;
        }
        Ok(())
    }

    fn geofence(&mut self, entry: &[u8]) -> Result<Geofence, PackError> {
        let packed: Packed<'_, ShapeIn> = postcard::from_bytes(entry)?;
        let rest: Rest = if packed.rest.is_empty() {
            Rest::default()
        } else {
            serde_json::from_str(&packed.rest)?
        };
        let brand = packed.brand.map(|brand| shared(&mut self.brands, brand, BrandId::new));
        Ok(Geofence {
            id: GeofenceId {
                tag: shared(&mut self.tags, packed.tag, Tag::new)?,
                external_id: ExternalId::new(packed.external_id)?,
            },
            set: self.set.clone(),
            description: packed.description.map(str::to_owned),
            shape: match packed.shape {
                ShapeIn::Circle([latitude, longitude, radius_m]) => {
                    let center = Position::new(latitude, longitude).map_err(ShapeError::from)?;
                    Shape::circle(center, radius_m)?
                }
                ShapeIn::Polygons(coordinates) => Shape::restore_polygons(coordinates)?,
            },
            enabled: packed.enabled,
            brand: brand.transpose()?,
            beacons: rest.beacons,
            codes: rest.codes,
            metadata: Metadata::from_text(packed.metadata)?,
            dwell_threshold: rest.dwell_threshold,
            operating_hours: rest.operating_hours,
            presence: rest.presence,
        })
    }
}

/// The text that is there already, or a new one.
fn shared<'a, T: Clone + Eq + std::hash::Hash + std::borrow::Borrow<str>>(
    known: &mut HashSet<T>,
    text: &'a str,
    make: impl FnOnce(&'a str) -> Result<T, IdError>,
) -> Result<T, IdError> {
    if let Some(found) = known.get(text) {
        return Ok(found.clone());
    }
    let made = make(text)?;
    known.insert(made.clone());
    Ok(made)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn geofences() -> Vec<Geofence> {
        let id = |number: u32| GeofenceId {
            tag: Tag::new("shop").unwrap(),
            external_id: ExternalId::new(number.to_string()).unwrap(),
        };
        let center = Position::new(-41.123_456_789_012, 179.999_999_9).unwrap();
        let ring = vec![[8.1, 47.0], [8.2, 47.0], [8.2, 47.1 + 1e-15], [8.1, 47.0]];
        vec![
            Geofence::new(id(1), Shape::circle(center, 0.1 + 0.2).unwrap()),
            Geofence {
                description: Some("Café".to_owned()),
                enabled: false,
                brand: Some(BrandId::new("sunrise").unwrap()),
                beacons: vec![BeaconPattern::IBeacon {
                    uuid: uuid::Uuid::from_u128(7),
                    major: Some(1),
                    minor: None,
                }],
                presence: PresenceOptions {
                    exit_at: Some(0.95),
                    beacon_rssi_min_dbm: Some(-80),
                    ..PresenceOptions::default()
                }
                .boxed(),
                codes: vec!["c-1".to_owned()],
                dwell_threshold: Some(DurationMs::from_secs(90)),
                operating_hours: Some(OperatingHours::parse("Mo-Fr 09:00-18:00; Sa 22:00-02:00").unwrap()),
                metadata: json!({"floor": -1, "open": [1.5, null]})
                    .as_object()
                    .unwrap()
                    .clone()
                    .into(),
                ..Geofence::new(id(2), Shape::polygon(vec![ring]).unwrap())
            },
        ]
    }

    fn unpack(pack: &[u8]) -> Result<Vec<Geofence>, PackError> {
        let mut all = Vec::new();
        Unpacker::new(SetName::singles()).unpack(pack, |geofence| all.push(geofence))?;
        all.into_iter().collect()
    }

    fn packed() -> Vec<u8> {
        let mut packer = Packer::default();
        for geofence in geofences() {
            packer.push(&geofence).unwrap();
        }
        packer.take()
    }

    #[test]
    fn what_is_packed_comes_back() {
        assert_eq!(unpack(&packed()).unwrap(), geofences());
        assert_eq!(unpack(&Packer::default().take()).unwrap(), []);
    }

    #[test]
    fn a_circle_takes_few_bytes() {
        let mut packer = Packer::default();
        packer.push(&geofences()[0]).unwrap();
        assert!(packer.bytes() < 48, "{}", packer.bytes());
    }

    proptest! {
        #[test]
        fn damage_is_an_error_and_no_panic(cut in 0..200_usize, at in 0..200_usize, bit in 0..8_u8) {
            let mut pack = packed();
            let index = at % pack.len();
            pack[index] ^= 1_u8 << bit;
            pack.truncate(cut.max(1));
            drop(unpack(&pack));
        }
    }
}
