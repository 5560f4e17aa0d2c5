//! `/v1/code-pools`: codes that the owner brings, such as those of a till that knows no others.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

use super::{
    App,
    auth::Caller,
    body,
    problem::{Code, Problem, Wrong},
    resource,
};
use crate::{
    domain::{
        campaign::POOL_BYTES_MAX,
        ids::IdError,
        offer_code::{CODE_BYTES_MAX, OfferCode},
    },
    engine::ports::{CODES_MAX, Role},
};

/// Most wrong lines that are named.
const ERRORS_MAX: usize = 100;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(resource("/v1/code-pools").route(web::get().to(list)))
        .service(
            resource("/v1/code-pools/{pool}")
                .route(web::put().to(put))
                .route(web::delete().to(delete)),
        );
}

fn name(path: &web::Path<String>) -> Result<String, Problem> {
    let wrong = |error: IdError| Problem::new(Code::PathInvalid, format!("the pool's name {error}"));
    if path.trim().is_empty() {
        return Err(wrong(IdError::Empty));
    }
    if path.len() > POOL_BYTES_MAX {
        return Err(wrong(IdError::TooLong {
            bytes: path.len(),
            bytes_max: POOL_BYTES_MAX,
        }));
    }
    if path.chars().any(char::is_control) {
        return Err(wrong(IdError::Control));
    }
    Ok(path.to_string())
}

async fn list(app: web::Data<App>, caller: Caller) -> Result<HttpResponse, Problem> {
    caller.require(Role::Viewer)?;
    let pools = app.engine.store.offers.pools(&caller.workspace).await?;
    let items: Vec<_> = pools
        .iter()
        .map(|pool| json!({"pool": pool.name, "free": pool.free, "taken": pool.taken}))
        .collect();
    Ok(HttpResponse::Ok().json(json!({"items": items, "nextCursor": null})))
}

/// Adds codes, one a line; a first line `code` is a header. All of them or none.
async fn put(
    app: web::Data<App>,
    caller: Caller,
    path: web::Path<String>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    caller.require(Role::Marketer)?;
    let pool = name(&path)?;
    let bytes = body::read(&request, payload, CODES_MAX * (CODE_BYTES_MAX + 2)).await?;
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        Problem::new(
            Code::FileUnreadable,
            format!("no UTF-8 at byte {}", error.valid_up_to()),
        )
    })?;
    let (mut codes, mut errors) = (Vec::new(), Vec::new());
    for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim().trim_matches('"');
        if line.is_empty() || (number == 0 && line.eq_ignore_ascii_case("code")) {
            continue;
        }
        match OfferCode::uploaded(line) {
            Ok(code) => codes.push(code),
            Err(_) if errors.len() >= ERRORS_MAX => {}
            Err(error) => errors.push(Wrong {
                pointer: None,
                line: Some(number as u64 + 1),
                code: Code::CodesInvalid.name(),
                detail: error.to_string(),
            }),
        }
    }
    if !errors.is_empty() {
        return Err(Problem::new(Code::CodesInvalid, "no code was added").with_errors(errors));
    }
    if codes.len() > CODES_MAX {
        let detail = format!("holds {} codes, the limit of one upload is {CODES_MAX}", codes.len());
        return Err(Problem::new(Code::TooManyItems, detail));
    }
    let added = app
        .engine
        .store
        .offers
        .put_codes(&caller.workspace, &pool, &codes)
        .await?;
    let known = codes.len() as u64 - added;
    Ok(HttpResponse::Ok().json(json!({"pool": pool, "read": codes.len(), "added": added, "known": known})))
}

/// Takes back what nobody has.
async fn delete(app: web::Data<App>, caller: Caller, path: web::Path<String>) -> Result<HttpResponse, Problem> {
    caller.require(Role::Marketer)?;
    let pool = name(&path)?;
    let removed = app
        .engine
        .store
        .offers
        .drop_free_codes(&caller.workspace, &pool)
        .await?;
    Ok(HttpResponse::Ok().json(json!({"pool": pool, "removed": removed})))
}
