//! `/v1/users/{userId}`: the owner's systems tell of customers.

use std::{collections::BTreeSet, sync::Arc};

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    App,
    auth::Caller,
    body, deliveries,
    geofences::PresentBody,
    pages, path_id,
    problem::{Code, Problem},
    query, resource,
};
use crate::{
    domain::{
        customer::{Consent, Profile, TOPICS_MAX},
        event::Fact,
        ids::{SubjectId, Topic, UserId},
        record::Record,
    },
    engine::{
        customers::{ProfileUpdate, UpdateMode},
        ingest::Present,
        ports::{DeliveryFilter, FactCursor, Role},
    },
};

/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 500;
/// Most facts, and most deliveries, of one export.
const EXPORTED_MAX: usize = 10_000;
/// So many are read at once.
const EXPORT_PAGE: usize = 1000;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(
            resource("/v1/users/{userId}")
                .route(web::put().to(put))
                .route(web::patch().to(patch))
                .route(web::get().to(get))
                .route(web::delete().to(delete)),
        )
        .service(resource("/v1/users/{userId}/timeline").route(web::get().to(timeline)))
        .service(resource("/v1/users/{userId}/export").route(web::get().to(export)));
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UserBody {
    name: Option<String>,
    traits: Option<Map<String, Value>>,
    topics: Option<Vec<String>>,
    #[serde(default)]
    consent: Consent,
    locale: Option<String>,
    time_zone: Option<String>,
    debug: Option<bool>,
}

impl UserBody {
    fn validate(self) -> Result<ProfileUpdate, Problem> {
        let invalid = |pointer: &str, detail: String| Problem::field(Code::FieldInvalid, pointer, detail);
        if self.name.as_ref().is_some_and(|name| name.len() > NAME_BYTES_MAX) {
            return Err(invalid("/name", format!("is longer than {NAME_BYTES_MAX} bytes")));
        }
        let topics = self.topics.map(|topics| {
            if topics.len() > TOPICS_MAX {
                return Err(invalid(
                    "/topics",
                    format!("has {} topics, the limit is {TOPICS_MAX}", topics.len()),
                ));
            }
            let read = |(index, topic): (usize, &String)| {
                Topic::new(topic).map_err(|error| invalid(&format!("/topics/{index}"), error.to_string()))
            };
            topics
                .iter()
                .enumerate()
                .map(read)
                .collect::<Result<BTreeSet<Topic>, Problem>>()
        });
        Ok(ProfileUpdate {
            name: self.name,
            traits: self.traits,
            topics: topics.transpose()?,
            consent: self.consent,
            locale: body::short_text("/locale", self.locale)?,
            time_zone: body::time_zone("/timeZone", self.time_zone)?,
            debug: self.debug,
        })
    }
}

async fn put(
    app: web::Data<App>,
    caller: Caller,
    path: web::Path<String>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    write(&app, &caller, &path, &request, payload, UpdateMode::Replace).await
}

async fn patch(
    app: web::Data<App>,
    caller: Caller,
    path: web::Path<String>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    write(&app, &caller, &path, &request, payload, UpdateMode::Merge).await
}

async fn write(
    app: &App,
    caller: &Caller,
    user: &str,
    request: &HttpRequest,
    payload: web::Payload,
    mode: UpdateMode,
) -> Result<HttpResponse, Problem> {
    caller.require(Role::Marketer)?;
    let user = path_id("the user id", user, UserId::new)?;
    let (body, unknown) = body::read_json::<UserBody>(request, payload, app.limits.body_bytes_max).await?;
    let update = body.validate()?;
    let profile = app.engine.put_customer(&caller.workspace, &user, &update, mode).await?;
    let mut response = HttpResponse::Ok();
    unknown.warn(&mut response);
    Ok(response.json(profile_body(&user, &profile)))
}

fn profile_body(user: &UserId, profile: &Profile) -> Value {
    json!({
        "userId": user, "name": profile.name, "traits": profile.traits, "topics": profile.topics,
        "consent": profile.consent, "locale": profile.locale, "timeZone": profile.time_zone,
        "debug": profile.debug,
    })
}

fn record_body(user: &UserId, record: &Record) -> Value {
    let mut body = profile_body(user, &record.profile);
    let devices: Vec<Value> = record
        .devices
        .iter()
        .map(|device| {
            let present = device.whereabouts.visits.iter().filter_map(|visit| {
                let evidence = visit.evidence()?;
                Some(Present {
                    geofence: visit.geofence.clone(),
                    since: visit.since,
                    evidence,
                })
            });
            let target = device.target.as_ref();
            json!({
                "deviceId": device.id, "platform": target.map(|target| target.platform),
                "app": target.map(|target| &target.app), "hasPushToken": target.is_some(),
                "locale": device.locale, "timeZone": device.time_zone, "seenAt": device.seen_at,
                "geofences": present.map(|present| json!(PresentBody::from(&present))).collect::<Vec<_>>(),
            })
        })
        .collect();
    body["devices"] = Value::from(devices);
    body["figures"] = record.figures.to_json(record.last_seen());
    body
}

