//! `/v1/campaigns/{id}`: a marketer writes campaigns.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use super::{
    App,
    auth::Caller,
    body, path_id,
    problem::{Code, Problem, Wrong},
    resource, to_its_end,
};
use crate::{
    domain::{
        campaign::{Campaign, CampaignStatus},
        ids::CampaignId,
        json_reader::Refusal,
    },
    engine::ports::{CampaignVersion, Role, StoreError},
};

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(resource("/schemas/campaign.json").route(web::get().to(schema)))
        .service(resource("/v1/campaigns").route(web::get().to(list)))
        .service(
            resource("/v1/campaigns/{id}")
                .route(web::put().to(put))
                .route(web::get().to(get))
                .route(web::delete().to(delete)),
        )
        .service(resource("/v1/campaigns/{id}/versions").route(web::get().to(versions)))
        .service(resource("/v1/campaigns/{id}/start").route(web::post().to(start)))
        .service(resource("/v1/campaigns/{id}/pause").route(web::post().to(pause)))
        .service(resource("/v1/campaigns/{id}/end").route(web::post().to(end)));
}

fn refused(refusal: &Refusal) -> Problem {
    let wrong = Wrong {
        pointer: Some(refusal.pointer.clone()),
        line: None,
        code: Code::CampaignInvalid.name(),
        detail: refusal.detail.clone(),
    };
    Problem::new(Code::CampaignInvalid, refusal.to_string()).with_errors(vec![wrong])
}

/// A document with what the server knows about it: one whose schedule is over has ended.
fn answered(app: &App, caller: &Caller, campaign: &Campaign, mut document: Value) -> Value {
    let catalogue = app.engine.catalogues.of(&caller.workspace);
    let zone = catalogue.settings.campaigns.time_zone;
    let status = match campaign.status {
        CampaignStatus::Active if !campaign.is_live(app.engine.clock.now(), zone) => CampaignStatus::Ended,
        status => status,
    };
    document["version"] = json!(campaign.version);
    document["status"] = json!(status.as_str());
    document
}

/// Checks a document, stores it and makes it current. What should be looked at comes with it.
async fn store(
    app: &App,
    caller: &Caller,
    id: &CampaignId,
    document: &Value,
) -> Result<(Campaign, Vec<String>), Problem> {
    let mut campaign = Campaign::read(document, 0).map_err(|refusal| refused(&refusal))?;
    let warnings = campaign.try_out(document).map_err(|refusal| refused(&refusal))?;
    if campaign.id != *id {
        let refusal = Refusal {
            pointer: "/id".to_owned(),
            detail: format!("is not `{id}`, as the path says"),
        };
        return Err(refused(&refusal));
    }
    let (engine, workspace) = (Arc::clone(&app.engine), caller.workspace.clone());
    let (id, document) = (id.clone(), document.clone());
    campaign.version = to_its_end(async move {
        let version = engine
            .store
            .control
            .put_campaign(&workspace, &id, &document, engine.clock.now())
            .await?;
        engine.catalogues.reload_campaigns(&workspace).await?;
        Ok::<_, Problem>(version)
    })
    .await??;
    Ok((campaign, warnings))
}

/// Editors fetch it, so it asks for no key. It tells nothing of what the server has.
async fn schema() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/schema+json")
        .body(Campaign::json_schema().to_string())
}

async fn put(
    app: web::Data<App>,
    caller: Caller,
    path: web::Path<String>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    caller.require(Role::Marketer)?;
    let id = path_id("the campaign's id", &path, CampaignId::new)?;
    let (mut document, _) = body::read_json::<Value>(&request, payload, app.limits.body_bytes_max).await?;
    if let Some(fields) = document.as_object_mut() {
        // What GET answers can be changed and put back.
        fields.remove("version");
        // It is the file's, and editors'.
        fields.remove("$schema");
        fields.entry("id").or_insert_with(|| json!(id));
    }
    let (campaign, warnings) = store(&app, &caller, &id, &document).await?;
    let mut response = HttpResponse::Ok();
    body::warn(&mut response, &warnings);
    Ok(response.json(answered(&app, &caller, &campaign, document)))
}

async fn documents(app: &App, caller: &Caller) -> Result<Vec<(Campaign, Value)>, Problem> {
    caller.require(Role::Viewer)?;
    Ok(app.engine.store.control.load_campaigns(&caller.workspace).await?)
}

