//! The story of an alliance: merchants share customers, one limit, and their attention.

use std::collections::BTreeMap;

use beckon::domain::time::DurationMs;
use serde_json::{Value, json};

use crate::harness::{World, fix};

const MALL: (f64, f64) = (46.5, 12.3);
/// Away from the mall, and not so far that nobody could be there a moment later.
const AWAY: f64 = 46.508;

fn world(settings: &Value) -> World {
    let world = World::start();
    world.api.put_circles("mall", &[("mall", "one", MALL.0, MALL.1, 100.0)]);
    world.api.ok("PATCH", "/v1/settings", &json!({"campaigns": settings}));
    for (brand, campaigns) in [("sunrise", 1), ("blue-cup", 1), ("loud", 3)] {
        for number in 0..campaigns {
            let own = json!({"brand": brand, "value": if brand == "loud" { 100 } else { 1 }});
            world
                .api
                .put_campaign(&format!("{brand}-{number}"), "entered", "mall", &own);
        }
    }
    world.api.put_phone("phone", "anna");
    world
}

fn visit(world: &World, minutes: i64) {
    world.clock.advance(DurationMs::from_secs(60 * minutes));
    for latitude in [AWAY, MALL.0] {
        world.clock.advance(DurationMs::from_secs(60));
        world.api.check_in(&fix("phone", latitude, MALL.1));
    }
    world.wait_until_sent();
}

fn pushes_by_brand(world: &World) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for (campaign, state, _) in world.deliveries("anna") {
        assert_eq!(state, "accepted");
        let brand = campaign
            .rsplit_once('-')
            .map_or(String::new(), |(brand, _)| brand.to_owned());
        *counts.entry(brand).or_default() += 1;
    }
    counts
}

#[test]
fn all_merchants_together_keep_one_limit() {
    let world = world(&json!({"caps": [{"max": 4, "per": "P1D"}], "minimumGap": "PT30M"}));
    for _ in 0..3 {
        visit(&world, 1);
    }
    assert_eq!(
        pushes_by_brand(&world).values().sum::<usize>(),
        1,
        "half an hour between any two"
    );
    for _ in 0..10 {
        visit(&world, 30);
    }
    assert_eq!(pushes_by_brand(&world).values().sum::<usize>(), 4);
    visit(&world, 24 * 60);
    assert_eq!(
        pushes_by_brand(&world).values().sum::<usize>(),
        5,
        "the window rolls on"
    );
}

#[test]
fn attention_is_shared_by_weight_whoever_shouts() {
    let world = world(&json!({"fairness": {"within": "P7D", "weights": {"sunrise": 2}}}));
    for _ in 0..12 {
        visit(&world, 30);
    }
    let shares = [("blue-cup", 3), ("loud", 3), ("sunrise", 6)];
    let shares: BTreeMap<String, usize> = shares
        .into_iter()
        .map(|(brand, count)| (brand.to_owned(), count))
        .collect();
    assert_eq!(pushes_by_brand(&world), shares);
}
