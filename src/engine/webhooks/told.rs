//! Facts as `CloudEvents` (cloudevents.io, version 1.0, structured mode).

use std::collections::HashSet;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    domain::{
        delivery::DeliveryState,
        event::{Fact, ReactionKind},
        ids::WorkspaceId,
        time::Timestamp,
    },
    engine::{
        Engine, EngineError,
        ports::{FactCursor, FactPage},
    },
};

use super::Held;

/// Every type that endpoints can be told of.
pub const TYPES: [&str; 17] = [
    "user.entered_geofence",
    "user.exited_geofence",
    "user.scanned_code",
    "user.dwelled_in_geofence",
    "user.crossed_geofence",
    "delivery.accepted",
    "delivery.dead_token",
    "delivery.failed",
    "delivery.suppressed",
    "delivery.unknown",
    "delivery.dead_letter",
    "delivery.delivered",
    "delivery.opened",
    "delivery.dismissed",
    "delivery.action",
    "offer.redeemed",
    "device.token_dropped",
];

/// Something to be told.
pub(super) struct Told {
    /// Its place among the facts.
    pub(super) place: FactCursor,
    /// One of [`TYPES`].
    pub(super) kind: &'static str,
    /// The same whenever it is told.
    pub(super) id: String,
    at: Timestamp,
    subject: Option<String>,
    data: Value,
}

impl Told {
    /// The document that is sent.
    pub(super) fn document(&self, workspace: &WorkspaceId) -> String {
        json!({
            "specversion": "1.0", "id": self.id, "type": self.kind, "source": format!("/workspaces/{workspace}"),
            "subject": self.subject, "time": self.at, "datacontenttype": "application/json", "data": self.data,
        })
        .to_string()
    }

    /// The endpoint does not take it.
    pub(super) fn held(&self, now: Timestamp) -> Held {
        Held {
            id: self.id.clone(),
            kind: self.kind.to_owned(),
            at: self.at,
            since: now,
            place: self.place.as_str().to_owned(),
        }
    }
}

impl Engine {
    /// What of these facts is told. Who does not want to be located is left out, as in the live stream.
    pub(super) async fn told(&self, workspace: &WorkspaceId, facts: FactPage) -> Result<Vec<Told>, EngineError> {
        let page = self.page(workspace, facts.clone()).await?;
        let events = page.iter().flat_map(|page| &page.events);
        let may_be_told: HashSet<&str> = events.map(|(place, _)| place.as_str()).collect();
        let told = facts.facts.into_iter().filter_map(|(place, fact)| {
            let allowed = !matches!(fact, Fact::Event(_)) || may_be_told.contains(place.as_str());
            allowed.then(|| tell(place, fact)).flatten()
        });
        Ok(told.collect())
    }
}

fn tell(place: FactCursor, fact: Fact) -> Option<Told> {
    Some(match fact {
        Fact::Event(event) => Told {
            place,
            kind: event.kind.as_str(),
            id: event.id.to_string(),
            at: event.at,
            subject: event.user_id.as_ref().map(ToString::to_string),
            data: serde_json::to_value(&event).unwrap_or_default(),
        },
        Fact::Delivery {
            delivery,
            user,
            at,
            state,
            attempt,
            reason,
        } => Told {
            place,
            kind: match state {
                DeliveryState::Queued | DeliveryState::Sending => return None,
                DeliveryState::Accepted => "delivery.accepted",
                DeliveryState::DeadToken => "delivery.dead_token",
                DeliveryState::Failed => "delivery.failed",
                DeliveryState::Suppressed => "delivery.suppressed",
                DeliveryState::Unknown => "delivery.unknown",
                DeliveryState::DeadLetter => "delivery.dead_letter",
            },
            id: format!("{delivery}.{}", state.as_str()),
            at,
            subject: user.as_ref().map(ToString::to_string),
            data: json!({"deliveryId": delivery, "userId": user, "state": state, "attempts": attempt, "reason": reason}),
        },
        Fact::Reaction {
            delivery,
            user,
            device,
            campaign,
            at,
            kind,
            action,
        } => Told {
            place,
            kind: match kind {
                ReactionKind::Delivered => "delivery.delivered",
                ReactionKind::Opened => "delivery.opened",
                ReactionKind::Dismissed => "delivery.dismissed",
                ReactionKind::Action => "delivery.action",
            },
            id: match &action {
                // It may hold what no header may.
                Some(action) => Uuid::new_v5(&delivery.0, action.as_bytes()).to_string(),
                None => format!("{delivery}.{}", kind.as_str()),
            },
            at,
            subject: user.as_ref().map(ToString::to_string),
            data: json!({"deliveryId": delivery, "userId": user, "deviceId": device, "campaign": campaign, "action": action}),
        },
        Fact::Redeemed {
            delivery,
            user,
            campaign,
            at,
            details,
        } => Told {
            place,
            kind: "offer.redeemed",
            id: format!("{delivery}.redeemed"),
            at,
            subject: user.as_ref().map(ToString::to_string),
            data: json!({"deliveryId": delivery, "userId": user, "campaign": campaign, "redemption": details}),
        },
        Fact::TokenDropped { device, at, reason } => Told {
            kind: "device.token_dropped",
            id: format!("token.{}", place.as_str()),
            place,
            at,
            subject: None,
            data: json!({"deviceId": device, "reason": reason}),
        },
        Fact::Decision { .. } | Fact::HeldOut { .. } | Fact::Doubted { .. } => return None,
    })
}
