//! Single geofences, what contains a point, and what a phone should monitor.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    App,
    auth::Caller,
    beside, body, pages, parameter, path_id,
    problem::{Code, Problem},
    query, resource, to_its_end,
};
use crate::{
    domain::{
        beacon::BeaconPattern,
        delivery::Platform,
        geofence::Geofence,
        ids::{ExternalId, GeofenceId, SetName, Tag},
        presence::Evidence,
        time::Timestamp,
    },
    engine::{
        geofences::{GeofenceFilter, Put},
        ingest::Present,
        ports::Role,
        regions::{Regions, Watch, regions_for},
    },
    geo::{LonLatBox, Position, RADIUS_M_MAX, Shape},
};

mod single;

/// Largest body of one geofence.
const SINGLE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How far a search by position goes unless the caller says otherwise, in metres.
const NEAR_RADIUS_M: f64 = 10_000.0;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(resource("/v1/geofences").route(web::get().to(list)))
        .service(
            resource("/v1/geofences/{tag}/{externalId}")
                .route(web::get().to(get))
                .route(web::put().to(put))
                .route(web::delete().to(delete)),
        )
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
    beacon: Option<BeaconPattern>,
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
    for (name, value) in presence(geofence) {
        if !value.is_null() {
            properties[name] = value;
        }
    }
    if !geofence.metadata.is_empty() {
        properties["metadata"] = json!(geofence.metadata);
    }
    json!({"type": "Feature", "properties": properties, "geometry": geometry})
}

/// What a geofence says of its own about presence, under the names that files have for it.
fn presence(geofence: &Geofence) -> [(&'static str, Value); 5] {
    let own = geofence.presence.as_deref().copied().unwrap_or_default();
    [
        ("enterAt", json!(own.enter_at)),
        ("exitAt", json!(own.exit_at)),
        ("exitAfterFixes", json!(own.exit_after_fixes)),
        ("beaconRssiMin", json!(own.beacon_rssi_min_dbm)),
        ("crossed", json!(own.crossed)),
    ]
}

pub(super) fn id_of(path: &(String, String)) -> Result<GeofenceId, Problem> {
    Ok(GeofenceId {
        tag: path_id("the tag", &path.0, Tag::new)?,
        external_id: path_id("the external id", &path.1, ExternalId::new)?,
    })
}

pub(super) fn unknown(id: &GeofenceId) -> Problem {
    Problem::new(Code::GeofenceUnknown, format!("there is no geofence {id}"))
}

async fn get(app: web::Data<App>, caller: Caller, path: web::Path<(String, String)>) -> Result<HttpResponse, Problem> {
    caller.require(Role::Viewer)?;
    let id = id_of(&path)?;
    let catalogue = app.engine.catalogues.of(&caller.workspace);
    let geofence = catalogue.places.lookup(&id).ok_or_else(|| unknown(&id))?;
    Ok(HttpResponse::Ok().json(summary(geofence)))
}

/// Adds or replaces one geofence. It matches from the answer on.
async fn put(
    app: web::Data<App>,
    caller: Caller,
    path: web::Path<(String, String)>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    caller.require(Role::Marketer)?;
    let id = id_of(&path)?;
    let (body, _) = body::read_json::<Map<String, Value>>(&request, payload, SINGLE_BYTES_MAX).await?;
    let name = id.clone();
    let (geofence, warnings) = beside(move || single::read(&name, body)).await??;
    let (engine, workspace) = (Arc::clone(&app.engine), caller.workspace.clone());
    let put = to_its_end(async move { engine.put_geofence(&workspace, geofence).await }).await??;
    let catalogue = app.engine.catalogues.of(&caller.workspace);
    let mut answer = catalogue.places.lookup(&id).map_or(Value::Null, summary);
    answer["warnings"] = json!(warnings);
    Ok(match put {
        Put::Created => HttpResponse::Created().json(answer),
        Put::Replaced | Put::Unchanged => HttpResponse::Ok().json(answer),
    })
}

async fn delete(
    app: web::Data<App>,
    caller: Caller,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    caller.require(Role::Marketer)?;
    let id = id_of(&path)?;
    let (engine, workspace, name) = (Arc::clone(&app.engine), caller.workspace.clone(), id.clone());
    if to_its_end(async move { engine.delete_geofence(&workspace, &name).await }).await?? {
        return Ok(HttpResponse::NoContent().finish());
    }
    Err(unknown(&id))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    near: Option<String>,
    radius: Option<f64>,
    bbox: Option<String>,
    tag: Option<String>,
    set: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// So many numbers with commas between them.
fn numbers<const N: usize>(text: &str) -> Result<[f64; N], String> {
    let parts: Vec<f64> = text.split(',').map_while(|part| part.trim().parse().ok()).collect();
    <[f64; N]>::try_from(parts)
        .ok()
        .filter(|_| text.split(',').count() == N)
        .ok_or_else(|| format!("write {N} numbers with commas between them"))
}

fn read_near(text: &str) -> Result<Position, String> {
    let [latitude, longitude] = numbers(text)?;
    Position::new(latitude, longitude).map_err(|error| error.to_string())
}

fn read_box(text: &str) -> Result<LonLatBox, String> {
    let [west, south, east, north] = numbers(text)?;
    for (latitude, longitude) in [(south, west), (north, east)] {
        Position::new(latitude, longitude).map_err(|error| format!("{error}; write west,south,east,north"))?;
    }
    if south > north {
        return Err("its south is north of its north; write west,south,east,north".to_owned());
    }
    Ok(LonLatBox {
        west,
        south,
        east,
        north,
    })
}

fn read_cursor(text: &str) -> Result<GeofenceId, &'static str> {
    let decoded = BASE64_URL_SAFE_NO_PAD.decode(text).ok();
    let id = decoded.and_then(|json| serde_json::from_slice(&json).ok());
    id.ok_or("is no cursor that this server gave")
}

fn write_cursor(id: &GeofenceId) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(json!(id).to_string())
}

