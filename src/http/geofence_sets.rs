//! `/v1/geofence-sets/{set}`: a marketer uploads a file.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    App,
    auth::Caller,
    body, parameter, path_id,
    problem::{Code, Problem, Wrong},
    query, resource, to_its_end,
};
use crate::{
    domain::ids::{SetName, Tag},
    engine::{
        geofence_sets::{Upload, UploadError, UploadMode},
        ports::Role,
    },
    files::{Finding, Format, FormatHints, Limits, ReadOptions, Severity},
    http::geofences::feature,
};

/// Identities named of each kind of difference.
const IDENTITIES_NAMED_MAX: usize = 100;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(resource("/v1/geofence-sets").route(web::get().to(list)))
        .service(
            resource("/v1/geofence-sets/{set}")
                .route(web::put().to(put))
                .route(web::get().to(get))
                .route(web::delete().to(delete)),
        );
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UploadQuery {
    format: Option<String>,
    tag: Option<String>,
    radius: Option<String>,
    dry_run: Option<bool>,
    allow_partial: Option<bool>,
}

async fn put(
    app: web::Data<App>,
    caller: Caller,
    path: web::Path<String>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    caller.require(Role::Marketer)?;
    let set = path_id("the set's name", &path, SetName::new)?;
    let wanted: UploadQuery = query(&request)?;
    let bytes = body::read(&request, payload, app.limits.file_bytes_max).await?;
    let content_type = body::content_type(&request);
    let hints = FormatHints {
        name: wanted.format.as_deref(),
        content_type: Some(content_type.as_str()).filter(|kind| !kind.is_empty()),
        ..FormatHints::default()
    };
    let format = Format::detect(hints, &bytes[..bytes.len().min(4096)])
        .map_err(|error| Problem::new(Code::ContentTypeUnsupported, error.to_string()))?;
    let options = ReadOptions {
        default_tag: parameter("tag", wanted.tag.as_deref(), Tag::new)?,
        default_radius_m: parameter("radius", wanted.radius.as_deref(), str::parse::<f64>)?,
        limits: Limits {
            bytes_max: app.limits.file_bytes_max as u64,
            ..Limits::default()
        },
        ..ReadOptions::new(set.clone())
    };
    let mode = UploadMode {
        dry_run: wanted.dry_run.unwrap_or_default(),
        allow_partial: wanted.allow_partial.unwrap_or_default(),
    };
    let (engine, workspace) = (Arc::clone(&app.engine), caller.workspace.clone());
    let upload = to_its_end(async move { engine.upload_set(&workspace, bytes, format, options, mode).await })
        .await?
        .map_err(problem_of)?;
    if upload.version.is_none() && !mode.dry_run {
        return Err(refusal(&upload));
    }
    Ok(HttpResponse::Ok().json(upload_body(&set, &upload)))
}

fn problem_of(error: UploadError) -> Problem {
    match error {
        UploadError::Engine(error) => error.into(),
        UploadError::File(error) => {
            let wrong = Wrong {
                pointer: None,
                line: error.line(),
                code: Code::FileUnreadable.name(),
                detail: error.to_string(),
            };
            Problem::new(Code::FileUnreadable, error.to_string()).with_errors(vec![wrong])
        }
    }
}

/// A file with rejected features, when partial ones are not wanted.
fn refusal(upload: &Upload) -> Problem {
    let errors = upload
        .reading
        .findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error);
    let wrongs = errors.map(|finding| Wrong {
        pointer: finding.pointer.clone(),
        line: finding.line,
        code: finding.code.as_str(),
        detail: finding.to_string(),
    });
    let detail = format!(
        "{} of {} features are wrong; nothing was changed. Mend them, or send allowPartial=true to take the other {}",
        upload.reading.rejected, upload.reading.read, upload.reading.accepted
    );
    Problem::new(Code::FeaturesRejected, detail).with_errors(wrongs.collect())
}

fn upload_body(set: &SetName, upload: &Upload) -> Value {
    let (reading, diff) = (&upload.reading, &upload.diff);
    let of = |wanted: fn(Severity) -> bool| -> Vec<&Finding> {
        reading
            .findings
            .iter()
            .filter(|finding| wanted(finding.severity))
            .collect()
    };
    json!({
        "set": set, "version": upload.version, "format": reading.format,
        "read": reading.read, "accepted": reading.accepted, "rejected": reading.rejected,
        "added": diff.added.len(), "changed": diff.changed.len(),
        "unchanged": diff.unchanged.len(), "removed": diff.removed.len(),
        "identities": {
            "added": diff.added.iter().take(IDENTITIES_NAMED_MAX).collect::<Vec<_>>(),
            "changed": diff.changed.iter().take(IDENTITIES_NAMED_MAX).collect::<Vec<_>>(),
            "removed": diff.removed.iter().take(IDENTITIES_NAMED_MAX).collect::<Vec<_>>(),
        },
        "warnings": of(|severity| severity != Severity::Error),
        "errors": of(|severity| severity == Severity::Error),
    })
}

async fn list(app: web::Data<App>, caller: Caller) -> Result<HttpResponse, Problem> {
    caller.require(Role::Viewer)?;
    let sets = app.engine.store.control.list_sets(&caller.workspace).await?;
    let items: Vec<Value> = sets
        .iter()
        .map(|set| json!({"set": set.set, "version": set.version, "count": set.count, "updatedAt": set.updated_at}))
        .collect();
    Ok(HttpResponse::Ok().json(json!({"items": items, "nextCursor": null})))
}

/// The set as GeoJSON, with or without `.geojson` at the end of its name.
async fn get(app: web::Data<App>, caller: Caller, path: web::Path<String>) -> Result<HttpResponse, Problem> {
    caller.require(Role::Viewer)?;
    let name = path.strip_suffix(".geojson").unwrap_or(&path);
    let set = path_id("the set's name", name, SetName::new)?;
    let geofences = app.engine.store.control.load_set(&caller.workspace, &set).await?;
    let geofences = geofences.ok_or_else(|| unknown_set(&set))?;
    let features: Vec<Value> = geofences.iter().map(feature).collect();
    let body = json!({"type": "FeatureCollection", "features": features});
    Ok(HttpResponse::Ok()
        .content_type("application/geo+json")
        .body(body.to_string()))
}

async fn delete(app: web::Data<App>, caller: Caller, path: web::Path<String>) -> Result<HttpResponse, Problem> {
    caller.require(Role::Marketer)?;
    let set = path_id("the set's name", &path, SetName::new)?;
    if app.engine.delete_set(&caller.workspace, &set).await? {
        return Ok(HttpResponse::NoContent().finish());
    }
    Err(unknown_set(&set))
}

fn unknown_set(set: &SetName) -> Problem {
    Problem::new(Code::GeofenceUnknown, format!("there is no geofence set `{set}`"))
}
