//! What the engine asks of the outside for offers: that one of a limited number is given to one delivery, comes back when
//! the delivery ends unsent, and is redeemed once.

use async_trait::async_trait;

use super::StoreError;
use crate::domain::{
    ids::{CampaignId, DeliveryId, SubjectId, WorkspaceId},
    offer_code::OfferCode,
    time::{DurationMs, Timestamp},
};

/// Most codes of one upload.
pub const CODES_MAX: usize = 1_000_000;

/// How long a grant is remembered after its end, so that a till is told what became of a code.
pub const GRANT_KEPT: DurationMs = DurationMs::from_secs(400 * 24 * 3600);

/// Where a delivery's code comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodeSource {
    /// It needs none.
    None,
    /// This one, made for it. Kept unless the delivery has one already.
    Generated(OfferCode),
    /// The next free one of this pool.
    Pool(String),
}

/// An offer that a delivery is about to be sent with.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// Tenant.
    pub workspace: WorkspaceId,
    /// For which delivery: it gets one, however often it asks.
    pub delivery: DeliveryId,
    /// To whom.
    pub subject: SubjectId,
    /// Of which campaign.
    pub campaign: CampaignId,
    /// Most that the campaign may give in all; `None`: any number.
    pub budget_max: Option<u64>,
    /// Where the code comes from.
    pub codes: CodeSource,
    /// The offer as people look at it, as JSON.
    pub terms: String,
    /// When it is claimed.
    pub at: Timestamp,
    /// After this instant it is worth nothing.
    pub expires_at: Timestamp,
}

/// What became of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// The delivery has it, with this code if it needs one.
    Granted(Option<OfferCode>),
    /// The campaign has given all that it may.
    BudgetSpent,
    /// No code is left in the pool.
    PoolEmpty,
    /// Somebody else has the generated code; another one may be free.
    CodeTaken,
}

/// Where a grant stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum GrantState {
    /// Its delivery has not ended.
    Reserved,
    /// The customer has it, or may have.
    Live,
    /// It was redeemed.
    Redeemed,
}

impl GrantState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Reserved, Self::Live, Self::Redeemed];

    /// The name in stores and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Live => "live",
            Self::Redeemed => "redeemed",
        }
    }

    /// Reads [`GrantState::as_str`] back.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// An offer that a delivery has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Whose it is.
    pub delivery: DeliveryId,
    /// The customer.
    pub subject: SubjectId,
    /// The campaign.
    pub campaign: CampaignId,
    /// Its code, if it has one.
    pub code: Option<OfferCode>,
    /// Where it stands.
    pub state: GrantState,
    /// After this instant it is worth nothing.
    pub expires_at: Timestamp,
    /// The offer as people look at it, as JSON.
    pub terms: String,
    /// How it was redeemed, as JSON, and under which name.
    pub redemption: Option<Redemption>,
}

/// The redeeming of a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redemption {
    /// Names it: asked again under the same name, it is the same one.
    pub id: String,
    /// When.
    pub at: Timestamp,
    /// Where and for how much, as JSON.
    pub details: String,
}

/// What became of a redemption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redeemed {
    /// It counts, now or since it was asked for under the same name before.
    Done(Grant),
    /// No such code was given to anybody.
    Unknown,
    /// It was redeemed before.
    Used(Grant),
    /// Its time is over.
    Expired(Grant),
}

/// How a delivery with a grant has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// Tenant.
    pub workspace: WorkspaceId,
    /// Which delivery.
    pub delivery: DeliveryId,
    /// Whether the customer has it, or may have; otherwise it goes back.
    pub is_sent: bool,
}

/// Codes of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolState {
    /// Its name.
    pub name: String,
    /// Codes that nobody has.
    pub free: u64,
    /// Codes that deliveries have.
    pub taken: u64,
}

/// Offers of a limited number.
#[async_trait]
pub trait OfferStore: Send + Sync {
    /// Gives each delivery its offer, durably, in the order of the claims.
    async fn claim(&self, claims: Vec<Claim>) -> Result<Vec<Claimed>, StoreError>;
    /// Notes how deliveries have ended. One without a grant is passed over; one that is settled stays as it is.
    async fn settle(&self, settlements: Vec<Settlement>) -> Result<(), StoreError>;
    /// Up to `limit` grants that have been reserved since before `before`, the oldest first.
    async fn reserved(
        &self,
        workspace: &WorkspaceId,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<DeliveryId>, StoreError>;
    /// Redeems a code, once.
    async fn redeem(
        &self,
        workspace: &WorkspaceId,
        code: &OfferCode,
        redemption: &Redemption,
    ) -> Result<Redeemed, StoreError>;
    /// The customer's grants that are worth something at `now`, those that end first first.
    async fn grants_of(
        &self,
        workspace: &WorkspaceId,
        subject: &SubjectId,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Grant>, StoreError>;
    /// Adds codes to a pool, which is made; how many were new. Codes that the workspace has anywhere are passed over.
    async fn put_codes(&self, workspace: &WorkspaceId, pool: &str, codes: &[OfferCode]) -> Result<u64, StoreError>;
    /// Takes back the codes of a pool that nobody has; how many.
    async fn drop_free_codes(&self, workspace: &WorkspaceId, pool: &str) -> Result<u64, StoreError>;
    /// The workspace's pools, by name.
    async fn pools(&self, workspace: &WorkspaceId) -> Result<Vec<PoolState>, StoreError>;
    /// How many grants of a campaign there are and were, but for those that came back.
    async fn budget_used(&self, workspace: &WorkspaceId, campaign: &CampaignId) -> Result<u64, StoreError>;
    /// Forgets a customer's grants; their codes are spent.
    async fn forget_grants(&self, workspace: &WorkspaceId, subject: &SubjectId) -> Result<(), StoreError>;
}
