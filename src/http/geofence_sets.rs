//! `/v1/geofence-sets/{set}`: a marketer uploads a file.

use std::{collections::HashMap, sync::Arc};

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    App,
    auth::Caller,
    beside, body, parameter, path_id,
    problem::{Code, Problem, Wrong},
    query, resource, to_its_end,
};
use crate::{
    domain::ids::{SetName, Tag},
    engine::{
        geofence_sets::{Upload, UploadError, UploadMode, Verdict},
        ports::Role,
    },
    files::{Diff, FileError, Finding, Format, FormatHints, Limits, ReadOptions, Severity},
    http::geofences::feature,
};

/// Bytes of an export that are made at once.
const EXPORT_BYTES: usize = 64 * 1024;

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
    columns: Option<String>,
    id: Option<String>,
    dry_run: Option<bool>,
    allow_partial: Option<bool>,
    allow_empty: Option<bool>,
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
    let arrived = app
        .uploads
        .receive(&request, payload, app.limits.file_bytes_max)
        .await?;
    let content_type = body::content_type(&request);
    let hints = FormatHints {
        name: wanted.format.as_deref(),
        content_type: Some(content_type.as_str()).filter(|kind| !kind.is_empty()),
        ..FormatHints::default()
    };
    let format = Format::detect(hints, &arrived.first)
        .map_err(|error| Problem::new(Code::ContentTypeUnsupported, error.to_string()))?;
    let options = ReadOptions {
        default_tag: parameter("tag", wanted.tag.as_deref(), Tag::new)?,
        default_radius_m: parameter("radius", wanted.radius.as_deref(), str::parse::<f64>)?,
        id_field: wanted.id,
        columns: wanted.columns.as_deref().map(columns),
        limits: Limits {
            bytes_max: app.limits.file_bytes_max,
            ..Limits::default()
        },
        ..ReadOptions::new(set.clone())
    };
    let mode = UploadMode {
        dry_run: wanted.dry_run.unwrap_or_default(),
        allow_partial: wanted.allow_partial.unwrap_or_default(),
        allow_empty: wanted.allow_empty.unwrap_or_default(),
    };
    let (engine, workspace) = (Arc::clone(&app.engine), caller.workspace.clone());
    let upload = to_its_end(async move {
        let _place = arrived.place;
        engine.upload_set(&workspace, arrived.file, format, options, mode).await
    });
    let upload = upload.await?.map_err(problem_of)?;
    match upload.verdict {
        Verdict::Rejected => Err(refusal(&upload)),
        Verdict::WouldEmpty => {
            let detail = format!(
                "the file holds no geofences, and set `{set}` has {}; nothing was changed. Send allowEmpty=true if that is \
                 meant, or delete the set",
                upload.diff.removed.count
            );
            Err(Problem::new(Code::SetWouldBeEmpty, detail))
        }
        Verdict::Live(version) => Ok(HttpResponse::Ok().json(upload_body(&set, &upload, Some(version)))),
        Verdict::DryRun | Verdict::Publish => Ok(HttpResponse::Ok().json(upload_body(&set, &upload, None))),
    }
}

/// Names with commas between them.
fn columns(text: &str) -> Vec<String> {
    text.split(',').map(|name| name.trim().to_owned()).collect()
}

