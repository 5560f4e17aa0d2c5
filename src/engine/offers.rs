//! Offers of a limited number: claimed before a push leaves, settled when its delivery has ended, redeemed at a till.
//!
//! A delivery that ends hands its claim back or keeps it in the moment after; a server that dies in between leaves the claim
//! reserved, and [`Engine::settle_offers`] finds out later how the delivery has ended. So nothing is given twice, and what
//! was not sent comes back.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::rand;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{
    Engine, EngineError,
    ports::{Claim, Claimed, CodeSource, Grant, Redeemed, Redemption, Settlement, StoreError},
};
use crate::domain::{
    campaign::{Campaign, Codes, Offer},
    delivery::{Delivery, DeliveryState, Suppression},
    event::Fact,
    ids::{GeofenceId, WorkspaceId},
    offer_code::OfferCode,
    time::{DurationMs, Timestamp},
};

/// A reserved offer whose delivery may have ended is looked at after this.
const SETTLED_AFTER: DurationMs = DurationMs::from_secs(60);
/// How often to look for such.
const SWEEP: Duration = Duration::from_secs(30);
/// Most of them in one look.
const RESERVED_MAX: usize = 500;
/// Codes of 55 random bits that are all somebody else's mean that something else is wrong.
const CODE_TRIES_MAX: usize = 4;

/// A code that is redeemed.
#[derive(Debug, Clone, PartialEq)]
pub struct RedemptionAsk {
    /// Names it: asked again under the same name, it is the same one.
    pub id: String,
    /// The code as it was typed.
    pub code: Vec<OfferCode>,
    /// When.
    pub at: Timestamp,
    /// For how much.
    pub amount: Option<f64>,
    /// ISO 4217 name of the currency.
    pub currency: Option<String>,
    /// Where.
    pub geofence: Option<GeofenceId>,
}

/// Whether a delivery of this offer is to be claimed before it is sent.
pub fn is_limited(campaign: &Campaign, offer: &Offer) -> bool {
    campaign.budget_max.is_some() || offer.codes != Codes::None
}

fn generated() -> Result<OfferCode, StoreError> {
    let mut bytes = [0; 8];
    rand::fill(&mut bytes).map_err(|_| StoreError::Unavailable("no randomness from the system".to_owned()))?;
    Ok(OfferCode::generated(u64::from_le_bytes(bytes)))
}

/// The claim of a delivery.
fn claim_of(delivery: &Delivery, campaign: &Campaign, offer: &Offer, now: Timestamp) -> Result<Claim, StoreError> {
    Ok(Claim {
        workspace: delivery.workspace.clone(),
        delivery: delivery.id,
        subject: delivery.subject.clone(),
        campaign: delivery.campaign.clone(),
        budget_max: campaign.budget_max,
        codes: match &offer.codes {
            Codes::None => CodeSource::None,
            Codes::Generated => CodeSource::Generated(generated()?),
            Codes::Pool(pool) => CodeSource::Pool(pool.clone()),
        },
        terms: json!({"brand": delivery.brand, "offer": offer.terms}).to_string(),
        at: now,
        expires_at: delivery.expires_at,
    })
}

impl Engine {
    /// Claims the offers of these deliveries, each with its campaign and offer: the code to send, or why there is nothing to
    /// send.
    pub(super) async fn claim_offers(
        &self,
        deliveries: &[(&Delivery, &Campaign, &Offer)],
        now: Timestamp,
    ) -> Result<Vec<Result<Option<OfferCode>, Suppression>>, EngineError> {
        let mut outcomes = vec![Err(Suppression::NoCode); deliveries.len()];
        let mut open: Vec<usize> = (0..deliveries.len()).collect();
        for _ in 0..CODE_TRIES_MAX {
            if open.is_empty() {
                break;
            }
            let claims = open.iter().map(|number| {
                let (delivery, campaign, offer) = deliveries[*number];
                claim_of(delivery, campaign, offer, now)
            });
            let claims = claims.collect::<Result<Vec<Claim>, StoreError>>()?;
            let answers = self.store.offers.claim(claims).await?;
            let mut again = Vec::new();
            for (number, answer) in open.into_iter().zip(answers) {
                outcomes[number] = match answer {
                    Claimed::Granted(code) => Ok(code),
                    Claimed::BudgetSpent => Err(Suppression::Budget),
                    Claimed::PoolEmpty => Err(Suppression::NoCode),
                    Claimed::CodeTaken => {
                        again.push(number);
                        continue;
                    }
                };
            }
            open = again;
        }
        Ok(outcomes)
    }

