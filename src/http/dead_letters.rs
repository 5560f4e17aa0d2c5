//! `/v1/dead-letters`: rows of the outbox that were set aside, for operators.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    App,
    auth::Caller,
    deliveries::read_cursor,
    pages, parameter,
    problem::{Code, Problem},
    query, resource,
};
use crate::{
    domain::ids::DeliveryId,
    engine::ports::{DeadLetter, Role},
};

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(resource("/v1/dead-letters").route(web::get().to(list)))
        .service(resource("/v1/dead-letters/{id}/requeue").route(web::post().to(requeue)));
}

/// The row as JSON where it is that, and else as text.
fn letter_body(letter: &DeadLetter) -> Value {
    let row = serde_json::from_str(&letter.body).unwrap_or_else(|_| json!(letter.body));
    json!({
        "id": letter.delivery, "at": letter.at, "reason": letter.reason, "attempts": letter.attempts, "row": row,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ListQuery {
    limit: Option<usize>,
    cursor: Option<String>,
}

async fn list(app: web::Data<App>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, Problem> {
    caller.require(Role::Operator)?;
    let wanted: ListQuery = query(&request)?;
    let before = parameter("cursor", wanted.cursor.as_deref(), read_cursor)?;
    let limit = pages::limit(wanted.limit);
    let letters = app
        .engine
        .store
        .hot
        .dead_letters(&caller.workspace, before, limit)
        .await?;
    let next = letters
        .last()
        .filter(|_| letters.len() == limit)
        .map(|letter| format!("{}_{}", letter.at.0, letter.delivery));
    let items: Vec<Value> = letters.iter().map(letter_body).collect();
    Ok(HttpResponse::Ok().json(json!({"items": items, "nextCursor": next})))
}

async fn requeue(app: web::Data<App>, caller: Caller, path: web::Path<String>) -> Result<HttpResponse, Problem> {
    caller.require(Role::Operator)?;
    let unknown = || Problem::new(Code::DeliveryUnknown, "there is no such dead letter");
    let id = DeliveryId(Uuid::parse_str(&path).map_err(|_| unknown())?);
    let now = app.engine.clock.now();
    if !app.engine.store.hot.requeue(&caller.workspace, id, now).await? {
        return Err(unknown());
    }
    app.engine.outbox_filled.notify_one();
    Ok(HttpResponse::NoContent().finish())
}
