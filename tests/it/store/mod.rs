//! What every store promises. One suite for every backend: SQLite, a real Redis, and a real cluster.

use beckon::{
    domain::{
        campaign::Class,
        delivery::{Delivery, Platform, TriggerKind},
        ids::{AppId, CampaignId, DeliveryId, DeviceId, EventId, SubjectId, UserId, WorkspaceId},
        time::Timestamp,
    },
    engine::ports::{Commit, CommitOutcome, HotStore, Store, StoreError, StoredRecord},
    store,
};
use serde_json::Value;
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::redis_server::{Cluster, Redis};

mod campaigns;
mod devices;
mod differential;
mod facts;
mod followers;
mod hot;
mod lanes;
mod offers;
mod present;
mod reactions;
mod redis;
mod sets;
mod settings;
mod shared;
mod sqlite;
mod tls;
mod tokens;

/// A store's answers all together: the first failure is all of theirs.
pub(crate) trait AllTogether {
    async fn commit_all(&self, commits: Vec<Commit>) -> Result<Vec<CommitOutcome>, StoreError>;
    async fn load_all(
        &self,
        workspace: &WorkspaceId,
        subjects: &[SubjectId],
    ) -> Result<Vec<Option<StoredRecord>>, StoreError>;
    async fn owners_of(
        &self,
        workspace: &WorkspaceId,
        devices: &[DeviceId],
    ) -> Result<Vec<Option<SubjectId>>, StoreError>;
}

impl AllTogether for dyn HotStore {
    async fn commit_all(&self, commits: Vec<Commit>) -> Result<Vec<CommitOutcome>, StoreError> {
        self.commit(commits).await.into_iter().collect()
    }

    async fn load_all(
        &self,
        workspace: &WorkspaceId,
        subjects: &[SubjectId],
    ) -> Result<Vec<Option<StoredRecord>>, StoreError> {
        self.load(workspace, subjects).await.into_iter().collect()
    }

    async fn owners_of(
        &self,
        workspace: &WorkspaceId,
        devices: &[DeviceId],
    ) -> Result<Vec<Option<SubjectId>>, StoreError> {
        self.subjects_of(workspace, devices).await.into_iter().collect()
    }
}

pub(super) fn workspace() -> WorkspaceId {
    WorkspaceId::new("w").expect("an id")
}

pub(super) fn subject(name: &str) -> SubjectId {
    SubjectId::User(UserId::new(name).expect("an id"))
}

pub(super) fn commit(name: &str, expected: u64, bytes: &[u8]) -> Commit {
    Commit {
        workspace: workspace(),
        subject: subject(name),
        expected,
        record: Some((1, bytes.to_vec())),
        deliveries: Vec::new(),
        facts: Vec::new(),
        claims: Vec::new(),
        first_claims: Vec::new(),
        releases: Vec::new(),
        follows: Vec::new(),
        unfollows: Vec::new(),
        erase: false,
        wake_at: None,
        presence: Vec::new(),
    }
}

pub(super) fn delivery(number: u128, due: i64) -> Delivery {
    Delivery {
        id: DeliveryId(Uuid::from_u128(number)),
        workspace: workspace(),
        subject: subject("mia"),
        device: DeviceId::new("phone").expect("an id"),
        campaign: CampaignId::new("c").expect("an id"),
        campaign_version: 1,
        class: Class::Marketing,
        platform: Platform::Ios,
        app: AppId::new("app").expect("an id"),
        brand: None,
        offer: 0,
        trigger: TriggerKind::Entered,
        event: EventId(Uuid::from_u128(number)),
        event_at: Timestamp(due),
        geofence: None,
        data: Value::Null,
        decided_at: Timestamp(due),
        expires_at: Timestamp(due + 1_000_000),
        still_there: false,
        ladder: None,
        why: Vec::new(),
    }
}

