//! Which column or property means what, under the names that people use.

/// A part of a geofence that a file can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    ExternalId,
    Tag,
    Description,
    Latitude,
    Longitude,
    /// Well-known text, in a column.
    Geometry,
    Radius,
    Enabled,
    DwellThreshold,
    OperatingHours,
    Brand,
    Beacons,
    Codes,
    EnterAt,
    ExitAt,
    ExitAfterFixes,
    BeaconRssiMin,
    Crossed,
    Metadata,
}

/// Where a column or property goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// A known field. Of several names for the same field, the one with the lower rank wins.
    Field(Field, u8),
    /// The owner's own field, under this key.
    Metadata(String),
}

/// Rank of a GeoJSON feature's own `id`: after the properties `externalId` and `id`, before all other names.
pub(super) const FEATURE_ID_RANK: u8 = 2;

/// The names of each field, best first, without blanks, dashes and underscores, in lower case.
const NAMES: &[(Field, &[&str])] = &[
    (
        Field::ExternalId,
        &[
            "externalid",
            "id",
            "",
            "geofenceid",
            "placeid",
            "storeid",
            "shopid",
            "standid",
            "locationid",
            "businessid",
            "featureid",
            "objectid",
            "uuid",
            "guid",
            "gid",
            "fid",
            "iata",
            "icao",
        ],
    ),
    (Field::Tag, &["tag"]),
    (
        Field::Description,
        &[
            "description",
            "descricao",
            "descrição",
            "descripcion",
            "descripción",
            "beschreibung",
            "name",
            "nome",
            "nombre",
            "title",
            "label",
        ],
    ),
    (Field::Latitude, &["latitude", "lat", "latitudedeg", "y"]),
    (
        Field::Longitude,
        &["longitude", "lon", "lng", "long", "longitudedeg", "x"],
    ),
    (Field::Geometry, &["wkt", "geometry", "geom", "thegeom", "shape"]),
    (
        Field::Radius,
        &[
            "radius",
            "radiusm",
            "radiusmeters",
            "radiusmetres",
            "radiusinmeters",
            "radiusinmetres",
        ],
    ),
    (Field::Enabled, &["enabled"]),
    (Field::DwellThreshold, &["dwellthreshold"]),
    (Field::OperatingHours, &["operatinghours", "openinghours"]),
    (Field::Brand, &["brand", "brandid"]),
    (Field::Beacons, &["beacons"]),
    (Field::Codes, &["codes"]),
    (Field::EnterAt, &["enterat"]),
    (Field::ExitAt, &["exitat"]),
    (Field::ExitAfterFixes, &["exitafterfixes"]),
    (Field::BeaconRssiMin, &["beaconrssimin", "rssimin"]),
    (Field::Crossed, &["crossed"]),
    (Field::Metadata, &["metadata"]),
];

impl Target {
    /// Finds the field for a name, whatever its case and separators.
    pub(super) fn of(name: &str) -> Self {
        let name = name.trim();
        if let Some((prefix, key)) = name.split_once('.')
            && prefix.eq_ignore_ascii_case("metadata")
            && !key.is_empty()
        {
            return Self::Metadata(key.to_owned());
        }
        let plain = plain(name);
        NAMES
            .iter()
            .filter(|_| !plain.is_empty())
            .find_map(|(field, names)| {
                let rank = names.iter().position(|known| *known == plain)?;
                Some(Self::Field(*field, rank as u8))
            })
            .unwrap_or_else(|| Self::Metadata(name.to_owned()))
    }
}

/// Lower case, without blanks, dashes and underscores.
pub(super) fn plain(name: &str) -> String {
    name.chars()
        .filter(|c| !matches!(c, ' ' | '-' | '_'))
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_dress() {
        for name in ["externalId", "EXTERNAL_ID", " external-id "] {
            assert_eq!(Target::of(name), Target::Field(Field::ExternalId, 0));
        }
        assert_eq!(Target::of("Descrição"), Target::Field(Field::Description, 2));
        assert_eq!(Target::of("radius_m"), Target::Field(Field::Radius, 1));
        assert_eq!(Target::of("metadata.Floor"), Target::Metadata("Floor".to_owned()));
        assert_eq!(
            Target::of("Seating Capacity"),
            Target::Metadata("Seating Capacity".to_owned())
        );
        assert_eq!(Target::of("_"), Target::Metadata("_".to_owned()));
    }

    #[test]
    fn the_rank_of_a_features_id_is_its_own() {
        let names = NAMES[0].1;
        assert_eq!(names[usize::from(FEATURE_ID_RANK)], "");
    }
}
