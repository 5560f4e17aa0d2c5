//! What operators and their tools ask: is it alive, is it ready, what does it measure.

use std::time::Duration;

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::{
    App,
    auth::Caller,
    problem::{Code, Problem},
    resource,
};
use crate::engine::ports::Role;

/// The store has this long to answer a readiness check.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(resource("/livez").route(web::get().to(livez)))
        .service(resource("/readyz").route(web::get().to(readyz)))
        .service(resource("/startupz").route(web::get().to(startupz)))
        .service(resource("/metrics").route(web::get().to(metrics)))
        .service(resource("/v1/status").route(web::get().to(status)))
        .service(resource("/problems/{code}").route(web::get().to(explain)));
}

fn health(checks: &[(&str, Result<(), String>)]) -> HttpResponse {
    health_with(checks, &[])
}

/// Beside the checks, what operators should look at although the server is well.
fn health_with(checks: &[(&str, Result<(), String>)], warnings: &[(&str, String)]) -> HttpResponse {
    let healthy = checks.iter().all(|(_, result)| result.is_ok());
    let warnings = warnings.iter();
    let warnings = warnings.map(|(name, detail)| json!({"name": name, "status": "warning", "detail": detail}));
    let checks: Vec<Value> = checks
        .iter()
        .map(|(name, result)| match result {
            Ok(()) => json!({"name": name, "status": "ok"}),
            Err(detail) => json!({"name": name, "status": "failed", "detail": detail}),
        })
        .chain(warnings)
        .collect();
    let mut response = if healthy {
        HttpResponse::Ok()
    } else {
        HttpResponse::ServiceUnavailable()
    };
    response.json(json!({"status": if healthy { "ok" } else { "failed" }, "checks": checks}))
}

/// Looks at nothing else: the process answers.
async fn livez() -> HttpResponse {
    health(&[("process", Ok(()))])
}

fn started(app: &App) -> Result<(), String> {
    if app.lifecycle.is_started() {
        Ok(())
    } else {
        Err("geofences and campaigns are being loaded".to_owned())
    }
}

async fn startupz(app: web::Data<App>) -> HttpResponse {
    health(&[("catalogue", started(&app))])
}

async fn readyz(app: web::Data<App>) -> HttpResponse {
    let store = match tokio::time::timeout(STORE_TIMEOUT, app.engine.store.hot.ping()).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err(format!("did not answer within {STORE_TIMEOUT:?}")),
    };
    let stopping = if app.lifecycle.is_stopping() {
        Err("the server is going down".to_owned())
    } else {
        Ok(())
    };
    let paused = app.engine.holds.paused().len();
    let warnings = (paused > 0).then(|| {
        (
            "push",
            format!("{paused} push credentials are wrong; their pushes wait"),
        )
    });
    let checks = [("catalogue", started(&app)), ("store", store), ("running", stopping)];
    health_with(&checks, warnings.as_slice())
}

async fn metrics(app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let depth = app.engine.store.hot.outbox_depth().await?;
    app.engine.metrics.paused_credentials(app.engine.holds.paused().len());
    let text = app
        .engine
        .metrics
        .render(depth, app.engine.catalogues.geofences(), app.engine.streams.open())
        .map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
    Ok(HttpResponse::Ok()
        .content_type("application/openmetrics-text; version=1.0.0; charset=utf-8")
        .body(text))
}

/// Outside events that wait are counted up to this.
const EVENTS_COUNTED_MAX: usize = 1000;

async fn status(app: web::Data<App>, caller: Caller) -> Result<HttpResponse, Problem> {
    caller.require(Role::Viewer)?;
    let catalogue = app.engine.catalogues.of(&caller.workspace);
    let providers: Vec<Value> = app
        .providers
        .iter()
        .map(|(name, missing)| json!({"name": name, "ready": missing.is_none(), "detail": missing}))
        .collect();
    let paused = app.engine.holds.paused();
    let paused: Vec<Value> = paused
        .iter()
        .filter(|one| one.workspace == caller.workspace)
        .map(|one| json!({"app": one.app, "platform": one.platform, "since": one.since, "reason": one.reason}))
        .collect();
    Ok(HttpResponse::Ok().json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "geofences": catalogue.places.len(),
        "campaigns": catalogue.campaigns.all().count(),
        "outbox": app.engine.store.hot.outbox_depth().await?,
        "eventsWaiting": app.engine.store.hot.pending_events(EVENTS_COUNTED_MAX).await?.len(),
        "providers": providers,
        "paused": paused,
    })))
}

/// What a problem's `type` leads to.
async fn explain(path: web::Path<String>) -> Result<HttpResponse, Problem> {
    let code = Code::ALL
        .iter()
        .find(|code| code.name() == path.as_str())
        .ok_or_else(|| Problem::new(Code::NotFound, "there is no such problem code"))?;
    Ok(HttpResponse::Ok().json(json!({
        "code": code.name(), "status": code.status(), "title": code.title(), "meaning": code.explanation().trim(),
    })))
}