fn problem_of(error: UploadError) -> Problem {
    match error {
        UploadError::Engine(error) => error.into(),
        UploadError::File(error @ (FileError::Io(_) | FileError::NotTaken(_))) => {
            tracing::error!(%error, "an upload could not be read or kept");
            Problem::new(
                Code::Unavailable,
                "the upload can't be kept here now; the server's log says why",
            )
        }
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

fn upload_body(set: &SetName, upload: &Upload, version: Option<u32>) -> Value {
    let reading = &upload.reading;
    let of = |wanted: fn(Severity) -> bool| -> Vec<&Finding> {
        reading
            .findings
            .iter()
            .filter(|finding| wanted(finding.severity))
            .collect()
    };
    let mut body = json!({
        "set": set, "version": version, "format": reading.format,
        "read": reading.read, "accepted": reading.accepted, "rejected": reading.rejected,
        "warnings": of(|severity| severity != Severity::Error),
        "errors": of(|severity| severity == Severity::Error),
    });
    diff_body(&upload.diff, &mut body);
    body
}

/// Adds how many geofences a change added, changed, left and removed, and the first of them by name.
pub(super) fn diff_body(diff: &Diff, body: &mut Value) {
    let kinds = [
        ("added", &diff.added),
        ("changed", &diff.changed),
        ("unchanged", &diff.unchanged),
        ("removed", &diff.removed),
    ];
    for (name, identities) in kinds {
        body[name] = json!(identities.count);
        body["identities"][name] = json!(identities.named);
    }
}

async fn list(app: web::Data<App>, caller: Caller) -> Result<HttpResponse, Problem> {
    caller.require(Role::Viewer)?;
    let sets = app.engine.store.control.list_sets(&caller.workspace).await?;
    let catalogue = app.engine.catalogues.of(&caller.workspace);
    let counts = beside(move || {
        let mut counts: HashMap<SetName, u64> = HashMap::new();
        for geofence in catalogue.places.iter() {
            match counts.get_mut(&geofence.set) {
                Some(count) => *count += 1,
                None => drop(counts.insert(geofence.set.clone(), 1)),
            }
        }
        counts
    })
    .await?;
    let items: Vec<Value> = sets
        .iter()
        .map(|set| {
            let count = counts.get(&set.set).copied().unwrap_or_default();
            json!({"set": set.set, "version": set.version, "count": count, "updatedAt": set.updated_at})
        })
        .collect();
    Ok(HttpResponse::Ok().json(json!({"items": items, "nextCursor": null})))
}

/// The set as GeoJSON, with or without `.geojson` at the end of its name, as a stream.
async fn get(app: web::Data<App>, caller: Caller, path: web::Path<String>) -> Result<HttpResponse, Problem> {
    caller.require(Role::Viewer)?;
    let sets = app.engine.store.control.list_sets(&caller.workspace).await?;
    let named = [path.as_str(), path.strip_suffix(".geojson").unwrap_or(&path)]
        .into_iter()
        .find(|name| sets.iter().any(|known| known.set.as_str() == *name));
    let set = path_id("the set's name", named.unwrap_or(&path), SetName::new)?;
    if named.is_none() {
        return Err(unknown_set(&set));
    }
    let places = Arc::clone(&app.engine.catalogues.of(&caller.workspace).places);
    let mut geofences = beside(move || places.of_set(&set)).await?.into_iter();
    let mut separator = "";
    let features = std::iter::from_fn(move || {
        let mut part = String::with_capacity(EXPORT_BYTES + EXPORT_BYTES / 8);
        for geofence in geofences.by_ref() {
            part.push_str(separator);
            part.push_str(&feature(&geofence).to_string());
            separator = ",\n";
            if part.len() >= EXPORT_BYTES {
                break;
            }
        }
        (!part.is_empty()).then_some(part)
    });
    let begin = std::iter::once("{\"type\":\"FeatureCollection\",\"features\":[\n".to_owned());
    let parts = begin.chain(features).chain(std::iter::once("\n]}\n".to_owned()));
    let parts = parts.map(|part| Ok::<_, std::convert::Infallible>(web::Bytes::from(part)));
    Ok(HttpResponse::Ok()
        .content_type("application/geo+json")
        .streaming(futures_util::stream::iter(parts)))
}

async fn delete(app: web::Data<App>, caller: Caller, path: web::Path<String>) -> Result<HttpResponse, Problem> {
    caller.require(Role::Marketer)?;
    let set = path_id("the set's name", &path, SetName::new)?;
    let (engine, workspace, name) = (Arc::clone(&app.engine), caller.workspace.clone(), set.clone());
    if to_its_end(async move { engine.delete_set(&workspace, &name).await }).await?? {
        return Ok(HttpResponse::NoContent().finish());
    }
    Err(unknown_set(&set))
}

pub(super) fn unknown_set(set: &SetName) -> Problem {
    Problem::new(Code::GeofenceUnknown, format!("there is no geofence set `{set}`"))
}
