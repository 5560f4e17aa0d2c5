//! Offers of a limited number: who has which code, and how much of a budget is left.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, named_params, params};
use uuid::Uuid;

use super::{SqliteStore, unreadable};
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

/// What a code takes in its table and its indexes.
const CODE_ROW_BYTES: usize = 200;

const COLUMNS: &str =
    "delivery, subject, campaign, code, state, expires_at, terms, redeemed_at, redeemed_as, redemption";

fn damaged(column: usize, what: &str) -> rusqlite::Error {
    unreadable(column, StoreError::Damaged(what.to_owned()))
}

fn read(row: &Row<'_>) -> rusqlite::Result<Grant> {
    let code: Option<String> = row.get(3)?;
    let redeemed_at: Option<i64> = row.get(7)?;
    Ok(Grant {
        delivery: read_delivery(row, 0)?,
        subject: SubjectId::from_key(row.get_ref(1)?.as_str()?).ok_or_else(|| damaged(1, "a subject"))?,
        campaign: CampaignId::new(row.get_ref(2)?.as_str()?).map_err(|error| unreadable(2, error))?,
        code: code
            .map(|code| OfferCode::uploaded(&code))
            .transpose()
            .map_err(|error| unreadable(3, error))?,
        state: GrantState::from_name(row.get_ref(4)?.as_str()?).ok_or_else(|| damaged(4, "a grant's state"))?,
        expires_at: Timestamp(row.get(5)?),
        terms: row.get(6)?,
        redemption: match redeemed_at {
            None => None,
            Some(at) => Some(Redemption {
                at: Timestamp(at),
                id: row.get(8)?,
                details: row.get(9)?,
            }),
        },
    })
}

fn read_delivery(row: &Row<'_>, column: usize) -> rusqlite::Result<DeliveryId> {
    let id: [u8; 16] = row.get(column)?;
    Ok(DeliveryId(Uuid::from_bytes(id)))
}

fn claim(connection: &Connection, claim: &Claim) -> rusqlite::Result<Claimed> {
    let (workspace, delivery) = (claim.workspace.as_str(), claim.delivery.0.as_bytes());
    let had: Option<Option<String>> = connection
        .prepare_cached("SELECT code FROM offer_grant WHERE workspace = ? AND delivery = ?")?
        .query_row(params![workspace, delivery], |row| row.get(0))
        .optional()?;
    if let Some(code) = had {
        let code = code.map(|code| OfferCode::uploaded(&code)).transpose();
        return Ok(Claimed::Granted(code.map_err(|error| unreadable(0, error))?));
    }
    forget_old(connection, claim.at)?;
    if let Some(most) = claim.budget_max
        && used(connection, workspace, claim.campaign.as_str())? >= most
    {
        return Ok(Claimed::BudgetSpent);
    }
    let (code, pool) = match &claim.codes {
        CodeSource::None => (None, None),
        CodeSource::Generated(code) => {
            let taken = connection
                .prepare_cached(
                    "SELECT 1 FROM offer_grant WHERE workspace = ?1 AND code = ?2
                     UNION ALL SELECT 1 FROM offer_code WHERE workspace = ?1 AND code = ?2",
                )?
                .exists(params![workspace, code.as_str()])?;
            if taken {
                return Ok(Claimed::CodeTaken);
            }
            (Some(code.as_str().to_owned()), None)
        }
        CodeSource::Pool(pool) => {
            let free: Option<String> = connection
                .prepare_cached(
                    "SELECT code FROM offer_code WHERE workspace = ? AND pool = ? AND delivery IS NULL
                     ORDER BY number LIMIT 1",
                )?
                .query_row(params![workspace, pool], |row| row.get(0))
                .optional()?;
            let Some(code) = free else {
                return Ok(Claimed::PoolEmpty);
            };
            connection
                .prepare_cached("UPDATE offer_code SET delivery = ? WHERE workspace = ? AND code = ?")?
                .execute(params![delivery, workspace, code])?;
            (Some(code), Some(pool.as_str()))
        }
    };
    connection
        .prepare_cached(
            "INSERT INTO offer_grant (workspace, delivery, subject, campaign, code, pool, state, reserved_at, expires_at, terms)
             VALUES (?, ?, ?, ?, ?, ?, 'reserved', ?, ?, ?)",
        )?
        .execute(params![
            workspace,
            delivery,
            claim.subject.to_key(),
            claim.campaign.as_str(),
            code,
            pool,
            claim.at.0,
            claim.expires_at.0,
            claim.terms
        ])?;
    connection
        .prepare_cached(
            "INSERT INTO offer_budget (workspace, campaign, used) VALUES (?, ?, 1)
             ON CONFLICT DO UPDATE SET used = used + 1",
        )?
        .execute(params![workspace, claim.campaign.as_str()])?;
    let code = code.map(|code| OfferCode::uploaded(&code)).transpose();
    Ok(Claimed::Granted(code.map_err(|error| unreadable(0, error))?))
}

