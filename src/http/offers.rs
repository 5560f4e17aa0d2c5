//! `GET /v1/offers`: what a customer can still make use of, so that a missed push is no lost offer.

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::{
    App,
    auth::{Caller, Identity},
    problem::{Code, Problem},
    redemptions::grant_body,
    resource,
};
use crate::{
    domain::{delivery::DeliveryState, ids::SubjectId, time::Timestamp},
    engine::ports::DeliveryFilter,
};

/// Most offers in the answer.
const OFFERS_MAX: usize = 100;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(resource("/v1/offers").route(web::get().to(list)));
}

async fn list(app: web::Data<App>, caller: Caller) -> Result<HttpResponse, Problem> {
    let Identity::Device(device) = &caller.identity else {
        return Err(Problem::new(
            Code::NotAllowed,
            "this needs a device token: offers are a customer's own",
        ));
    };
    let owners = app
        .engine
        .records
        .each_owner(&caller.workspace, std::slice::from_ref(device))
        .await;
    let owner = owners.into_iter().next().transpose()?.flatten();
    let subject = owner.ok_or_else(|| Problem::new(Code::DeviceUnknown, "nobody has registered this device"))?;
    let now = app.engine.clock.now();
    let offers = &app.engine.store.offers;
    let grants = offers.grants_of(&caller.workspace, &subject, now, OFFERS_MAX).await?;
    let mut items: Vec<Value> = grants.iter().map(grant_body).collect();
    for offer in unlimited(&app, &caller, &subject, now).await? {
        if items.len() < OFFERS_MAX && items.iter().all(|item| item["deliveryId"] != offer["deliveryId"]) {
            items.push(offer);
        }
    }
    Ok(HttpResponse::Ok().json(json!({"items": items, "nextCursor": null})))
}

/// Offers that nobody counts, of the latest deliveries, as their campaigns still have them.
async fn unlimited(app: &App, caller: &Caller, subject: &SubjectId, now: Timestamp) -> Result<Vec<Value>, Problem> {
    let Some(user) = subject.user() else {
        return Ok(Vec::new());
    };
    let filter = DeliveryFilter {
        user: Some(user.clone()),
        ..DeliveryFilter::default()
    };
    let rows = app
        .engine
        .store
        .hot
        .deliveries(&caller.workspace, filter, OFFERS_MAX)
        .await?;
    let catalogue = app.engine.catalogues.of(&caller.workspace);
    // Who was not reached was meant to have it, too; who was passed over on purpose was not.
    let was_meant = |state: DeliveryState| match state {
        DeliveryState::Accepted | DeliveryState::Unknown | DeliveryState::DeadToken | DeliveryState::Failed => true,
        DeliveryState::Queued | DeliveryState::Sending | DeliveryState::Suppressed | DeliveryState::DeadLetter => false,
    };
    let live = rows
        .iter()
        .filter(|row| was_meant(row.state) && row.delivery.expires_at > now)
        .map(|row| &row.delivery);
    let shown = live.filter_map(|delivery| {
        let campaign = catalogue.campaigns.get(&delivery.campaign)?;
        let offer = campaign.offers.get(delivery.offer)?;
        let is_same = campaign.version == delivery.campaign_version && !offer.terms.is_null();
        (is_same && !crate::engine::offers::is_limited(campaign, offer)).then(|| {
            json!({
                "deliveryId": delivery.id, "campaign": delivery.campaign, "brand": delivery.brand, "offer": offer.terms,
                "code": offer.terms["code"], "expiresAt": delivery.expires_at,
            })
        })
    });
    Ok(shown.collect())
}
