//! `/v1/devices/{deviceId}`: an app registers its installation.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::json;

use super::{
    App,
    auth::{Caller, Identity},
    body, owntracks, path_id,
    problem::{Code, Problem},
    resource, to_its_end,
};
use crate::{
    domain::{
        customer::Consent,
        delivery::{Environment, Platform},
        ids::{AppId, DeviceId, PushToken, UserId},
    },
    engine::{customers::DeviceUpdate, ports::Role},
};

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(
        resource("/v1/devices/{deviceId}")
            .route(web::put().to(put))
            .route(web::delete().to(delete)),
    );
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeviceBody {
    platform: Platform,
    app: String,
    push_token: Option<String>,
    environment: Option<Environment>,
    user_id: Option<String>,
    locale: Option<String>,
    time_zone: Option<String>,
    #[serde(default)]
    consent: Consent,
}

impl DeviceBody {
    fn validate(self) -> Result<DeviceUpdate, Problem> {
        let invalid = |pointer: &str, detail: &dyn std::fmt::Display| {
            Problem::field(Code::FieldInvalid, pointer, detail.to_string())
        };
        Ok(DeviceUpdate {
            platform: self.platform,
            app: AppId::new(&self.app).map_err(|error| invalid("/app", &error))?,
            token: self
                .push_token
                .map(|token| read_token(&token, self.platform).map_err(|detail| invalid("/pushToken", &detail)))
                .transpose()?,
            environment: self.environment.unwrap_or_default(),
            user: self
                .user_id
                .map(|user| UserId::new(user).map_err(|error| invalid("/userId", &error)))
                .transpose()?,
            locale: body::short_text("/locale", self.locale)?,
            time_zone: body::time_zone("/timeZone", self.time_zone)?,
            consent: self.consent,
        })
    }
}

fn read_token(token: &str, platform: Platform) -> Result<PushToken, String> {
    if token.contains(' ') {
        return Err("must not hold blanks".to_owned());
    }
    if platform == Platform::Ios && !token.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err("an iOS token is sent as hex digits".to_owned());
    }
    PushToken::new(token).map_err(|error| error.to_string())
}

/// A device token changes only its own device; publishable and secret keys change any.
fn check_may_change(caller: &Caller, device: &DeviceId) -> Result<(), Problem> {
    match &caller.identity {
        Identity::Device(own) if own != device => Err(Problem::new(
            Code::DeviceNotAllowed,
            "a device token changes its own device only",
        )),
        Identity::Key(Role::Publishable) if device.as_str().starts_with(owntracks::DEVICE_PREFIX) => Err(Problem::new(
            Code::DeviceNotAllowed,
            "this device reports by OwnTracks; only a secret key changes it",
        )),
        Identity::Key(Role::Viewer) => caller.require(Role::Marketer),
        Identity::Device(_) | Identity::Key(_) => Ok(()),
    }
}

async fn put(
    app: web::Data<App>,
    caller: Caller,
    path: web::Path<String>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let device = path_id("the device id", &path, DeviceId::new)?;
    check_may_change(&caller, &device)?;
    let (body, unknown) = body::read_json::<DeviceBody>(&request, payload, app.limits.body_bytes_max).await?;
    let update = body.validate()?;
    let subject = {
        let (engine, workspace, device) = (Arc::clone(&app.engine), caller.workspace.clone(), device.clone());
        to_its_end(async move { engine.put_device(&workspace, &device, &update).await }).await??
    };
    let (token, expires_at) = app
        .authority
        .device_token(&caller.workspace, &device, app.engine.clock.now());
    let mut response = HttpResponse::Ok();
    unknown.warn(&mut response);
    Ok(response.json(json!({
        "deviceId": device, "userId": subject.user(), "deviceToken": token, "expiresAt": expires_at,
    })))
}

async fn delete(app: web::Data<App>, caller: Caller, path: web::Path<String>) -> Result<HttpResponse, Problem> {
    let device = path_id("the device id", &path, DeviceId::new)?;
    check_may_change(&caller, &device)?;
    if caller.identity == Identity::Key(Role::Publishable) {
        // Everybody who has the app has its publishable key.
        return Err(Problem::new(
            Code::NotAllowed,
            "forgetting a device needs its device token or a secret key",
        ));
    }
    if app.engine.delete_device(&caller.workspace, &device).await? {
        return Ok(HttpResponse::NoContent().finish());
    }
    Err(Problem::new(
        Code::DeviceUnknown,
        format!("device `{device}` is not registered"),
    ))
}
