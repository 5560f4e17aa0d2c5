//! Single geofences, what contains a point, and what a phone should monitor.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    App,
    auth::Caller,
    path_id,
    problem::{Code, Problem},
    query, resource,
};
use crate::{
    domain::{
        checkin::BeaconId,
        delivery::Platform,
        geofence::Geofence,
        ids::{ExternalId, GeofenceId, Tag},
        presence::Evidence,
        time::Timestamp,
    },
    engine::{
        ingest::Present,
        ports::Role,
        regions::{Regions, Watch, regions_for},
    },
    geo::{Position, Shape},
};

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(resource("/v1/geofences/{tag}/{externalId}").route(web::get().to(get)))
        .service(resource("/v1/context").route(web::get().to(context)))
        .service(resource("/v1/regions").route(web::get().to(regions)));
}

/// A geofence that a device is in, in answers.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PresentBody<'a> {
    #[serde(flatten)]
    geofence: &'a GeofenceId,
    since: Timestamp,
    evidence: Evidence,
}

impl<'a> From<&'a Present> for PresentBody<'a> {
    fn from(present: &'a Present) -> Self {
        Self {
            geofence: &present.geofence,
            since: present.since,
            evidence: present.evidence,
        }
    }
}

/// What a phone should monitor, in answers.
#[derive(Serialize)]
pub(super) struct RegionsBody {
    regions: Vec<RegionBody>,
    resync: CircleBody,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RegionBody {
    id: String,
    #[serde(flatten)]
    geofence: GeofenceId,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    circle: Option<CircleBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    beacon: Option<BeaconId>,
}

#[derive(Serialize)]
struct CircleBody {
    #[serde(flatten)]
    center: Position,
    radius: f64,
}

impl From<&Regions> for RegionsBody {
    fn from(regions: &Regions) -> Self {
        let region = |region: &crate::engine::regions::Region| {
            let (id, circle, beacon) = match &region.watch {
                Watch::Circle { center, radius_m } => {
                    let circle = CircleBody {
                        center: *center,
                        radius: *radius_m,
                    };
                    (region.geofence.to_string(), Some(circle), None)
                }
                Watch::Beacon(beacon) => (format!("{}#{}", region.geofence, beacon), None, Some(*beacon)),
            };
            RegionBody {
                id,
                geofence: region.geofence.clone(),
                circle,
                beacon,
            }
        };
        let (center, radius) = regions.resync;
        Self {
            regions: regions.regions.iter().map(region).collect(),
            resync: CircleBody { center, radius },
        }
    }
}

/// A geofence as a GeoJSON feature that imports back as it is.
pub(super) fn feature(geofence: &Geofence) -> Value {
    let mut properties = json!({"tag": geofence.id.tag, "externalId": geofence.id.external_id});
    let geometry = match &geofence.shape {
        Shape::Circle { center, radius_m } => {
            properties["radius"] = json!(radius_m);
            json!({"type": "Point", "coordinates": [center.longitude, center.latitude]})
        }
        shape @ Shape::Polygons(_) => json!(shape),
    };
    if let Some(description) = &geofence.description {
        properties["description"] = json!(description);
    }
    if let Some(brand) = &geofence.brand {
        properties["brand"] = json!(brand);
    }
    if !geofence.enabled {
        properties["enabled"] = json!(false);
    }
    if let Some(threshold) = &geofence.dwell_threshold {
        properties["dwellThreshold"] = json!(threshold);
    }
    if let Some(hours) = &geofence.operating_hours {
        properties["operatingHours"] = json!(hours);
    }
    if !geofence.beacons.is_empty() {
        properties["beacons"] = json!(geofence.beacons);
    }
    if !geofence.codes.is_empty() {
        properties["codes"] = json!(geofence.codes);
    }
    if !geofence.metadata.is_empty() {
        properties["metadata"] = json!(geofence.metadata);
    }
    json!({"type": "Feature", "properties": properties, "geometry": geometry})
}

async fn get(app: web::Data<App>, caller: Caller, path: web::Path<(String, String)>) -> Result<HttpResponse, Problem> {
    caller.require(Role::Viewer)?;
    let id = GeofenceId {
        tag: path_id("the tag", &path.0, Tag::new)?,
        external_id: path_id("the external id", &path.1, ExternalId::new)?,
    };
    let places = &app.engine.catalogues.of(&caller.workspace).places;
    let place = places
        .find(&id)
        .ok_or_else(|| Problem::new(Code::GeofenceUnknown, format!("there is no enabled geofence {id}")))?;
    Ok(HttpResponse::Ok().json(summary(places.get(place))))
}

fn summary(geofence: &Geofence) -> Value {
    json!({
        "tag": geofence.id.tag, "externalId": geofence.id.external_id, "set": geofence.set,
        "description": geofence.description, "brand": geofence.brand, "metadata": geofence.metadata,
        "beacons": geofence.beacons, "codes": geofence.codes, "geometry": &geofence.shape,
    })
}

#[derive(Deserialize)]
struct PointQuery {
    latitude: f64,
    longitude: f64,
    platform: Option<Platform>,
}

impl PointQuery {
    fn position(&self) -> Result<Position, Problem> {
        Position::new(self.latitude, self.longitude)
            .map_err(|error| Problem::new(Code::ParameterInvalid, error.to_string()))
    }
}

/// The geofences that contain a point; nothing is stored.
async fn context(app: web::Data<App>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let at = query::<PointQuery>(&request)?.position()?;
    let catalogue = app.engine.catalogues.of(&caller.workspace);
    let mut found = Vec::new();
    catalogue.places.index().containing(at, &mut found);
    let geofences: Vec<Value> = found
        .into_iter()
        .map(|place| {
            let geofence = catalogue.places.get(place);
            json!({
                "tag": geofence.id.tag, "externalId": geofence.id.external_id, "set": geofence.set,
                "description": geofence.description, "metadata": geofence.metadata,
            })
        })
        .collect();
    Ok(HttpResponse::Ok().json(json!({"geofences": geofences})))
}

async fn regions(app: web::Data<App>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let wanted: PointQuery = query(&request)?;
    let catalogue = app.engine.catalogues.of(&caller.workspace);
    let regions = regions_for(&catalogue.places, wanted.position()?, wanted.platform);
    Ok(HttpResponse::Ok().json(RegionsBody::from(&regions)))
}
