//! `POST /v1/events`: something happened outside.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    App,
    auth::Caller,
    body, made_up_id,
    problem::{Code, Problem},
    resource,
};
use crate::{
    domain::{
        event::{EventTarget, OutsideEvent},
        figures::{PURCHASE, Purchase},
        ids::{CauseId, ExternalId, GeofenceId, Tag, Topic, UserId},
        json_reader::Node,
        time::{DurationMs, Timestamp},
    },
    engine::ports::Role,
};

/// Longest type of an event, in bytes.
const TYPE_BYTES_MAX: usize = 200;
/// Largest data of an event, in bytes of JSON.
const DATA_BYTES_MAX: usize = 16 * 1024;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(resource("/v1/events").route(web::post().to(post)));
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EventBody {
    id: Option<String>,
    #[serde(rename = "type")]
    event_type: String,
    at: Option<Timestamp>,
    user_id: Option<String>,
    topic: Option<String>,
    geofence: Option<GeofenceBody>,
    #[serde(default)]
    data: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GeofenceBody {
    tag: String,
    external_id: String,
}

impl EventBody {
    fn validate(self, key: Option<&str>, now: Timestamp, future_max: DurationMs) -> Result<OutsideEvent, Problem> {
        let at = self.at.unwrap_or(now);
        if at > now.plus(future_max) {
            let detail = format!("{at} is more than {future_max} ahead of the server's {now}");
            return Err(Problem::field(Code::TimeInFuture, "/at", detail));
        }
        let invalid = |pointer: &str, detail: &dyn std::fmt::Display| {
            Problem::field(Code::FieldInvalid, pointer, detail.to_string())
        };
        if self.event_type.is_empty() || self.event_type.len() > TYPE_BYTES_MAX {
            return Err(invalid("/type", &format!("must have 1 to {TYPE_BYTES_MAX} bytes")));
        }
        let target = match (self.user_id, self.topic, self.geofence) {
            (Some(user), None, None) => {
                EventTarget::User(UserId::new(user).map_err(|error| invalid("/userId", &error))?)
            }
            (None, Some(topic), None) => {
                EventTarget::Topic(Topic::new(topic).map_err(|error| invalid("/topic", &error))?)
            }
            (None, None, Some(geofence)) => EventTarget::Geofence(GeofenceId {
                tag: Tag::new(geofence.tag).map_err(|error| invalid("/geofence/tag", &error))?,
                external_id: ExternalId::new(geofence.external_id)
                    .map_err(|error| invalid("/geofence/externalId", &error))?,
            }),
            _ => return Err(invalid("", &"needs exactly one of userId, topic and geofence")),
        };
        let size = serde_json::to_string(&self.data).map_or(usize::MAX, |text| text.len());
        if size > DATA_BYTES_MAX {
            return Err(invalid(
                "/data",
                &format!("is {size} bytes, the limit is {DATA_BYTES_MAX}"),
            ));
        }
        if self.event_type == PURCHASE {
            check_purchase(&target, &self.data)?;
        }
        let id = match self.id.as_deref().or(key) {
            None => made_up_id()?,
            Some(id) => CauseId::new(id).map_err(|error| invalid("/id", &error))?,
        };
        Ok(OutsideEvent {
            id,
            event_type: self.event_type,
            at,
            target,
            data: self.data,
        })
    }
}

/// A purchase is folded into figures, so it must have the form of one.
fn check_purchase(target: &EventTarget, data: &Map<String, Value>) -> Result<(), Problem> {
    if let EventTarget::Topic(_) = target {
        let detail = "a purchase is one customer's; give `userId`";
        return Err(Problem::field(Code::FieldInvalid, "/topic", detail));
    }
    let data = Value::Object(data.clone());
    let read = Purchase::read(&Node::root(&data));
    read.map(drop)
        .map_err(|refusal| Problem::field(Code::FieldInvalid, format!("/data{}", refusal.pointer), refusal.detail))
}

async fn post(
    app: web::Data<App>,
    caller: Caller,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    caller.require(Role::Marketer)?;
    let (body, unknown) = body::read_json::<EventBody>(&request, payload, app.limits.body_bytes_max).await?;
    let key = request
        .headers()
        .get("Idempotency-Key")
        .and_then(|value| value.to_str().ok());
    let event = body.validate(key, app.engine.clock.now(), app.limits.future_max)?;
    let matched = app.engine.take_event(&caller.workspace, &event).await?;
    let mut response = HttpResponse::Accepted();
    unknown.warn(&mut response);
    Ok(response.json(json!({"id": event.id, "matched": matched})))
}
