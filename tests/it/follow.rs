//! What one server makes of another one's changes, whatever it can't read.

use std::{sync::Arc, time::Duration};

use beckon::{
    app::SystemClock,
    config::Config,
    domain::{
        geofence::Geofence,
        ids::{CampaignId, ExternalId, GeofenceId, Tag, WorkspaceId},
        presence::PresenceRules,
    },
    engine::{
        Engine,
        ports::{Clock as _, Store},
    },
    geo::{Position, Shape},
    store,
};
use serde_json::json;
use tokio::sync::watch;

use crate::{harness::wait_for, redis_server::Redis, stage::Stage};

fn workspace(name: &str) -> WorkspaceId {
    WorkspaceId::new(name).expect("an id")
}

fn engine(store: Store) -> Arc<Engine> {
    let rules = PresenceRules::DEFAULT;
    Arc::new(Engine::new(
        store,
        Arc::new(SystemClock),
        rules,
        1,
        1000,
        Config::load(None).expect("the defaults").stream_limits(),
        Arc::default(),
    ))
}

async fn put_campaign(store: &Store, name: &str) {
    let document = json!({
        "id": "hello", "trigger": {"on": "entered", "geofences": {"tag": "shop"}},
        "offers": [{"message": {"en": {"title": "t", "body": "b"}}}],
    });
    let (workspace, id) = (workspace(name), CampaignId::new("hello").expect("an id"));
    let control = &store.control;
    let kept = control.put_campaign(&workspace, &id, &document, SystemClock.now());
    kept.await.expect("kept");
}

async fn eventually(what: &str, happened: impl Fn() -> bool) {
    let waits = async {
        while !happened() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(30), waits).await;
    assert!(waited.is_ok(), "waited for {what}");
}

#[tokio::test]
async fn what_is_unreadable_keeps_back_only_its_own_workspace() {
    let redis = Redis::start();
    let (here, there) = (
        store::open(&redis.url("")).await.expect("a store"),
        store::open(&redis.url("")).await.expect("a store"),
    );
    let follower = engine(there.clone());
    let since = there.control.changes(None).await.expect("a beginning").upto;
    put_campaign(&here, "broken").await;
    redis.cli(&["hset", "{beckon:control}:campaigns:broken", "hello", "1 0\ngarbage"]);
    put_campaign(&here, "whole").await;
    let (stop, stopped) = watch::channel(false);
    let following = tokio::spawn(Arc::clone(&follower).follow_changes(since, async || Ok(()), stopped));
    let has_campaign = |name: &str| {
        let catalogue = follower.catalogues.of(&workspace(name));
        catalogue
            .campaigns
            .get(&CampaignId::new("hello").expect("an id"))
            .is_some()
    };
    eventually("the other workspace", || has_campaign("whole")).await;
    // Nor does it keep back the geofences of its own.
    let id = GeofenceId {
        tag: Tag::new("shop").expect("a tag"),
        external_id: ExternalId::new("one").expect("an id"),
    };
    let shape = Shape::circle(Position::new(46.5, 12.3).expect("a position"), 100.0).expect("a circle");
    let put = engine(here.clone());
    let geofence = Geofence::new(id.clone(), shape);
    put.put_geofence(&workspace("broken"), geofence).await.expect("kept");
    eventually("the geofence", || {
        follower.catalogues.of(&workspace("broken")).places.find(&id).is_some()
    })
    .await;
    assert!(!has_campaign("broken"));
    put_campaign(&here, "broken").await;
    eventually("what was mended", || has_campaign("broken")).await;
    stop.send_replace(true);
    following.await.expect("the follower");
}

#[test]
fn an_upload_here_after_an_edit_elsewhere_keeps_what_it_holds() {
    let redis = Redis::start();
    let stage = Stage::set_on(&redis.url(""));
    stage.write_settings("node.toml", None);
    let (_one, here) = stage.serve_with("node.toml");
    let (_other, there) = stage.serve_with("node.toml");
    let sees = |id: &str| there.call("GET", &format!("/v1/geofences/shop/{id}"), "", &[]).status == 200;
    let shop = |radius: u32| json!({"latitude": 46.5, "longitude": 12.3, "radius": radius});
    there.put_circles("shops", &[("shop", "one", 46.5, 12.3, 100.0)]);
    wait_for("the set", || {
        here.call("GET", "/v1/geofences/shop/one", "", &[]).status == 200
    });
    for round in 0..5 {
        here.ok("PUT", "/v1/geofences/shop/one", &shop(50 + round));
        there.put_circles("shops", &[("shop", "one", 46.5, 12.3, 100.0)]);
        // What comes later tells that the edit has been followed.
        let later = format!("later-{round}");
        here.ok("PUT", &format!("/v1/geofences/shop/{later}"), &shop(10));
        wait_for("a later edit", || sees(&later));
        assert!(sees("one"), "the upload holds it");
    }
}
