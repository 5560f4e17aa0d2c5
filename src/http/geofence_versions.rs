//! `/v1/geofence-sets/{set}/versions`: what was uploaded before, and the way back to it.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::{
    App,
    auth::Caller,
    geofence_sets::{diff_body, unknown_set},
    path_id,
    problem::{Code, Problem},
    resource, to_its_end,
};
use crate::{domain::ids::SetName, engine::ports::Role};

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(resource("/v1/geofence-sets/{set}/versions").route(web::get().to(list)))
        .service(resource("/v1/geofence-sets/{set}/versions/{version}/activate").route(web::post().to(activate)));
}

async fn list(app: web::Data<App>, caller: Caller, path: web::Path<String>) -> Result<HttpResponse, Problem> {
    caller.require(Role::Viewer)?;
    let set = path_id("the set's name", &path, SetName::new)?;
    let versions = app.engine.set_versions(&caller.workspace, &set).await?;
    if versions.is_empty() {
        return Err(unknown_set(&set));
    }
    let items: Vec<Value> = versions
        .iter()
        .map(|version| {
            json!({
                "version": version.version, "count": version.count, "createdAt": version.created_at,
                "live": version.live,
            })
        })
        .collect();
    Ok(HttpResponse::Ok().json(json!({"items": items, "nextCursor": null})))
}

async fn activate(
    app: web::Data<App>,
    caller: Caller,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    caller.require(Role::Marketer)?;
    let set = path_id("the set's name", &path.0, SetName::new)?;
    let unknown = || {
        let detail = format!(
            "version {} of geofence set `{set}` is not kept; GET .../versions lists those",
            path.1
        );
        Problem::new(Code::GeofenceUnknown, detail)
    };
    let version: u32 = path.1.parse().map_err(|_| unknown())?;
    let (engine, workspace, name) = (Arc::clone(&app.engine), caller.workspace.clone(), set.clone());
    let activation = to_its_end(async move { engine.activate_version(&workspace, &name, version).await }).await??;
    let activation = activation.ok_or_else(unknown)?;
    let mut answer = json!({"set": set, "version": activation.version});
    diff_body(&activation.diff, &mut answer);
    Ok(HttpResponse::Ok().json(answer))
}
