//! `/v1/geofences/{tag}/{externalId}/users`: who is there now, for staff.

use actix_web::{HttpRequest, HttpResponse, web};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{App, auth::Caller, geofences, pages, parameter, problem::Problem, query, resource};
use crate::{
    domain::{
        ids::{DeviceId, SubjectId, UserId},
        presence::Evidence,
        time::Timestamp,
    },
    engine::{
        ports::Role,
        who_is_here::{Guest, Place},
    },
};

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(resource("/v1/geofences/{tag}/{externalId}/users").route(web::get().to(list)));
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GuestBody<'a> {
    user_id: Option<&'a UserId>,
    device_id: &'a DeviceId,
    name: Option<&'a str>,
    since: Timestamp,
    evidence: Evidence,
}

impl<'a> From<&'a Guest> for GuestBody<'a> {
    fn from(guest: &'a Guest) -> Self {
        Self {
            user_id: guest.user.as_ref(),
            device_id: &guest.device,
            name: guest.name.as_deref(),
            since: guest.stay.since,
            evidence: guest.stay.evidence,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    limit: Option<usize>,
    cursor: Option<String>,
}

fn read_cursor(text: &str) -> Result<Place, &'static str> {
    let read = || {
        let decoded = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let (subject, device): (String, DeviceId) = serde_json::from_slice(&decoded).ok()?;
        Some((SubjectId::from_key(&subject)?, device))
    };
    read().ok_or("is no cursor that this server gave")
}

fn write_cursor((subject, device): &Place) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(json!([subject.to_key(), device]).to_string())
}

async fn list(
    app: web::Data<App>,
    caller: Caller,
    path: web::Path<(String, String)>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    caller.require(Role::Viewer)?;
    let id = geofences::id_of(&path)?;
    let wanted: ListQuery = query(&request)?;
    let after = parameter("cursor", wanted.cursor.as_deref(), read_cursor)?;
    let catalogue = app.engine.catalogues.of(&caller.workspace);
    if catalogue.places.lookup(&id).is_none() {
        return Err(geofences::unknown(&id));
    }
    let (guests, next) = app
        .engine
        .who_is_here(&caller.workspace, &id, after, pages::limit(wanted.limit))
        .await?;
    let items: Vec<GuestBody<'_>> = guests.iter().map(GuestBody::from).collect();
    let next = next.as_ref().map(write_cursor);
    Ok(HttpResponse::Ok().json(json!({"items": items, "nextCursor": next})))
}
