//! `/v1/settings`: what a workspace decides for itself.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use super::{
    App,
    auth::Caller,
    body,
    problem::{Code, Problem},
    resource, to_its_end,
};
use crate::engine::{ports::Role, settings::CurrentSettings};

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(
        resource("/v1/settings")
            .route(web::get().to(get))
            .route(web::patch().to(patch)),
    );
}

/// What counts, under the same names as in the document, and what of it is the workspace's own.
fn settings_body(app: &App, current: &CurrentSettings) -> Value {
    let per_minute_max = current.pace.per_minute_max(app.limits.workspace_per_minute_max);
    let rules = current.presence;
    json!({
        "presence": {
            "enterAt": rules.thresholds.enter_at, "exitAt": rules.thresholds.exit_at,
            "exitAfterFixes": rules.thresholds.exit_after_fixes, "beaconHolds": rules.beacon_holds,
            "codeHolds": rules.code_holds, "silentAfter": rules.silent_after,
            "speedMaxKmPerH": rules.speed_max_km_per_h, "crossed": rules.crossed,
            "crossedLengthMax": rules.crossed_length_max_m, "crossedTimeMax": rules.crossed_time_max,
        },
        "campaigns": current.campaigns.to_json(),
        "pace": {"perMinuteMax": per_minute_max},
        "own": current.own,
    })
}

async fn get(app: web::Data<App>, caller: Caller) -> Result<HttpResponse, Problem> {
    caller.require(Role::Viewer)?;
    let current = app.engine.settings(&caller.workspace).await?;
    Ok(HttpResponse::Ok().json(settings_body(&app, &current)))
}

async fn patch(
    app: web::Data<App>,
    caller: Caller,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    caller.require(Role::Operator)?;
    let (patch, _) = body::read_json::<Value>(&request, payload, app.limits.body_bytes_max).await?;
    if !patch.is_object() {
        return Err(Problem::field(Code::FieldInvalid, "", "must be an object"));
    }
    let (engine, workspace) = (Arc::clone(&app.engine), caller.workspace.clone());
    let patched = to_its_end(async move { engine.patch_settings(&workspace, &patch).await }).await??;
    let current = patched.map_err(|refusal| Problem::field(Code::FieldInvalid, refusal.pointer, refusal.detail))?;
    Ok(HttpResponse::Ok().json(settings_body(&app, &current)))
}