async fn list(app: web::Data<App>, caller: Caller) -> Result<HttpResponse, Problem> {
    let campaigns = documents(&app, &caller).await?;
    let items: Vec<Value> = campaigns
        .into_iter()
        .map(|(campaign, document)| answered(&app, &caller, &campaign, document))
        .collect();
    Ok(HttpResponse::Ok().json(json!({"items": items, "nextCursor": null})))
}

async fn find(app: &App, caller: &Caller, id: &CampaignId) -> Result<(Campaign, Value), Problem> {
    documents(app, caller)
        .await?
        .into_iter()
        .find(|(campaign, _)| campaign.id == *id)
        .ok_or_else(|| Problem::new(Code::CampaignUnknown, format!("there is no campaign `{id}`")))
}

async fn get(app: web::Data<App>, caller: Caller, path: web::Path<String>) -> Result<HttpResponse, Problem> {
    let id = path_id("the campaign's id", &path, CampaignId::new)?;
    let (campaign, document) = find(&app, &caller, &id).await?;
    Ok(HttpResponse::Ok().json(answered(&app, &caller, &campaign, document)))
}

/// What the campaign said, newest first: deliveries and verdicts name a version.
async fn versions(app: web::Data<App>, caller: Caller, path: web::Path<String>) -> Result<HttpResponse, Problem> {
    caller.require(Role::Viewer)?;
    let id = path_id("the campaign's id", &path, CampaignId::new)?;
    let control = &app.engine.store.control;
    let versions = control.campaign_versions(&caller.workspace, &id).await?;
    if versions.is_empty() {
        return Err(Problem::new(
            Code::CampaignUnknown,
            format!("there is no campaign `{id}`"),
        ));
    }
    let items = versions.into_iter().map(
        |CampaignVersion {
             version,
             created_at,
             document,
         }| json!({"version": version, "createdAt": created_at, "campaign": document}),
    );
    let items: Vec<Value> = items.collect();
    Ok(HttpResponse::Ok().json(json!({"items": items, "nextCursor": null})))
}

async fn start(app: web::Data<App>, caller: Caller, path: web::Path<String>) -> Result<HttpResponse, Problem> {
    set_status(&app, &caller, &path, CampaignStatus::Active).await
}

async fn pause(app: web::Data<App>, caller: Caller, path: web::Path<String>) -> Result<HttpResponse, Problem> {
    set_status(&app, &caller, &path, CampaignStatus::Paused).await
}

async fn end(app: web::Data<App>, caller: Caller, path: web::Path<String>) -> Result<HttpResponse, Problem> {
    set_status(&app, &caller, &path, CampaignStatus::Ended).await
}

async fn set_status(app: &App, caller: &Caller, id: &str, status: CampaignStatus) -> Result<HttpResponse, Problem> {
    caller.require(Role::Marketer)?;
    let id = path_id("the campaign's id", id, CampaignId::new)?;
    let (_, mut document) = find(app, caller, &id).await?;
    document["status"] = json!(status.as_str());
    if status == CampaignStatus::Active {
        refuse_what_is_over(app, caller, &document)?;
    }
    let (campaign, _) = store(app, caller, &id, &document).await?;
    Ok(HttpResponse::Ok().json(answered(app, caller, &campaign, document)))
}

/// Who starts a campaign wants it to speak.
fn refuse_what_is_over(app: &App, caller: &Caller, document: &Value) -> Result<(), Problem> {
    let campaign = Campaign::read(document, 0).map_err(|refusal| refused(&refusal))?;
    let catalogue = app.engine.catalogues.of(&caller.workspace);
    if campaign.is_live(app.engine.clock.now(), catalogue.settings.campaigns.time_zone) {
        return Ok(());
    }
    Err(refused(&Refusal {
        pointer: "/schedule/until".to_owned(),
        detail: "has passed; put the campaign with a later one, or none".to_owned(),
    }))
}

async fn delete(app: web::Data<App>, caller: Caller, path: web::Path<String>) -> Result<HttpResponse, Problem> {
    caller.require(Role::Marketer)?;
    let id = path_id("the campaign's id", &path, CampaignId::new)?;
    let (engine, workspace, name) = (Arc::clone(&app.engine), caller.workspace.clone(), id.clone());
    let deleted = to_its_end(async move {
        let deleted = engine.store.control.delete_campaign(&workspace, &name).await?;
        engine.catalogues.reload_campaigns(&workspace).await?;
        Ok::<_, StoreError>(deleted)
    });
    if deleted.await?? {
        return Ok(HttpResponse::NoContent().finish());
    }
    Err(Problem::new(
        Code::CampaignUnknown,
        format!("there is no campaign `{id}`"),
    ))
}