/// Runs every story on every backend: on SQLite each for itself, on Redis and on a cluster one after the other.
macro_rules! on_every_store {
    ($($room:ident: $($story:ident),+ $(,)?);+ $(;)?) => {
        mod on_sqlite {
            $($(
                #[test]
                fn $story() {
                    let folder = tempfile::tempdir().expect("a folder");
                    let url = format!("sqlite:{}", folder.path().display());
                    super::run(&url, super::$room::$story);
                }
            )+)+
        }

        /// Each with keys of its own.
        fn run_all(url: impl Fn(&str) -> String) {
            let mut number = 0;
            $($(
                number += 1;
                println!("story{number}: {}", stringify!($story));
                run(&url(&format!("story{number}")), $room::$story);
            )+)+
        }
    };
}

on_every_store! {
    offers:
        each_delivery_gets_one_code_of_a_pool,
        a_budget_is_never_overdrawn,
        racing_tills_redeem_a_code_once,
        a_code_ends_and_an_unknown_one_is_said_to_be,
        what_nobody_settled_is_found;
    hot:
        only_one_of_racing_commits_wins_each_version,
        a_commit_that_lost_leaves_nothing_behind,
        a_row_is_leased_to_one_worker_and_again_when_the_lease_runs_out,
        a_record_is_woken_once_when_it_wants_and_a_commit_takes_the_wish_back,
        an_ended_delivery_stays_ended_and_lists_newest_first,
        a_row_that_nobody_finishes_is_set_aside_until_somebody_asks;
    campaigns:
        the_newest_versions_of_a_campaign_are_kept;
    devices:
        a_device_belongs_to_who_claimed_it_last,
        of_racing_first_claims_one_wins,
        racing_claims_leave_an_owner_whose_commit_was_done;
    facts:
        facts_are_read_in_order_and_none_is_passed_over,
        what_an_input_brought_about_is_found_again_until_it_is_erased,
        a_customers_facts_are_listed_newest_first_page_by_page,
        deliveries_are_found_by_user_campaign_and_state;
    followers:
        followers_of_a_topic_come_page_by_page,
        an_outside_event_is_kept_until_everybody_was_told;
    lanes:
        a_lane_with_much_does_not_hold_up_the_others,
        lanes_that_are_held_are_left_alone,
        a_free_lane_is_found_behind_many_that_are_held,
        service_is_found_behind_many_lanes_of_marketing,
        slots_are_given_once_and_evenly;
    present:
        who_is_where_changes_with_the_record;
    reactions:
        what_became_of_a_push_is_kept_once,
        an_endpoint_is_leased_by_one_and_changed_by_who_has_it;
    sets:
        versions_are_kept_made_live_and_forgotten_as_a_whole,
        edits_lie_on_top_of_a_version_until_the_next;
    tokens:
        servers_agree_on_one_token_while_it_is_fresh;
    settings:
        of_racing_changes_of_a_workspaces_settings_one_wins;
}

/// Tells a story to a fresh store.
fn run<F: Future<Output = ()>>(url: &str, story: impl FnOnce(Store) -> F) {
    Runtime::new().expect("threads").block_on(async {
        let store = store::open(url).await.expect("a store");
        story(store).await;
    });
}

/// Tells a story to so many nodes on one Redis.
pub(super) fn run_with_nodes(count: usize, story: impl AsyncFnOnce(Vec<Store>)) {
    let redis = Redis::start();
    Runtime::new().expect("threads").block_on(async {
        let mut nodes = Vec::new();
        for _ in 0..count {
            nodes.push(store::open(&redis.url("")).await.expect("a store"));
        }
        story(nodes).await;
    });
}

#[test]
fn every_story_holds_on_redis() {
    let redis = Redis::start();
    run_all(|story| redis.url(&format!("prefix={story}")));
}

#[test]
fn every_story_holds_on_a_cluster() {
    let cluster = Cluster::start();
    run_all(|story| cluster.url(&format!("prefix={story}")));
}