async fn get(app: web::Data<App>, caller: Caller, path: web::Path<String>) -> Result<HttpResponse, Problem> {
    caller.require(Role::Viewer)?;
    let user = path_id("the user id", &path, UserId::new)?;
    let record = known(&app, &caller, &user).await?;
    Ok(HttpResponse::Ok().json(record_body(&user, &record)))
}

async fn delete(app: web::Data<App>, caller: Caller, path: web::Path<String>) -> Result<HttpResponse, Problem> {
    caller.require(Role::Marketer)?;
    let user = path_id("the user id", &path, UserId::new)?;
    if app.engine.delete_customer(&caller.workspace, &user).await? {
        return Ok(HttpResponse::NoContent().finish());
    }
    Err(unknown_user(&user))
}

pub(super) fn unknown_user(user: &UserId) -> Problem {
    Problem::new(Code::UserUnknown, format!("there is no customer `{user}`"))
}

/// Facts of the customer, newest first, each with its place.
fn fact_body(place: &FactCursor, fact: &Fact) -> Value {
    let mut body = json!(fact);
    body["place"] = json!(place.as_str());
    body
}

pub(super) async fn known(app: &App, caller: &Caller, user: &UserId) -> Result<Arc<Record>, Problem> {
    let record = app.engine.customer(&caller.workspace, user).await?;
    record.ok_or_else(|| unknown_user(user))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TimelineQuery {
    limit: Option<usize>,
    cursor: Option<String>,
}

async fn timeline(
    app: web::Data<App>,
    caller: Caller,
    path: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    caller.require(Role::Viewer)?;
    let user = path_id("the user id", &path, UserId::new)?;
    let wanted: TimelineQuery = query(&request)?;
    known(&app, &caller, &user).await?;
    let limit = pages::limit(wanted.limit);
    let before = wanted.cursor.map(FactCursor::new);
    let hot = &app.engine.store.hot;
    let subject = SubjectId::User(user);
    let page = hot
        .facts_of(&caller.workspace, &subject, before.as_ref(), limit)
        .await?;
    let next = page.upto.as_ref().filter(|_| page.is_full);
    let items: Vec<Value> = page.facts.iter().map(|(place, fact)| fact_body(place, fact)).collect();
    Ok(HttpResponse::Ok().json(json!({"items": items, "nextCursor": next.map(FactCursor::as_str)})))
}

/// All that is known of the customer, for whoever asks for their data.
async fn export(app: web::Data<App>, caller: Caller, path: web::Path<String>) -> Result<HttpResponse, Problem> {
    caller.require(Role::Marketer)?;
    let user = path_id("the user id", &path, UserId::new)?;
    let record = known(&app, &caller, &user).await?;
    let (hot, workspace) = (&app.engine.store.hot, &caller.workspace);
    let (mut facts, mut deliveries) = (Vec::new(), Vec::new());
    let subject = SubjectId::User(user.clone());
    let mut before: Option<FactCursor> = None;
    let mut is_complete = false;
    while facts.len() < EXPORTED_MAX && !is_complete {
        let page = hot.facts_of(workspace, &subject, before.as_ref(), EXPORT_PAGE).await?;
        is_complete = !page.is_full;
        before = page.upto;
        facts.extend(page.facts.iter().map(|(place, fact)| fact_body(place, fact)));
    }
    let mut filter = DeliveryFilter {
        user: Some(user.clone()),
        ..DeliveryFilter::default()
    };
    let mut has_all_deliveries = false;
    while deliveries.len() < EXPORTED_MAX && !has_all_deliveries {
        let page = hot.deliveries(workspace, filter.clone(), EXPORT_PAGE).await?;
        has_all_deliveries = page.len() < EXPORT_PAGE;
        filter.before = page.last().map(|row| (row.delivery.decided_at, row.delivery.id));
        deliveries.extend(page.iter().map(deliveries::row_body));
    }
    Ok(HttpResponse::Ok().json(json!({
        "user": record_body(&user, &record), "sends": record.sends, "deliveries": deliveries, "timeline": facts,
        "isComplete": is_complete && has_all_deliveries,
    })))
}
