//! Offers of a limited number. All of a workspace share a slot, so that a budget and a pool are exact and a code is found by
//! its text alone.

use std::collections::HashMap;

use async_trait::async_trait;
use uuid::Uuid;

use super::{
    RedisStore,
    control::{damaged, parse},
    scripts::Arguments,
};
use crate::{
    domain::{
        ids::{CampaignId, DeliveryId, SubjectId, WorkspaceId},
        offer_code::OfferCode,
        time::Timestamp,
    },
    engine::ports::{
        Claim, Claimed, CodeSource, GRANT_KEPT, Grant, GrantState, OfferStore, PoolState, Redeemed, Redemption,
        Settlement, StoreError,
    },
};

/// Codes that travel together: Lua takes some thousand arguments.
const CODES_TOGETHER: usize = 2_000;

/// A grant as scripts answer: its delivery, then names and values one after the other.
type Kept = (String, Vec<String>);

fn read((delivery, fields): Kept) -> Result<Grant, StoreError> {
    let fields: HashMap<&str, &str> = fields
        .chunks_exact(2)
        .map(|pair| (pair[0].as_str(), pair[1].as_str()))
        .collect();
    let field = |name: &str| fields.get(name).copied().unwrap_or_default();
    let code = Some(field("code")).filter(|code| !code.is_empty());
    Ok(Grant {
        delivery: read_delivery(&delivery)?,
        subject: SubjectId::from_key(field("subject")).ok_or_else(|| damaged("a grant of nobody"))?,
        campaign: CampaignId::new(field("campaign")).map_err(damaged)?,
        code: code.map(OfferCode::uploaded).transpose().map_err(damaged)?,
        state: GrantState::from_name(field("state")).ok_or_else(|| damaged("a grant's state"))?,
        expires_at: Timestamp(parse(field("ends"))?),
        terms: field("terms").to_owned(),
        redemption: match fields.get("as") {
            None => None,
            Some(id) => Some(Redemption {
                id: (*id).to_owned(),
                at: Timestamp(parse(field("at"))?),
                details: field("details").to_owned(),
            }),
        },
    })
}

fn read_delivery(text: &str) -> Result<DeliveryId, StoreError> {
    Uuid::parse_str(text).map(DeliveryId).map_err(damaged)
}

fn read_claimed(answer: &str) -> Result<Claimed, StoreError> {
    match answer {
        "budget" => Ok(Claimed::BudgetSpent),
        "empty" => Ok(Claimed::PoolEmpty),
        "taken" => Ok(Claimed::CodeTaken),
        granted => {
            let code = granted.strip_prefix("granted ").ok_or_else(|| damaged("a claim"))?;
            let code = Some(code).filter(|code| !code.is_empty());
            let code = code.map(OfferCode::uploaded).transpose().map_err(damaged)?;
            Ok(Claimed::Granted(code))
        }
    }
}

fn add_claim(arguments: &mut Arguments, claim: &Claim) {
    arguments
        .add(claim.delivery.to_string())
        .add(claim.subject.to_key())
        .add(claim.campaign.as_str());
    match claim.budget_max {
        Some(most) => arguments.number(most),
        None => arguments.add(""),
    };
    match &claim.codes {
        CodeSource::None => arguments.add("none").add(""),
        CodeSource::Generated(code) => arguments.add("generated").add(code.as_str()),
        CodeSource::Pool(pool) => arguments.add("pool").add(pool),
    };
    arguments
        .add(&claim.terms)
        .number(claim.at.0)
        .number(claim.expires_at.0)
        .number(claim.expires_at.plus(GRANT_KEPT).0);
}

/// What belongs to each workspace, in the order in which it came.
fn by_workspace<T>(all: &[T], workspace: impl Fn(&T) -> &WorkspaceId) -> Vec<(WorkspaceId, Vec<(usize, &T)>)> {
    let mut groups: Vec<(WorkspaceId, Vec<(usize, &T)>)> = Vec::new();
    for (number, one) in all.iter().enumerate() {
        let of = workspace(one);
        match groups.iter_mut().find(|(known, _)| known == of) {
            Some((_, group)) => group.push((number, one)),
            None => groups.push((of.clone(), vec![(number, one)])),
        }
    }
    groups
}

