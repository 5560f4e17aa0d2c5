//! Campaigns as files: `beckon campaigns`.

use std::{path::Path, process::Command};

use serde_json::{Value, json};

use crate::harness::World;

/// Exit code and all that it says.
fn beckon(world: Option<&World>, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_beckon"));
    command.arg("campaigns").args(arguments);
    if let Some(world) = world {
        command
            .env("BECKON_URL", &world.api.base)
            .env("BECKON_KEY", &world.api.key);
    }
    let output = command.output().expect("beckon starts");
    let text = String::from_utf8(output.stdout).expect("text") + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), text)
}

fn demo() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/campaigns");
    folder.display().to_string()
}

#[test]
fn what_is_pushed_again_makes_no_new_version() {
    let world = World::start();
    let demo = demo();
    let (code, text) = beckon(Some(&world), &["push", &demo, "--dry-run"]);
    assert!(
        code == Some(0) && text.ends_with("dry run): 5 added, 0 changed, 0 unchanged, 0 ended\n"),
        "{text}"
    );
    assert_eq!(
        world.api.get("/v1/campaigns")["items"],
        json!([]),
        "a dry run changes nothing"
    );
    let (code, text) = beckon(Some(&world), &["push", &demo]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with("+ cafe-welcome: version 1\n"), "{text}");
    assert!(text.ends_with("5 added, 0 changed, 0 unchanged, 0 ended\n"), "{text}");
    let (code, text) = beckon(Some(&world), &["push", &demo]);
    let nothing = "0 added, 0 changed, 5 unchanged, 0 ended\n";
    assert_eq!((code, text.as_str()), (Some(0), nothing));
    let items = world.api.get("/v1/campaigns")["items"].clone();
    let versions: Vec<&Value> = items
        .as_array()
        .expect("items")
        .iter()
        .map(|item| &item["version"])
        .collect();
    assert_eq!(versions, [1, 1, 1, 1, 1]);

    // What the server has comes out as files that change nothing when they are pushed.
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let there = folder.path().display().to_string();
    let (code, text) = beckon(Some(&world), &["pull", "--to", &there]);
    assert!(code == Some(0) && text.ends_with("5 written, 0 unchanged\n"), "{text}");
    assert_eq!(
        beckon(Some(&world), &["pull", "--to", &there]).1,
        "0 written, 5 unchanged\n"
    );
    assert_eq!(beckon(Some(&world), &["push", &there]).1, nothing);

    // One is changed, as an editor with the schema leaves it; one is gone.
    let text = std::fs::read_to_string(path("gate-info.json")).expect("a file");
    let mut gate: Value = serde_json::from_str(&text).expect("JSON");
    gate["cooldown"] = json!("PT1H");
    gate["$schema"] = json!("../campaign.schema.json");
    std::fs::write(path("gate-info.json"), gate.to_string()).expect("written");
    std::fs::remove_file(path("cafe-welcome.json")).expect("removed");
    let (code, text) = beckon(Some(&world), &["push", &there, "--end-others"]);
    let expected = "~ gate-info (cooldown): version 2\n- cafe-welcome: version 2\n\
                    0 added, 1 changed, 3 unchanged, 1 ended\n";
    assert_eq!((code, text.as_str()), (Some(0), expected));
    assert_eq!(world.api.get("/v1/campaigns/cafe-welcome")["status"], "ended");
    let now = world.api.get("/v1/campaigns/gate-info");
    assert_eq!((&now["cooldown"], now.get("$schema")), (&json!("PT1H"), None));
    let (_, text) = beckon(Some(&world), &["push", &there, "--end-others"]);
    assert_eq!(text, "0 added, 0 changed, 4 unchanged, 0 ended\n");
}

#[test]
fn what_was_paused_stays_paused_and_a_wrong_file_stops_all() {
    let world = World::start();
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let mut campaign = json!({
        "id": "over", "trigger": {"on": "entered", "geofences": {"tag": "shop"}},
        "schedule": {"until": "2020-01-01T00:00"},
        "offers": [{"message": {"en": {"title": "t", "body": "b"}}}],
    });
    let write = |name: &str, document: &Value| {
        std::fs::write(path(name), format!("{document:#}")).expect("written");
    };
    write("over.json", &campaign);
    campaign["id"] = json!("shop");
    campaign["schedule"] = Value::Null;
    write("shop.json", &campaign);
    let there = folder.path().display().to_string();
    assert_eq!(beckon(Some(&world), &["push", &there]).0, Some(0));
    assert_eq!(world.api.get("/v1/campaigns/over")["status"], "ended");
    world.api.json("POST", "/v1/campaigns/shop/pause", &json!({}));
    let (code, text) = beckon(Some(&world), &["push", &there, "--json"]);
    let answer: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!((code, &answer["unchanged"]), (Some(0), &json!(2)), "{text}");
    assert_eq!(answer["campaigns"][1]["keptStatus"], "paused");
    campaign["priority"] = json!(7);
    write("shop.json", &campaign);
    let (_, text) = beckon(Some(&world), &["push", &there]);
    assert!(
        text.starts_with("~ shop (priority): version 3\n! shop is paused on the server"),
        "{text}"
    );
    let shop = world.api.get("/v1/campaigns/shop");
    assert_eq!((&shop["status"], &shop["priority"]), (&json!("paused"), &json!(7)));

    campaign["status"] = json!("active");
    write("shop.json", &campaign);
    std::fs::write(path("wrong.json"), "{\n \"id\": \"wrong\",\n \"priority\": \"high\"\n}").expect("written");
    let (code, text) = beckon(Some(&world), &["push", &there]);
    assert!(
        code == Some(1) && text.contains("wrong.json: line 1: /trigger: is required"),
        "{text}"
    );
    assert_eq!(
        world.api.get("/v1/campaigns/shop")["status"],
        "paused",
        "nothing was sent"
    );
}

#[test]
fn files_are_checked_without_a_server() {
    let (code, text) = beckon(None, &["check", &demo()]);
    assert_eq!((code, text.as_str()), (Some(0), "5 files, 0 wrong\n"));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("a.json").display().to_string();
    std::fs::write(&file, "{\n \"id\": \"a\",\n \"offer\": []\n}").expect("written");
    let (code, text) = beckon(None, &["check", &file]);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.starts_with(&format!(
            "{file}: line 3: /offer: unknown field; did you mean `offers`?"
        )),
        "{text}"
    );
    let (code, text) = beckon(None, &["check", &file, "--json"]);
    let answer: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let error = &answer["error"];
    assert_eq!(
        (code, &answer["valid"], &error["pointer"], &error["line"]),
        (Some(1), &json!(false), &json!("/offer"), &json!(3))
    );
    assert_eq!(beckon(None, &["check"]).0, Some(2), "wrong use");
    assert_eq!(beckon(None, &["check", "/nowhere/a.json"]).0, Some(1));
}

#[test]
fn the_schema_is_printed_and_served_without_a_key() {
    let world = World::start();
    let (code, text) = beckon(None, &["schema"]);
    let printed: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!((code, &printed["title"]), (Some(0), &json!("Campaign")));
    let answer = ureq::get(format!("{}/schemas/campaign.json", world.api.base)).call();
    let mut answer = answer.expect("an answer");
    assert_eq!(answer.headers()["content-type"], "application/schema+json");
    let served: Value = serde_json::from_str(&answer.body_mut().read_to_string().expect("a body")).expect("JSON");
    assert_eq!(served, printed);
}
