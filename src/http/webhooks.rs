//! `/v1/webhooks`: endpoints of the owner's systems that are told what happens.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    App,
    auth::Caller,
    body,
    problem::{Code, Problem},
    resource,
};
use crate::{
    engine::{
        ports::{Role, StoreError, StoredWebhook},
        webhooks::{Enabled, TYPES, WEBHOOKS_MAX, Webhook},
    },
    webhook::new_secret,
};

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(
            resource("/v1/webhooks")
                .route(web::get().to(list))
                .route(web::post().to(post)),
        )
        .service(
            resource("/v1/webhooks/{id}")
                .route(web::get().to(get))
                .route(web::delete().to(delete)),
        )
        .service(resource("/v1/webhooks/{id}/enable").route(web::post().to(enable)));
}

#[derive(Deserialize)]
struct WebhookBody {
    url: String,
    #[serde(default)]
    types: Vec<String>,
}

#[derive(Deserialize, Default)]
struct EnableBody {
    /// The event to leave out.
    skip: Option<String>,
}

/// The endpoint as it is shown: its secret is told only once.
fn shown(stored: &StoredWebhook) -> Result<Value, StoreError> {
    let webhook = Webhook::read(stored)?;
    let status = match (webhook.disabled_at, webhook.failing_since) {
        (Some(_), _) => "disabled",
        (None, Some(_)) => "failing",
        (None, None) => "active",
    };
    let held = webhook
        .held
        .map(|held| json!({"id": held.id, "type": held.kind, "time": held.at, "since": held.since}));
    let next = stored.due_at.filter(|_| status == "failing");
    Ok(json!({
        "id": stored.id, "url": webhook.url, "types": webhook.types, "createdAt": webhook.created_at, "status": status,
        "failures": webhook.failures, "failingSince": webhook.failing_since, "failure": webhook.failure,
        "held": held, "nextAttemptAt": next, "disabledAt": webhook.disabled_at,
    }))
}

async fn all(app: &App, caller: &Caller) -> Result<Vec<StoredWebhook>, Problem> {
    caller.require(Role::Operator)?;
    Ok(app.engine.store.webhooks.webhooks(&caller.workspace).await?)
}

fn unknown() -> Problem {
    Problem::new(Code::WebhookUnknown, "there is no such webhook")
}

fn too_many() -> Problem {
    let detail = format!("the workspace has {WEBHOOKS_MAX} webhooks already");
    Problem::new(Code::TooManyWebhooks, detail)
}

async fn list(app: web::Data<App>, caller: Caller) -> Result<HttpResponse, Problem> {
    let all = all(&app, &caller).await?;
    let items = all.iter().map(shown).collect::<Result<Vec<Value>, _>>()?;
    Ok(HttpResponse::Ok().json(json!({"items": items, "nextCursor": null})))
}

async fn get(app: web::Data<App>, caller: Caller, path: web::Path<String>) -> Result<HttpResponse, Problem> {
    let all = all(&app, &caller).await?;
    let found = all.iter().find(|stored| stored.id == *path).ok_or_else(unknown)?;
    Ok(HttpResponse::Ok().json(shown(found)?))
}

async fn post(
    app: web::Data<App>,
    caller: Caller,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    caller.require(Role::Operator)?;
    let (wanted, unknown_fields) = body::read_json::<WebhookBody>(&request, payload, app.limits.body_bytes_max).await?;
    let wrong = |pointer: String, detail: String| Err(Problem::field(Code::FieldInvalid, pointer, detail));
    if let Err(why) = app.webhooks.check(&wanted.url) {
        return wrong("/url".to_owned(), why);
    }
    if let Some(at) = wanted.types.iter().position(|kind| !TYPES.contains(&kind.as_str())) {
        return wrong(format!("/types/{at}"), format!("is not one of {}", TYPES.join(", ")));
    }
    if all(&app, &caller).await?.len() >= WEBHOOKS_MAX {
        return Err(too_many());
    }
    let mut types = wanted.types;
    types.sort_unstable();
    types.dedup();
    let secret = new_secret().ok_or_else(|| Problem::new(Code::Internal, "no randomness from the system"))?;
    let id = format!("wh_{}", Uuid::new_v4().simple());
    let stored = app
        .engine
        .put_webhook(&caller.workspace, &id, &wanted.url, types, &secret)
        .await?;
    // Another one may have been added at the same time.
    if all(&app, &caller).await?.len() > WEBHOOKS_MAX {
        let webhooks = &app.engine.store.webhooks;
        webhooks.delete_webhook(&caller.workspace, &id).await?;
        return Err(too_many());
    }
    let mut shown = shown(&stored)?;
    shown["secret"] = json!(secret);
    let mut response = HttpResponse::Created();
    unknown_fields.warn(&mut response);
    Ok(response.json(shown))
}

async fn delete(app: web::Data<App>, caller: Caller, path: web::Path<String>) -> Result<HttpResponse, Problem> {
    caller.require(Role::Operator)?;
    if app
        .engine
        .store
        .webhooks
        .delete_webhook(&caller.workspace, &path)
        .await?
    {
        return Ok(HttpResponse::NoContent().finish());
    }
    Err(unknown())
}

async fn enable(
    app: web::Data<App>,
    caller: Caller,
    path: web::Path<String>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    caller.require(Role::Operator)?;
    let bytes_max = app.limits.body_bytes_max;
    let (wanted, unknown_fields) = body::read_optional_json::<EnableBody>(&request, payload, bytes_max).await?;
    let enabled = app
        .engine
        .enable_webhook(&caller.workspace, &path, wanted.skip.as_deref())
        .await?;
    match enabled {
        Enabled::Unknown => return Err(unknown()),
        Enabled::NotHeld => {
            let detail = "`skip` must be the id of the event that this webhook holds";
            return Err(Problem::field(Code::EventNotHeld, "/skip", detail));
        }
        Enabled::Done => {}
    }
    let all = all(&app, &caller).await?;
    let found = all.iter().find(|stored| stored.id == *path).ok_or_else(unknown)?;
    let mut response = HttpResponse::Ok();
    unknown_fields.warn(&mut response);
    Ok(response.json(shown(found)?))
}