/// Geofences by distance, in a box, of a tag or set.
async fn list(app: web::Data<App>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, Problem> {
    caller.require(Role::Viewer)?;
    let wanted: ListQuery = query(&request)?;
    let limit = pages::limit(wanted.limit);
    let radius_m = wanted.radius.unwrap_or(NEAR_RADIUS_M);
    if !(0.0..=RADIUS_M_MAX).contains(&radius_m) {
        let detail = format!("`radius`: must be 0 to {RADIUS_M_MAX} metres");
        return Err(Problem::new(Code::ParameterInvalid, detail));
    }
    let near = parameter("near", wanted.near.as_deref(), read_near)?;
    if near.is_some() && wanted.cursor.is_some() {
        let detail = "`cursor`: a search by `near` has one page; raise `limit` or lower `radius`";
        return Err(Problem::new(Code::ParameterInvalid, detail));
    }
    let filter = GeofenceFilter {
        tag: parameter("tag", wanted.tag.as_deref(), Tag::new)?,
        set: parameter("set", wanted.set.as_deref(), SetName::new)?,
        within: parameter("bbox", wanted.bbox.as_deref(), read_box)?,
        near: near.map(|at| (at, radius_m)),
        after: parameter("cursor", wanted.cursor.as_deref(), read_cursor)?,
    };
    let found = app.engine.find_geofences(&caller.workspace, filter, limit).await?;
    let next = found
        .last()
        .filter(|_| near.is_none() && found.len() == limit)
        .map(|last| write_cursor(&last.geofence.id));
    let items: Vec<Value> = found
        .iter()
        .map(|found| {
            let mut item = summary(&found.geofence);
            if let Some(distance_m) = found.distance_m {
                item["distance"] = json!(distance_m);
            }
            item
        })
        .collect();
    Ok(HttpResponse::Ok().json(json!({"items": items, "nextCursor": next})))
}

fn summary(geofence: &Geofence) -> Value {
    let mut summary = json!({
        "tag": geofence.id.tag, "externalId": geofence.id.external_id, "set": geofence.set,
        "description": geofence.description, "enabled": geofence.enabled, "brand": geofence.brand,
        "metadata": geofence.metadata, "beacons": geofence.beacons, "codes": geofence.codes,
        "dwellThreshold": geofence.dwell_threshold, "operatingHours": geofence.operating_hours,
        "geometry": &geofence.shape,
    });
    for (name, value) in presence(geofence) {
        summary[name] = value;
    }
    summary
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
    catalogue.places.containing(at, &mut found);
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
