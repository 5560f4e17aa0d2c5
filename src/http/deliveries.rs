//! `/v1/deliveries`: what became of decisions, and of pushes on phones.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    App,
    auth::{Caller, Identity},
    body, pages, parameter,
    problem::{Code, Problem},
    query, resource,
};
use crate::{
    domain::{
        delivery::DeliveryState,
        event::ReactionKind,
        ids::{CampaignId, DeliveryId, UserId},
        time::{DurationMs, Timestamp},
    },
    engine::{
        ports::{DeliveryFilter, DeliveryRow, ReactionNoted, Role},
        reactions::Reaction,
    },
};

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(resource("/v1/deliveries").route(web::get().to(list)))
        .service(resource("/v1/deliveries/{id}").route(web::get().to(get)))
        .service(resource("/v1/deliveries/{id}/events").route(web::post().to(post_event)));
}

pub(super) fn row_body(row: &DeliveryRow) -> Value {
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

/// Longest name of a button, in bytes.
const ACTION_BYTES_MAX: usize = 100;

fn unknown() -> Problem {
    Problem::new(Code::DeliveryUnknown, "there is no such delivery")
}

async fn find(app: &App, caller: &Caller, path: &str) -> Result<DeliveryRow, Problem> {
    let id = DeliveryId(Uuid::parse_str(path).map_err(|_| unknown())?);
    let row = app.engine.store.hot.delivery(&caller.workspace, id).await?;
    row.ok_or_else(unknown)
}

async fn get(app: web::Data<App>, caller: Caller, path: web::Path<String>) -> Result<HttpResponse, Problem> {
    caller.require(Role::Viewer)?;
    let row = find(&app, &caller, &path).await?;
    Ok(HttpResponse::Ok().json(row_body(&row)))
}

#[derive(Deserialize)]
struct EventBody {
    #[serde(rename = "type")]
    kind: ReactionKind,
    at: Option<Timestamp>,
    action: Option<String>,
}

impl EventBody {
    fn check(self, now: Timestamp, future_max: DurationMs) -> Result<Reaction, Problem> {
        let wrong = |pointer: &str, detail: String| Err(Problem::field(Code::FieldInvalid, pointer, detail));
        match (&self.action, self.kind) {
            (None, ReactionKind::Action) => return wrong("/action", "is required with type `action`".to_owned()),
            (Some(_), ReactionKind::Delivered | ReactionKind::Opened | ReactionKind::Dismissed) => {
                return wrong("/action", "goes with type `action` only".to_owned());
            }
            (Some(action), ReactionKind::Action)
                if action.is_empty() || action.len() > ACTION_BYTES_MAX || action.chars().any(char::is_control) =>
            {
                let detail = format!("must have 1 to {ACTION_BYTES_MAX} bytes without control characters");
                return wrong("/action", detail);
            }
            _ => {}
        }
        let at = self.at.unwrap_or(now);
        if at > now.plus(future_max) {
            return Err(Problem::field(
                Code::TimeInFuture,
                "/at",
                "is in the future by this server's clock",
            ));
        }
        Ok(Reaction {
            kind: self.kind,
            at,
            action: self.action,
        })
    }
}

/// A phone tells of its own pushes only; for others there is no such delivery.
fn may_tell(caller: &Caller, row: &DeliveryRow) -> Result<(), Problem> {
    match &caller.identity {
        Identity::Device(device) if *device == row.delivery.device => Ok(()),
        Identity::Device(_) => Err(unknown()),
        Identity::Key(_) => caller.require(Role::Marketer),
    }
}

async fn post_event(
    app: web::Data<App>,
    caller: Caller,
    path: web::Path<String>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    if let Identity::Key(_) = &caller.identity {
        caller.require(Role::Marketer)?;
    }
    let (event, unknown_fields) = body::read_json::<EventBody>(&request, payload, app.limits.body_bytes_max).await?;
    let reaction = event.check(app.engine.clock.now(), app.limits.future_max)?;
    let row = find(&app, &caller, &path).await?;
    may_tell(&caller, &row)?;
    if row.attempts == 0 {
        let detail = "nothing of it has left for the phone";
        return Err(Problem::new(Code::DeliveryNotSent, detail));
    }
    let (kind, at) = (reaction.kind, reaction.at);
    let status = match app.engine.react(&row, reaction).await? {
        ReactionNoted::Now => "recorded",
        ReactionNoted::Before => "duplicate",
        ReactionNoted::TooMany => {
            let detail = "as many different events of this delivery are kept as may be";
            return Err(Problem::new(Code::TooManyReactions, detail));
        }
    };
    let mut response = HttpResponse::Ok();
    unknown_fields.warn(&mut response);
    Ok(response.json(json!({"deliveryId": row.delivery.id, "type": kind, "at": at, "status": status})))
}
