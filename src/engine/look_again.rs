//! The last look before a push leaves: is it still wanted, and in which words. Pure.

use std::sync::Arc;

use serde_json::json;

use super::ports::{Finish, Leased};
use crate::domain::{
    campaign::{Campaign, CampaignStatus, Offer},
    catalogue::Catalogue,
    customer::{Device, Purpose},
    decide,
    delivery::{Delivery, DeliveryState, Push, PushTarget, Suppression},
    geofence::Geofence,
    ladder::LadderStep,
    message::Reader,
    offer_code::OfferCode,
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

/// A delivery that is still wanted, with all that its words are made of.
pub(super) struct Wanted<'a> {
    delivery: &'a Delivery,
    record: &'a Record,
    device: &'a Device,
    target: PushTarget,
    pub(super) campaign: &'a Campaign,
    pub(super) offer: &'a Offer,
    geofence: Option<&'a Geofence>,
}

/// Whether the delivery is still wanted, or why not.
pub(super) fn check<'a>(
    delivery: &'a Delivery,
    record: Option<&'a Record>,
    catalogue: &'a Catalogue,
    now: Timestamp,
    rules: PresenceRules,
) -> Result<Wanted<'a>, Suppression> {
    let record = record.ok_or(Suppression::CustomerGone)?;
    let device = record.device(&delivery.device).ok_or(Suppression::CustomerGone)?;
    let target = device.target.clone().ok_or(Suppression::NoToken)?;
    let profile = &record.profile;
    if !profile.consent.allows(Purpose::Push, delivery.brand.as_ref()) {
        return Err(Suppression::Consent);
    }
    let settings = &catalogue.settings.campaigns;
    let zones = decide::zones(profile, Some(device), delivery.geofence.as_ref(), catalogue);
    let campaign = catalogue
        .campaigns
        .get(&delivery.campaign)
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
    Ok(Wanted {
        delivery,
        record,
        device,
        target,
        campaign,
        offer: campaign.offers.get(delivery.offer).ok_or(Suppression::CampaignEnded)?,
        geofence: geofence.map(|place| catalogue.places.get(place)),
    })
}

impl Wanted<'_> {
    /// The push that it comes to, with the code that it was given.
    pub(super) fn render(self, code: Option<&OfferCode>) -> Result<Push, Suppression> {
        let Self { delivery, record, .. } = self;
        let profile = &record.profile;
        // What is not known is left out, not null, so that a template's `default` takes its place.
        let mut user = json!({});
        let is_personal = profile
            .consent
            .allows(Purpose::Personalisation, delivery.brand.as_ref());
        if is_personal {
            user["traits"] = json!(profile.traits);
        }
        if let Some(name) = &profile.name {
            user["name"] = json!(name);
        }
        if let Some(id) = delivery.subject.user() {
            user["id"] = json!(id);
        }
        let mut context = json!({
            "user": user,
            "offer": self.offer.terms,
            "geofence": delivery.geofence.as_ref().map(|id| {
                // Messages count on it. A geofence without one, or gone since, goes by its id.
                let described = self.geofence.and_then(|geofence| geofence.description.as_deref());
                json!({
                    "tag": id.tag, "externalId": id.external_id,
                    "description": described.unwrap_or(id.external_id.as_str()),
                    "metadata": self.geofence.map(|geofence| &geofence.metadata),
                })
            }),
            "event": delivery.data,
            "ladder": delivery.ladder.as_ref().map(|ladder| json!({"step": ladder.step})),
        });
        if let Some(code) = code {
            context["offer"]["code"] = json!(code);
        }
        if is_personal {
            let figures = record.figures.for_templates();
            context["usual"] = json!(figures.usual);
            context["visits"] = json!(figures.visits);
        }
        let reader = Reader {
            locale: profile.locale(Some(self.device)),
            time_zone: profile.time_zone(Some(self.device)),
        };
        let message = self
            .offer
            .messages
            .render(&reader, &context)
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
        data.extend(code.map(|code| ("code".to_owned(), code.to_string())));
        Ok(Push {
            delivery: delivery.id,
            workspace: delivery.workspace.clone(),
            target: self.target,
            message,
            options: Arc::clone(&self.offer.push),
            data,
            expires_at: delivery.expires_at,
        })
    }
}
