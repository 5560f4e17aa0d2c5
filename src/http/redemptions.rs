//! `/v1/redemptions`: codes at the till, each once.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    App,
    auth::Caller,
    body,
    problem::{Code, Problem},
    resource,
};
use crate::{
    domain::{
        ids::{ExternalId, GeofenceId, Tag},
        offer_code::OfferCode,
    },
    engine::{
        offers::RedemptionAsk,
        ports::{Grant, Redeemed, Role},
    },
};

/// Greatest amount of a redemption, of either sign.
const AMOUNT_MAX: f64 = 1e12;
/// Longest `Idempotency-Key`, in bytes.
const NAME_BYTES_MAX: usize = 200;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(resource("/v1/redemptions").route(web::post().to(post)));
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RedemptionBody {
    code: String,
    amount: Option<f64>,
    currency: Option<String>,
    geofence: Option<PlaceBody>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PlaceBody {
    tag: String,
    external_id: String,
}

impl RedemptionBody {
    fn validate(self, id: String, app: &App) -> Result<RedemptionAsk, Problem> {
        let wrong = |pointer: &str, detail: String| Problem::field(Code::FieldInvalid, pointer, detail);
        if self
            .amount
            .is_some_and(|amount| amount.is_nan() || amount.abs() > AMOUNT_MAX)
        {
            return Err(wrong(
                "/amount",
                format!("must be between -{AMOUNT_MAX} and {AMOUNT_MAX}"),
            ));
        }
        let is_currency =
            |currency: &String| currency.len() == 3 && currency.bytes().all(|byte| byte.is_ascii_uppercase());
        if self.currency.as_ref().is_some_and(|currency| !is_currency(currency)) {
            return Err(wrong("/currency", "must be an ISO 4217 name such as EUR".to_owned()));
        }
        let geofence = self.geofence.map(|place| {
            Ok::<_, Problem>(GeofenceId {
                tag: Tag::new(place.tag).map_err(|error| wrong("/geofence/tag", error.to_string()))?,
                external_id: ExternalId::new(place.external_id)
                    .map_err(|error| wrong("/geofence/externalId", error.to_string()))?,
            })
        });
        Ok(RedemptionAsk {
            id,
            code: OfferCode::meant_by(&self.code).map_err(|error| wrong("/code", error.to_string()))?,
            at: app.engine.clock.now(),
            amount: self.amount,
            currency: self.currency,
            geofence: geofence.transpose()?,
        })
    }
}

/// A grant as tills and customers see it.
pub(super) fn grant_body(grant: &Grant) -> Value {
    let terms: Value = serde_json::from_str(&grant.terms).unwrap_or_default();
    json!({
        "deliveryId": grant.delivery, "campaign": grant.campaign, "brand": terms["brand"], "offer": terms["offer"],
        "code": grant.code, "expiresAt": grant.expires_at,
    })
}

async fn post(
    app: web::Data<App>,
    caller: Caller,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    caller.require(Role::Marketer)?;
    let (body, unknown) = body::read_json::<RedemptionBody>(&request, payload, app.limits.body_bytes_max).await?;
    let named = request
        .headers()
        .get("Idempotency-Key")
        .and_then(|value| value.to_str().ok())
        .map(|name| name.chars().take(NAME_BYTES_MAX).collect());
    let ask = body.validate(named.unwrap_or_else(|| Uuid::new_v4().to_string()), &app)?;
    let used_at = |grant: &Grant| grant.redemption.as_ref().map(|redemption| redemption.at.to_string());
    match app.engine.redeem(&caller.workspace, &ask).await? {
        Redeemed::Done(grant) => {
            let mut shown = grant_body(&grant);
            shown["userId"] = json!(grant.subject.user());
            shown["redeemedAt"] = json!(used_at(&grant));
            let mut response = HttpResponse::Ok();
            unknown.warn(&mut response);
            Ok(response.json(shown))
        }
        Redeemed::Unknown => Err(Problem::new(Code::CodeUnknown, "nobody was given this code")),
        Redeemed::Used(grant) => {
            let at = used_at(&grant).unwrap_or_default();
            Err(Problem::new(Code::CodeUsed, format!("it was redeemed at {at}")))
        }
        Redeemed::Expired(grant) => {
            let detail = format!("it was good until {}", grant.expires_at);
            Err(Problem::new(Code::CodeExpired, detail))
        }
    }
}
