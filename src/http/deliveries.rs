//! `/v1/deliveries`: what became of decisions.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    App,
    auth::Caller,
    pages, parameter,
    problem::{Code, Problem},
    query, resource,
};
use crate::{
    domain::{
        delivery::DeliveryState,
        ids::{CampaignId, DeliveryId, UserId},
        time::Timestamp,
    },
    engine::ports::{DeliveryFilter, DeliveryRow, Role},
};

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(resource("/v1/deliveries").route(web::get().to(list)))
        .service(resource("/v1/deliveries/{id}").route(web::get().to(get)));
}

fn row_body(row: &DeliveryRow) -> Value {
    let delivery = &row.delivery;
    json!({
        "id": delivery.id, "state": row.state, "reason": row.reason, "attempts": row.attempts,
        "userId": delivery.subject.user(), "deviceId": delivery.device, "campaign": delivery.campaign,
        "campaignVersion": delivery.campaign_version, "brand": delivery.brand, "offer": delivery.offer,
        "trigger": delivery.trigger, "eventId": delivery.event, "eventAt": delivery.event_at,
        "geofence": delivery.geofence, "decidedAt": delivery.decided_at, "expiresAt": delivery.expires_at,
        "endedAt": row.ended_at, "why": delivery.why,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ListQuery {
    user_id: Option<String>,
    campaign: Option<String>,
    state: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// A cursor is the last item's time and id.
pub(super) fn read_cursor(text: &str) -> Result<(Timestamp, DeliveryId), &'static str> {
    let wrong = "is no cursor that this server gave";
    let (at, id) = text.split_once('_').ok_or(wrong)?;
    Ok((
        Timestamp(at.parse().map_err(|_| wrong)?),
        DeliveryId(Uuid::parse_str(id).map_err(|_| wrong)?),
    ))
}

async fn list(app: web::Data<App>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, Problem> {
    caller.require(Role::Viewer)?;
    let wanted: ListQuery = query(&request)?;
    let state = |text: &str| {
        DeliveryState::from_name(text).ok_or_else(|| {
            let names: Vec<&str> = DeliveryState::ALL.iter().map(|state| state.as_str()).collect();
            format!("is not one of {}", names.join(", "))
        })
    };
    let filter = DeliveryFilter {
        user: parameter("userId", wanted.user_id.as_deref(), UserId::new)?,
        campaign: parameter("campaign", wanted.campaign.as_deref(), CampaignId::new)?,
        state: parameter("state", wanted.state.as_deref(), state)?,
        before: parameter("cursor", wanted.cursor.as_deref(), read_cursor)?,
    };
    let limit = pages::limit(wanted.limit);
    let rows = app
        .engine
        .store
        .hot
        .deliveries(&caller.workspace, filter, limit)
        .await?;
    let next = rows
        .last()
        .filter(|_| rows.len() == limit)
        .map(|row| format!("{}_{}", row.delivery.decided_at.0, row.delivery.id));
    let items: Vec<Value> = rows.iter().map(row_body).collect();
    Ok(HttpResponse::Ok().json(json!({"items": items, "nextCursor": next})))
}

async fn get(app: web::Data<App>, caller: Caller, path: web::Path<String>) -> Result<HttpResponse, Problem> {
    caller.require(Role::Viewer)?;
    let unknown = || Problem::new(Code::DeliveryUnknown, "there is no such delivery");
    let id = DeliveryId(Uuid::parse_str(&path).map_err(|_| unknown())?);
    let row = app
        .engine
        .store
        .hot
        .delivery(&caller.workspace, id)
        .await?
        .ok_or_else(unknown)?;
    Ok(HttpResponse::Ok().json(row_body(&row)))
}
