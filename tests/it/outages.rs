//! A part of the store is away: only those whose part it is are turned away.

use serde_json::{Value, json};

use crate::{
    harness::{fix, kinds, wait_for},
    redis_server::Cluster,
    stage::Stage,
};

const PHONES: usize = 60;

/// Every phone's check-in, under the same names each time.
fn all_at(step: &str, latitude: f64) -> Vec<Value> {
    let named = |number| {
        let mut check_in = fix(&format!("phone-{number}"), latitude, 12.3);
        check_in["id"] = json!(format!("{step}-{number}"));
        check_in
    };
    (0..PHONES).map(named).collect()
}

fn with_status(results: &[Value], status: &str) -> Vec<usize> {
    (0..results.len())
        .filter(|&index| results[index]["status"] == status)
        .collect()
}

#[test]
fn an_array_is_answered_item_by_item_while_a_master_is_away() {
    let cluster = Cluster::start();
    for node in &cluster.nodes {
        node.cli(&["config", "set", "cluster-require-full-coverage", "no"]);
    }
    let stage = Stage::set_on(&cluster.url("partitions=32&timeout_ms=200"));
    stage.write_settings("node.toml", None);
    let (_server, api) = stage.serve_with("node.toml");
    api.put_circles("shops", &[("shop", "one", 46.5, 12.3, 100.0)]);
    let entered = api.check_in(&json!(all_at("in", 46.5)));
    assert_eq!(with_status(&entered, "processed").len(), PHONES);

    cluster.nodes[1].signal("-STOP");
    let leaving = all_at("out", 46.9);
    let answer = api.json("POST", "/v1/check-ins", &json!(leaving));
    assert_eq!((answer.status, answer.retry_after.as_deref()), (200, Some("1")));
    let results = answer.body["results"].as_array().expect("results").clone();
    assert_eq!(results.len(), PHONES);
    let (taken, turned_away) = (with_status(&results, "processed"), with_status(&results, "rejected"));
    assert_eq!(taken.len() + turned_away.len(), PHONES, "{results:?}");
    assert!(taken.len() >= 10 && turned_away.len() >= 10, "{} taken", taken.len());
    for &index in &taken {
        assert_eq!(kinds(&results[index]), ["exited one"]);
    }
    for &index in &turned_away {
        let result = &results[index];
        assert_eq!(result["id"], leaving[index]["id"]);
        assert_eq!(
            (&result["problem"]["code"], &result["problem"]["status"]),
            (&json!("unavailable"), &json!(503))
        );
        let advice = result["problem"]["detail"].as_str().expect("a detail");
        assert!(
            advice.ends_with("send this one again after 1 s, under the same id"),
            "{advice}"
        );
    }

    // Sent again, each counts once, whether or not it had been taken.
    cluster.nodes[1].signal("-CONT");
    let rest: Vec<Value> = turned_away.iter().map(|&index| leaving[index].clone()).collect();
    let mut again = Vec::new();
    wait_for("the master", || {
        let answer = api.json("POST", "/v1/check-ins", &json!(rest));
        again = answer.body["results"].as_array().cloned().unwrap_or_default();
        answer.status == 200 && with_status(&again, "rejected").is_empty()
    });
    assert!(again.iter().all(|result| kinds(result) == ["exited one"]), "{again:?}");
    assert_eq!(api.get("/v1/geofences/shop/one/users")["items"], json!([]));

    for node in &cluster.nodes {
        node.signal("-STOP");
    }
    let refused = api.json("POST", "/v1/check-ins", &json!(all_at("in again", 46.5)));
    assert_eq!((refused.status, refused.retry_after.as_deref()), (503, Some("1")));
    for node in &cluster.nodes {
        node.signal("-CONT");
    }
}