/// Forgets two grants for each new one, once they are old enough.
fn forget_old(connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "DELETE FROM offer_grant WHERE (workspace, delivery) IN
                 (SELECT workspace, delivery FROM offer_grant WHERE expires_at < ? ORDER BY expires_at LIMIT 2)",
        )?
        .execute([now.minus(GRANT_KEPT).0])
        .map(drop)
}

fn used(connection: &Connection, workspace: &str, campaign: &str) -> rusqlite::Result<u64> {
    let used: Option<i64> = connection
        .prepare_cached("SELECT used FROM offer_budget WHERE workspace = ? AND campaign = ?")?
        .query_row([workspace, campaign], |row| row.get(0))
        .optional()?;
    Ok(used.unwrap_or_default() as u64)
}

fn settle(connection: &Connection, settlement: &Settlement) -> rusqlite::Result<()> {
    let (workspace, delivery) = (settlement.workspace.as_str(), settlement.delivery.0.as_bytes());
    if settlement.is_sent {
        return connection
            .prepare_cached(
                "UPDATE offer_grant SET state = 'live' WHERE workspace = ? AND delivery = ? AND state = 'reserved'",
            )?
            .execute(params![workspace, delivery])
            .map(drop);
    }
    let gone: Option<String> = connection
        .prepare_cached(
            "DELETE FROM offer_grant WHERE workspace = ? AND delivery = ? AND state = 'reserved' RETURNING campaign",
        )?
        .query_row(params![workspace, delivery], |row| row.get(0))
        .optional()?;
    let Some(campaign) = gone else {
        return Ok(());
    };
    connection
        .prepare_cached("UPDATE offer_code SET delivery = NULL WHERE workspace = ? AND delivery = ?")?
        .execute(params![workspace, delivery])?;
    connection
        .prepare_cached("UPDATE offer_budget SET used = used - 1 WHERE workspace = ? AND campaign = ?")?
        .execute([workspace, &campaign])
        .map(drop)
}

fn redeem(
    connection: &Connection,
    workspace: &str,
    code: &OfferCode,
    redemption: &Redemption,
) -> rusqlite::Result<Redeemed> {
    let grant = connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM offer_grant WHERE workspace = ? AND code = ?"
        ))?
        .query_row([workspace, code.as_str()], read)
        .optional()?;
    let Some(mut grant) = grant else {
        return Ok(Redeemed::Unknown);
    };
    if let Some(before) = &grant.redemption {
        return Ok(if before.id == redemption.id {
            Redeemed::Done(grant)
        } else {
            Redeemed::Used(grant)
        });
    }
    if redemption.at >= grant.expires_at {
        return Ok(Redeemed::Expired(grant));
    }
    connection
        .prepare_cached(
            "UPDATE offer_grant SET state = 'redeemed', redeemed_at = :at, redeemed_as = :id, redemption = :details
             WHERE workspace = :workspace AND code = :code",
        )?
        .execute(named_params! {
            ":at": redemption.at.0,
            ":id": redemption.id,
            ":details": redemption.details,
            ":workspace": workspace,
            ":code": code.as_str(),
        })?;
    grant.state = GrantState::Redeemed;
    grant.redemption = Some(redemption.clone());
    Ok(Redeemed::Done(grant))
}

fn put_codes(connection: &Connection, workspace: &str, pool: &str, codes: &[OfferCode]) -> rusqlite::Result<u64> {
    let mut number: i64 = connection
        .prepare_cached("SELECT coalesce(max(number), 0) FROM offer_code WHERE workspace = ? AND pool = ?")?
        .query_row([workspace, pool], |row| row.get(0))?;
    let mut given = connection.prepare_cached("SELECT 1 FROM offer_grant WHERE workspace = ? AND code = ?")?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO offer_code (workspace, code, pool, number) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
    )?;
    let mut added = 0;
    for code in codes {
        if given.exists([workspace, code.as_str()])? {
            continue;
        }
        number += 1;
        added += insert.execute(params![workspace, code.as_str(), pool, number])? as u64;
    }
    Ok(added)
}