    /// Redeems a code, once, and keeps that as a fact.
    pub async fn redeem(&self, workspace: &WorkspaceId, ask: &RedemptionAsk) -> Result<Redeemed, EngineError> {
        let details = json!({"amount": ask.amount, "currency": ask.currency, "geofence": ask.geofence});
        let redemption = Redemption {
            id: ask.id.clone(),
            at: ask.at,
            details: details.to_string(),
        };
        for code in &ask.code {
            match self.store.offers.redeem(workspace, code, &redemption).await? {
                Redeemed::Unknown => {}
                Redeemed::Done(grant) => {
                    self.note_redeemed(workspace, &grant).await?;
                    return Ok(Redeemed::Done(grant));
                }
                Redeemed::Used(grant) => {
                    // Who redeemed it may have been turned away before that was told.
                    self.note_redeemed(workspace, &grant).await?;
                    return Ok(Redeemed::Used(grant));
                }
                Redeemed::Expired(grant) => return Ok(Redeemed::Expired(grant)),
            }
        }
        Ok(Redeemed::Unknown)
    }

    /// Keeps the fact, once however often the till asks.
    async fn note_redeemed(&self, workspace: &WorkspaceId, grant: &Grant) -> Result<(), EngineError> {
        let Some(redemption) = &grant.redemption else {
            return Ok(());
        };
        let details: Value = serde_json::from_str(&redemption.details).unwrap_or_default();
        let fact = Fact::Redeemed {
            delivery: grant.delivery,
            user: grant.subject.user().cloned(),
            campaign: grant.campaign.clone(),
            at: redemption.at,
            details,
        };
        self.store
            .hot
            .note_reaction(workspace, &grant.subject, grant.delivery, "redeemed", &fact)
            .await?;
        self.streams.ring();
        Ok(())
    }

    /// Settles offers whose deliveries ended while nobody could, until `stop` turns true.
    pub async fn settle_offers(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(SWEEP) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            for workspace in self.catalogues.workspaces() {
                if let Err(error) = self.settle_reserved(&workspace).await {
                    tracing::warn!(%error, %workspace, "reserved offers wait; trying again");
                }
            }
        }
    }

    /// One look at the oldest reserved offers; how many were settled.
    pub async fn settle_reserved(&self, workspace: &WorkspaceId) -> Result<usize, EngineError> {
        let before = self.clock.now().minus(SETTLED_AFTER);
        let reserved = self.store.offers.reserved(workspace, before, RESERVED_MAX).await?;
        let mut settlements = Vec::new();
        for delivery in reserved {
            let row = match self.store.hot.delivery(workspace, delivery).await {
                Ok(row) => row,
                Err(error) => {
                    tracing::debug!(%error, %delivery, "a reserved offer is looked at later");
                    continue;
                }
            };
            let is_sent = match row.map(|row| row.state) {
                Some(state) => is_sent(state),
                None => Some(false),
            };
            settlements.extend(is_sent.map(|is_sent| Settlement {
                workspace: workspace.clone(),
                delivery,
                is_sent,
            }));
        }
        let count = settlements.len();
        if count > 0 {
            self.store.offers.settle(settlements).await?;
        }
        Ok(count)
    }
}

/// Whether the customer has what was sent, or may have; `None` while that is open.
pub(super) fn is_sent(state: DeliveryState) -> Option<bool> {
    match state {
        DeliveryState::Accepted | DeliveryState::Unknown => Some(true),
        DeliveryState::DeadToken | DeliveryState::Failed | DeliveryState::Suppressed => Some(false),
        DeliveryState::Queued | DeliveryState::Sending | DeliveryState::DeadLetter => None,
    }
}
