//! `/v1/keys`: an admin makes and removes keys.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    App,
    auth::Caller,
    body,
    problem::{Code, Problem},
    resource,
};
use crate::engine::ports::{ApiKey, Role};

/// Longest name of a key, in bytes.
const NAME_BYTES_MAX: usize = 200;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(
            resource("/v1/keys")
                .route(web::get().to(list))
                .route(web::post().to(post)),
        )
        .service(resource("/v1/keys/{id}").route(web::delete().to(delete)));
}

#[derive(Deserialize)]
struct KeyBody {
    role: Role,
    #[serde(default)]
    name: String,
}

fn key_body(key: &ApiKey) -> Value {
    json!({"id": key.id, "role": key.role, "name": key.name, "createdAt": key.created_at})
}

async fn list(app: web::Data<App>, caller: Caller) -> Result<HttpResponse, Problem> {
    caller.require(Role::Admin)?;
    let keys = app.authority.keys();
    let items: Vec<Value> = keys
        .iter()
        .filter(|key| key.workspace == caller.workspace)
        .map(key_body)
        .collect();
    Ok(HttpResponse::Ok().json(json!({"items": items, "nextCursor": null})))
}

async fn post(
    app: web::Data<App>,
    caller: Caller,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    caller.require(Role::Admin)?;
    let (wanted, unknown) = body::read_json::<KeyBody>(&request, payload, app.limits.body_bytes_max).await?;
    if wanted.name.len() > NAME_BYTES_MAX {
        let detail = format!("is longer than {NAME_BYTES_MAX} bytes");
        return Err(Problem::field(Code::FieldInvalid, "/name", detail));
    }
    let now = app.engine.clock.now();
    let (key, secret) = app
        .authority
        .create(&caller.workspace, wanted.role, &wanted.name, now)
        .await?;
    let mut body = key_body(&key);
    body["key"] = json!(secret);
    let mut response = HttpResponse::Created();
    unknown.warn(&mut response);
    Ok(response.json(body))
}

async fn delete(app: web::Data<App>, caller: Caller, path: web::Path<String>) -> Result<HttpResponse, Problem> {
    caller.require(Role::Admin)?;
    if app.authority.delete(&caller.workspace, &path).await? {
        return Ok(HttpResponse::NoContent().finish());
    }
    Err(Problem::new(Code::KeyUnknown, "there is no such key"))
}