#[async_trait]
impl OfferStore for SqliteStore {
    async fn claim(&self, claims: Vec<Claim>) -> Result<Vec<Claimed>, StoreError> {
        self.writer
            .write(move |connection| claims.iter().map(|one| claim(connection, one)).collect())
            .await
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<(), StoreError> {
        self.writer
            .write(move |connection| settlements.iter().try_for_each(|one| settle(connection, one)))
            .await
    }

    async fn reserved(
        &self,
        workspace: &WorkspaceId,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<DeliveryId>, StoreError> {
        let workspace = workspace.clone();
        self.read(move |connection| {
            let mut select = connection.prepare_cached(
                "SELECT delivery FROM offer_grant WHERE workspace = ? AND state = 'reserved' AND reserved_at < ?
                 ORDER BY reserved_at LIMIT ?",
            )?;
            let rows = select.query_map(params![workspace.as_str(), before.0, limit as i64], |row| {
                read_delivery(row, 0)
            })?;
            rows.collect()
        })
        .await
    }

    async fn redeem(
        &self,
        workspace: &WorkspaceId,
        code: &OfferCode,
        redemption: &Redemption,
    ) -> Result<Redeemed, StoreError> {
        let (workspace, code, redemption) = (workspace.clone(), code.clone(), redemption.clone());
        self.writer
            .write(move |connection| redeem(connection, workspace.as_str(), &code, &redemption))
            .await
    }

    async fn grants_of(
        &self,
        workspace: &WorkspaceId,
        subject: &SubjectId,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Grant>, StoreError> {
        let (workspace, subject) = (workspace.clone(), subject.to_key());
        self.read(move |connection| {
            let mut select = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM offer_grant
                 WHERE workspace = ? AND subject = ? AND expires_at > ? AND state = 'live' ORDER BY expires_at LIMIT ?"
            ))?;
            let rows = select.query_map(params![workspace.as_str(), subject, now.0, limit as i64], read)?;
            rows.collect()
        })
        .await
    }

    async fn put_codes(&self, workspace: &WorkspaceId, pool: &str, codes: &[OfferCode]) -> Result<u64, StoreError> {
        let (workspace, pool, codes) = (workspace.clone(), pool.to_owned(), codes.to_vec());
        let bytes = codes.len() * CODE_ROW_BYTES;
        self.writer
            .write_large(bytes, move |connection| {
                put_codes(connection, workspace.as_str(), &pool, &codes)
            })
            .await
    }

    async fn drop_free_codes(&self, workspace: &WorkspaceId, pool: &str) -> Result<u64, StoreError> {
        let (workspace, pool) = (workspace.clone(), pool.to_owned());
        self.writer
            .write(move |connection| {
                connection
                    .execute(
                        "DELETE FROM offer_code WHERE workspace = ? AND pool = ? AND delivery IS NULL",
                        [workspace.as_str(), &pool],
                    )
                    .map(|dropped| dropped as u64)
            })
            .await
    }

    async fn pools(&self, workspace: &WorkspaceId) -> Result<Vec<PoolState>, StoreError> {
        let workspace = workspace.clone();
        self.read(move |connection| {
            let mut select = connection.prepare_cached(
                "SELECT pool, sum(delivery IS NULL), sum(delivery IS NOT NULL) FROM offer_code
                 WHERE workspace = ? GROUP BY pool ORDER BY pool",
            )?;
            let rows = select.query_map([workspace.as_str()], |row| {
                Ok(PoolState {
                    name: row.get(0)?,
                    free: row.get::<_, i64>(1)? as u64,
                    taken: row.get::<_, i64>(2)? as u64,
                })
            })?;
            rows.collect()
        })
        .await
    }

    async fn budget_used(&self, workspace: &WorkspaceId, campaign: &CampaignId) -> Result<u64, StoreError> {
        let (workspace, campaign) = (workspace.clone(), campaign.clone());
        self.read(move |connection| used(connection, workspace.as_str(), campaign.as_str()))
            .await
    }

    async fn forget_grants(&self, workspace: &WorkspaceId, subject: &SubjectId) -> Result<(), StoreError> {
        let (workspace, subject) = (workspace.clone(), subject.to_key());
        self.writer
            .write(move |connection| {
                connection
                    .execute(
                        "DELETE FROM offer_grant WHERE workspace = ? AND subject = ?",
                        [workspace.as_str(), &subject],
                    )
                    .map(drop)
            })
            .await
    }
}
