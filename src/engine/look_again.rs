//! The last look before a push leaves: is it still wanted, and in which words. Pure.

use std::sync::Arc;

use serde_json::json;

use super::ports::{Finish, Leased};
use crate::domain::{
    campaign::CampaignStatus,
    catalogue::Catalogue,
    decide,
    delivery::{Delivery, DeliveryState, Push, Suppression},
    ladder::LadderStep,
    presence::PresenceRules,
    record::Record,
    time::Timestamp,
};

/// The row's end when it is not sent after all. Where an earlier request may have arrived, nobody can say that it was not.
pub(super) fn suppress(leased: &Leased, suppression: Suppression, now: Timestamp) -> Finish {
    let delivery = &leased.delivery;
    let name = serde_json::to_value(suppression)
        .ok()
        .and_then(|name| name.as_str().map(str::to_owned));
    Finish {
        delivery: delivery.id,
        workspace: delivery.workspace.clone(),
        subject: delivery.subject.clone(),
        state: if leased.in_doubt {
            DeliveryState::Unknown
        } else {
            DeliveryState::Suppressed
        },
        attempts: leased.attempts,
        begun: leased.attempts,
        quiet: false,
        due_at: now,
        at: now,
        reason: name,
    }
}

/// The push that the delivery comes to, or why it is not sent.
pub(super) fn prepare(
    delivery: &Delivery,
    record: Option<&Record>,
    catalogue: &Catalogue,
    now: Timestamp,
    rules: PresenceRules,
) -> Result<Push, Suppression> {
    let record = record.ok_or(Suppression::CustomerGone)?;
    let device = record.device(&delivery.device).ok_or(Suppression::CustomerGone)?;
    let target = device.target.clone().ok_or(Suppression::NoToken)?;
    if record.profile.consent.push == Some(false) {
        return Err(Suppression::Consent);
    }
    let settings = &catalogue.settings.campaigns;
    let zones = decide::zones(Some(device), delivery.geofence.as_ref(), catalogue);
    let campaign = catalogue.campaigns.get(&delivery.campaign);
    let campaign = campaign
        .filter(|campaign| campaign.status == CampaignStatus::Active && !campaign.is_over(now, &zones))
        .ok_or(Suppression::CampaignEnded)?;
    if now >= delivery.expires_at {
        return Err(Suppression::Expired);
    }
    if delivery.still_there
        && !delivery
            .geofence
            .as_ref()
            .is_some_and(|place| record.is_in(place, now, rules))
    {
        return Err(Suppression::LeftGeofence);
    }
    if campaign.quiet(settings, now, &zones).is_some() {
        return Err(Suppression::QuietHours);
    }
    let told = |step: &LadderStep| record.is_step_live(&delivery.campaign, step);
    if !delivery.ladder.as_ref().is_none_or(told) {
        return Err(Suppression::LadderEnded);
    }
    let geofence = delivery.geofence.as_ref().and_then(|id| catalogue.places.find(id));
    let geofence = geofence.map(|place| catalogue.places.get(place));
    let offer = campaign.offers.get(delivery.offer).ok_or(Suppression::CampaignEnded)?;
    let profile = &record.profile;
    // What is not known is left out, not null, so that a template's `default` takes its place.
    let mut user = json!({"traits": profile.traits});
    if let Some(name) = &profile.name {
        user["name"] = json!(name);
    }
    if let Some(id) = delivery.subject.user() {
        user["id"] = json!(id);
    }
    let context = json!({
        "user": user,
        "offer": offer.terms,
        "geofence": geofence.map(|geofence| json!({
            "tag": geofence.id.tag, "externalId": geofence.id.external_id,
            "description": geofence.description, "metadata": geofence.metadata,
        })),
        "event": delivery.data,
        "ladder": delivery.ladder.as_ref().map(|ladder| json!({"step": ladder.step})),
    });
    let message = offer
        .messages
        .render(device.locale.as_deref(), &context)
        .map_err(|_| Suppression::Template)?;
    let mut data = vec![
        ("deliveryId".to_owned(), delivery.id.to_string()),
        ("campaign".to_owned(), delivery.campaign.to_string()),
    ];
    data.extend(
        delivery
            .geofence
            .as_ref()
            .map(|place| ("geofence".to_owned(), place.to_string())),
    );
    Ok(Push {
        delivery: delivery.id,
        workspace: delivery.workspace.clone(),
        target,
        message,
        options: Arc::clone(&offer.push),
        data,
        expires_at: delivery.expires_at,
    })
}
