//! `POST /v1/owntracks`: the stock OwnTracks apps as clients, by their HTTP mode.
//!
//! What a message says is evidence like any other check-in: where the phone is, which beacon it hears. That it has entered
//! or left a region is only its own opinion, so a transition counts as the position that comes with it.
//!
//! The answer may tell the phone which regions to monitor. Nothing is remembered for this: the phone says which regions
//! it is in, and one of ours is the circle within which the others are the right ones (`waypoints`).

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::USER_AGENT,
    web::{self, Bytes},
};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::{
    App,
    auth::{Identity, NamedCaller},
    body,
    problem::{Code, Problem},
    query, resource, to_its_end,
};
use crate::{
    domain::{
        checkin::CheckIn,
        decide::Status,
        delivery::Platform,
        ids::{CauseId, DeviceId, IdError, UserId},
    },
    engine::{
        Engine, EngineError,
        ingest::{Answer, UnknownDevice},
        ports::Role,
    },
};

mod message;
mod waypoints;

use message::Said;

/// What names of devices that report by OwnTracks begin with. Apps can't register or change such devices themselves.
pub(super) const DEVICE_PREFIX: &str = "owntracks:";
/// Names a message by its content, so that one that is sent again is known.
const MESSAGE_NAMESPACE: Uuid = Uuid::from_u128(0x0b1d_c5a4_5d4c_5a0e_9f0e_6e2f_7a11_0003);

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(resource("/v1/owntracks").route(web::post().to(post)));
}

#[derive(Deserialize)]
struct Names {
    /// The app may be told to name its device in the URL.
    d: Option<String>,
}

/// `owntracks:USER:DEVICE`, so that users with phones of the same name have different ones.
fn device_id(user: &str, device: &str) -> Result<DeviceId, IdError> {
    let user = user.replace('%', "%25").replace(':', "%3A");
    DeviceId::new(format!("{DEVICE_PREFIX}{user}:{device}"))
}

fn device_of(request: &HttpRequest, user: &UserId) -> Result<DeviceId, Problem> {
    let header = request.headers().get("X-Limit-D");
    let header = header.and_then(|name| std::str::from_utf8(name.as_bytes()).ok());
    let parameter = query::<Names>(request)?.d;
    let name = header.or(parameter.as_deref()).unwrap_or_default();
    let wrong = |detail: String| Problem::new(Code::ParameterInvalid, detail);
    if name.trim().is_empty() {
        return Err(wrong(
            "name the device in the app's settings (header X-Limit-D, or `?d=` in the URL)".to_owned(),
        ));
    }
    device_id(user.as_str(), name).map_err(|error| wrong(format!("user and device name together: {error}")))
}

/// What kind of phone it is, by its HTTP library.
fn platform_of(request: &HttpRequest) -> Option<Platform> {
    let agent = request.headers().get(USER_AGENT)?.to_str().ok()?;
    if agent.contains("CFNetwork") {
        Some(Platform::Ios)
    } else if agent.contains("Android") {
        Some(Platform::Android)
    } else {
        None
    }
}

fn message_id(device: &DeviceId, body: &[u8]) -> Result<CauseId, Problem> {
    let name = [device.as_str().as_bytes(), &[0], body].concat();
    let name = format!("owntracks-{}", Uuid::new_v5(&MESSAGE_NAMESPACE, &name));
    CauseId::new(name).map_err(|error| Problem::new(Code::Internal, error.to_string()))
}

fn nothing_to_say() -> HttpResponse {
    HttpResponse::Ok().json(json!([]))
}

async fn post(
    app: web::Data<App>,
    NamedCaller { name, caller }: NamedCaller,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    match &caller.identity {
        Identity::Key(Role::Publishable) => {}
        Identity::Key(_) | Identity::Device(_) => caller.require(Role::Marketer)?,
    }
    let user =
        UserId::new(&name).map_err(|error| Problem::new(Code::ParameterInvalid, format!("the user name {error}")))?;
    let device = device_of(&request, &user)?;
    let bytes: Bytes = body::read(&request, payload, app.limits.body_bytes_max).await?;
    let Some(said) = Said::read(&bytes)? else {
        return Ok(nothing_to_say());
    };
    let check_in = CheckIn {
        id: message_id(&device, &bytes)?,
        device,
        at: said.at,
        location: said.fix,
        beacons: said.beacons,
        code: None,
        regions: said.wants_regions,
    };
    let platform = platform_of(&request);
    let answer = {
        let (engine, workspace) = (Arc::clone(&app.engine), caller.workspace.clone());
        to_its_end(async move {
            let first = take(&engine, &workspace, check_in.clone()).await?;
            if first.is_some() {
                return Ok(first);
            }
            engine
                .put_tracker(&workspace, &user, &check_in.device, platform)
                .await?;
            take(&engine, &workspace, check_in).await
        })
        .await?
        .map_err(|error: EngineError| Problem::from(error))?
    };
    let Some(answer) = answer else {
        return Err(Problem::new(Code::Contended, "the device was deleted meanwhile"));
    };
    if answer.status == Status::ClockAhead {
        let detail = format!("{} is too far ahead of the server's clock", answer.at);
        return Err(Problem::field(Code::TimeInFuture, "/tst", detail));
    }
    let Some(regions) = &answer.regions else {
        return Ok(nothing_to_say());
    };
    let catalogue = app.engine.catalogues.of(&caller.workspace);
    let command = waypoints::command(regions, &catalogue.places, platform);
    Ok(HttpResponse::Ok().json(json!([command])))
}

async fn take(
    engine: &Engine,
    workspace: &crate::domain::ids::WorkspaceId,
    check_in: CheckIn,
) -> Result<Option<Answer>, EngineError> {
    let answers = engine.check_in(workspace, vec![check_in], UnknownDevice::Refuse).await;
    answers.into_iter().next().unwrap_or(Ok(None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_of_different_users_never_have_the_same_name() {
        let mut ids: Vec<String> = [("a:b", "c"), ("a", "b:c"), ("a%3Ab", "c"), ("a", "c")]
            .iter()
            .map(|(user, device)| device_id(user, device).expect("an id").as_str().to_owned())
            .collect();
        assert_eq!(ids[3], "owntracks:a:c");
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 4, "{ids:?}");
    }
}
