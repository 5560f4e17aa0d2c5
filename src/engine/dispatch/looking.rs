//! The last look at leased rows: which are still worth sending, with which code, in which words.

use std::sync::Arc;

use tokio::time::Instant;

use super::{AWAY_AGAIN, Dispatcher, Ready, Row};
use crate::{
    domain::{
        campaign::{Campaign, Offer},
        catalogue::Catalogue,
        delivery::{Delivery, Suppression},
        ids::DeliveryId,
        offer_code::OfferCode,
        record::Record,
        time::Timestamp,
    },
    engine::{
        look_again::{Wanted, check, suppress},
        offers::is_limited,
    },
};

/// A row with what is known about it now.
struct Looked {
    row: Row,
    record: Option<Arc<Record>>,
    catalogue: Arc<Catalogue>,
}

/// The code that a row was given, if it needs one; an error where it is unknown yet.
type Code = Result<Option<OfferCode>, ()>;

impl Dispatcher {
    /// Looks again at each leased row and renders those that are still worth sending; the others end here. Those whose
    /// customer or offer is in a part of the store that is away wait.
    pub(super) async fn look_again(&self, rows: Vec<Row>, now: Timestamp) -> Vec<Ready> {
        let customers = self.customers_of(&rows).await;
        let mut looked = Vec::with_capacity(rows.len());
        let (mut away, mut last_failure) = (0, None);
        for (row, customer) in rows.into_iter().zip(customers) {
            match customer {
                Ok(record) => looked.push(Looked {
                    catalogue: self.engine.catalogues.of(&row.leased.delivery.workspace),
                    row,
                    record,
                }),
                Err(error) => {
                    (away, last_failure) = (away + 1, Some(error));
                    self.defer(row, now.plus(AWAY_AGAIN), now).await;
                }
            }
        }
        if let Some(error) = last_failure {
            tracing::warn!(%error, rows = away, "pushes wait for their customers' records");
        }
        let codes = self.claim(&mut looked, now).await;
        let at = Instant::now();
        let mut ready = Vec::with_capacity(looked.len());
        for (looked, code) in looked.into_iter().zip(codes) {
            let push = match &code {
                Ok(Ok(code)) => self.check(&looked, now).and_then(|wanted| wanted.render(code.as_ref())),
                Ok(Err(())) => {
                    self.defer(looked.row, now.plus(AWAY_AGAIN), now).await;
                    continue;
                }
                Err(suppression) => Err(*suppression),
            };
            match push {
                Ok(push) => ready.push(Ready {
                    row: looked.row,
                    push,
                    at,
                }),
                Err(suppression) => {
                    let Row {
                        leased,
                        permit,
                        is_limited,
                        ..
                    } = looked.row;
                    self.end(suppress(&leased, suppression, now), permit, is_limited).await;
                }
            }
        }
        ready
    }

    fn check<'a>(&self, looked: &'a Looked, now: Timestamp) -> Result<Wanted<'a>, Suppression> {
        let rules = self.engine.rules(&looked.catalogue);
        check(
            &looked.row.leased.delivery,
            looked.record.as_deref(),
            &looked.catalogue,
            now,
            rules,
        )
    }

    /// Claims what there is only so much of, for the rows that are still wanted, and notes which these are. Most batches have
    /// none.
    async fn claim(&self, looked: &mut [Looked], now: Timestamp) -> Vec<Result<Code, Suppression>> {
        let mut codes: Vec<Result<Code, Suppression>> = Vec::with_capacity(looked.len());
        let mut limited = Vec::new();
        for (number, one) in looked.iter_mut().enumerate() {
            let delivery = &one.row.leased.delivery;
            let campaign = one.catalogue.campaigns.get(&delivery.campaign);
            let offer = campaign.and_then(|campaign| campaign.offers.get(delivery.offer));
            // Another worker may have the row by the time this one ends it: what it has not claimed itself, it settles not.
            one.row.is_limited = false;
            if campaign
                .zip(offer)
                .is_some_and(|(campaign, offer)| is_limited(campaign, offer))
            {
                limited.push(number);
            }
            codes.push(Ok(Ok(None)));
        }
        if limited.is_empty() {
            return codes;
        }
        let mut wanted: Vec<(usize, (&Delivery, &Campaign, &Offer))> = Vec::new();
        for number in limited {
            match self.check(&looked[number], now) {
                Ok(one) => wanted.push((number, (&looked[number].row.leased.delivery, one.campaign, one.offer))),
                Err(suppression) => codes[number] = Err(suppression),
            }
        }
        let asked: Vec<(&Delivery, &Campaign, &Offer)> = wanted.iter().map(|(_, asked)| *asked).collect();
        match self.engine.claim_offers(&asked, now).await {
            Ok(answers) => {
                let numbers: Vec<usize> = wanted.iter().map(|(number, _)| *number).collect();
                for (number, answer) in numbers.into_iter().zip(answers) {
                    looked[number].row.is_limited = answer.is_ok();
                    codes[number] = answer.map(Ok);
                }
            }
            Err(error) => {
                tracing::warn!(%error, rows = wanted.len(), "pushes wait for their offers");
                for (number, _) in &wanted {
                    codes[*number] = Ok(Err(()));
                }
            }
        }
        codes
    }

    /// The same for rows that have waited for their slots since, which they keep.
    pub(super) async fn look_once_more(&self, ready: Vec<Ready>) -> Vec<Ready> {
        let slots: Vec<(DeliveryId, Instant)> = ready.iter().map(|ready| (ready.push.delivery, ready.at)).collect();
        let rows = ready.into_iter().map(|ready| ready.row).collect();
        let mut ready = self.look_again(rows, self.engine.clock.now()).await;
        let mut slots = slots.into_iter();
        for ready in &mut ready {
            if let Some((_, at)) = slots.find(|(delivery, _)| *delivery == ready.push.delivery) {
                ready.at = at;
            }
        }
        ready
    }
}