#[async_trait]
impl OfferStore for RedisStore {
    async fn claim(&self, claims: Vec<Claim>) -> Result<Vec<Claimed>, StoreError> {
        let mut outcomes = vec![Claimed::PoolEmpty; claims.len()];
        for (workspace, group) in by_workspace(&claims, |claim| &claim.workspace) {
            let mut arguments = Arguments::default();
            for (_, claim) in &group {
                add_claim(&mut arguments, claim);
            }
            let answers: Vec<String> = (self.scripts.claim_offers)
                .run(&self.link, &self.keys.offers(&workspace), &arguments)
                .await?;
            if answers.len() != group.len() {
                return Err(damaged(format!("{} answers to {} claims", answers.len(), group.len())));
            }
            for ((number, _), answer) in group.into_iter().zip(answers) {
                outcomes[number] = read_claimed(&answer)?;
            }
        }
        Ok(outcomes)
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<(), StoreError> {
        for (workspace, group) in by_workspace(&settlements, |settlement| &settlement.workspace) {
            let mut arguments = Arguments::default();
            for (_, settlement) in group {
                arguments.add(settlement.delivery.to_string()).flag(settlement.is_sent);
            }
            let _: i64 = (self.scripts.settle_offers)
                .run(&self.link, &self.keys.offers(&workspace), &arguments)
                .await?;
        }
        Ok(())
    }

    async fn reserved(
        &self,
        workspace: &WorkspaceId,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<DeliveryId>, StoreError> {
        let mut command = redis::cmd("ZRANGE");
        command
            .arg(format!("{}:r", self.keys.offers(workspace)))
            .arg("-inf")
            .arg(format!("({}", before.0))
            .arg("BYSCORE")
            .arg("LIMIT")
            .arg(0)
            .arg(limit);
        let names: Vec<String> = self.link.ask(&command).await?;
        names.iter().map(|name| read_delivery(name)).collect()
    }

    async fn redeem(
        &self,
        workspace: &WorkspaceId,
        code: &OfferCode,
        redemption: &Redemption,
    ) -> Result<Redeemed, StoreError> {
        let mut arguments = Arguments::default();
        arguments
            .add(code.as_str())
            .add(&redemption.id)
            .number(redemption.at.0)
            .add(&redemption.details);
        let answer: Vec<redis::Value> = (self.scripts.redeem_offer)
            .run(&self.link, &self.keys.offers(workspace), &arguments)
            .await?;
        let mut answer = answer.into_iter();
        let outcome: String = super::link::read(answer.next().unwrap_or(redis::Value::Nil))?;
        if outcome == "unknown" {
            return Ok(Redeemed::Unknown);
        }
        let delivery: String = super::link::read(answer.next().unwrap_or(redis::Value::Nil))?;
        let fields: Vec<String> = super::link::read(answer.next().unwrap_or(redis::Value::Nil))?;
        let grant = read((delivery, fields))?;
        match outcome.as_str() {
            "done" => Ok(Redeemed::Done(grant)),
            "used" => Ok(Redeemed::Used(grant)),
            "expired" => Ok(Redeemed::Expired(grant)),
            other => Err(damaged(format!("the redemption `{other}`"))),
        }
    }

    async fn grants_of(
        &self,
        workspace: &WorkspaceId,
        subject: &SubjectId,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Grant>, StoreError> {
        let mut arguments = Arguments::default();
        arguments.add(subject.to_key()).number(now.0).number(limit);
        let kept: Vec<Kept> = (self.scripts.grants)
            .run(&self.link, &self.keys.offers(workspace), &arguments)
            .await?;
        kept.into_iter().map(read).collect()
    }

    async fn put_codes(&self, workspace: &WorkspaceId, pool: &str, codes: &[OfferCode]) -> Result<u64, StoreError> {
        let mut added = 0;
        for codes in codes.chunks(CODES_TOGETHER) {
            let mut arguments = Arguments::default();
            arguments.add(pool);
            for code in codes {
                arguments.add(code.as_str());
            }
            let new: u64 = (self.scripts.put_codes)
                .run(&self.link, &self.keys.offers(workspace), &arguments)
                .await?;
            added += new;
        }
        Ok(added)
    }

    async fn drop_free_codes(&self, workspace: &WorkspaceId, pool: &str) -> Result<u64, StoreError> {
        let mut dropped = 0;
        loop {
            let mut arguments = Arguments::default();
            arguments.add(pool).number(CODES_TOGETHER);
            let now: u64 = (self.scripts.drop_free_codes)
                .run(&self.link, &self.keys.offers(workspace), &arguments)
                .await?;
            dropped += now;
            if now < CODES_TOGETHER as u64 {
                return Ok(dropped);
            }
        }
    }

    async fn pools(&self, workspace: &WorkspaceId) -> Result<Vec<PoolState>, StoreError> {
        let kept: Vec<(String, u64, u64)> = (self.scripts.pools)
            .run(&self.link, &self.keys.offers(workspace), &Arguments::default())
            .await?;
        let mut pools: Vec<PoolState> = kept
            .into_iter()
            .map(|(name, free, taken)| PoolState { name, free, taken })
            .collect();
        pools.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(pools)
    }

    async fn budget_used(&self, workspace: &WorkspaceId, campaign: &CampaignId) -> Result<u64, StoreError> {
        let mut command = redis::cmd("HGET");
        command
            .arg(format!("{}:b", self.keys.offers(workspace)))
            .arg(campaign.as_str());
        let used: Option<u64> = self.link.ask(&command).await?;
        Ok(used.unwrap_or_default())
    }

    async fn forget_grants(&self, workspace: &WorkspaceId, subject: &SubjectId) -> Result<(), StoreError> {
        let mut arguments = Arguments::default();
        arguments.add(subject.to_key());
        let _: i64 = (self.scripts.forget_grants)
            .run(&self.link, &self.keys.offers(workspace), &arguments)
            .await?;
        Ok(())
    }
}
