//! `beckon why`: the latest decisions about a customer, in plain words.

use std::{fmt::Write as _, process::ExitCode};

use clap::Args;
use serde_json::Value;

use super::{
    client::{Client, Connection, escape},
    output,
};

/// Tell why a customer got a push, or none: the latest decisions, campaign by campaign.
#[derive(Args)]
pub(crate) struct Why {
    #[command(flatten)]
    connection: Connection,
    /// The customer
    #[arg(long)]
    user: String,
    /// Only what this campaign came to
    #[arg(long)]
    campaign: Option<String>,
    /// So many decisions
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=100))]
    limit: u8,
    /// Print JSON, a line a decision
    #[arg(long)]
    json: bool,
}

/// Most requests for one answer: a customer may have many facts and few decisions.
const PAGES_MAX: usize = 20;

impl Why {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let client = Client::new(&self.connection)?;
        let (mut decisions, mut debug) = (Vec::new(), false);
        let campaign = self.campaign.as_deref();
        let campaign = campaign.map_or_else(String::new, |id| format!("&campaign={}", escape(id)));
        let mut cursor = String::new();
        for _ in 0..PAGES_MAX {
            let left = usize::from(self.limit) - decisions.len();
            let user = escape(&self.user);
            let page = client.get(&format!("/v1/decisions?userId={user}&limit={left}{campaign}{cursor}"))?;
            decisions.extend(page["items"].as_array().into_iter().flatten().cloned());
            debug = page["debug"].as_bool().unwrap_or_default();
            match page["nextCursor"].as_str() {
                Some(next) if decisions.len() < usize::from(self.limit) => cursor = format!("&cursor={}", escape(next)),
                _ => break,
            }
        }
        if self.json {
            decisions.iter().try_for_each(output::line)?;
        } else {
            output::line(self.story(&decisions, debug).trim_end())?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn story(&self, decisions: &[Value], debug: bool) -> String {
        let mut story = String::new();
        if decisions.is_empty() {
            story += &nothing(&self.user, self.campaign.as_deref());
        }
        let mut is_traced = true;
        for decision in decisions {
            is_traced &= tell(&mut story, decision, self.campaign.as_deref());
        }
        if !is_traced && !debug {
            let hint = "Not every decision keeps how it came about. To keep all of this customer's from now on:\n  PATCH \
                        /v1/users/{user} with {\"debug\": true}\n";
            story += &hint.replace("{user}", &escape(&self.user));
        }
        story
    }
}

fn nothing(user: &str, campaign: Option<&str>) -> String {
    let what = campaign.map_or_else(
        || "No campaign was".to_owned(),
        |campaign| format!("The campaign {campaign} was not"),
    );
    format!(
        "{what} asked about {user}, as far as is remembered.\n\
         A campaign is asked when something that its `trigger` names happens to the customer. Look at:\n\
         - what has happened: GET /v1/users/{}/timeline\n\
         - whether the campaign is active, and its trigger names the place's tag or the event's type: GET /v1/campaigns\n\
         - whether the phone's check-ins come in under this user, who allows to be located: GET /v1/users/{}\n",
        escape(user),
        escape(user)
    )
}

/// Tells one decision; whether all of it was traced.
fn tell(story: &mut String, decision: &Value, campaign: Option<&str>) -> bool {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let place = &decision["geofence"];
    let place = if place.is_null() {
        String::new()
    } else {
        format!(" {}/{}", text(&place["tag"]), text(&place["externalId"]))
    };
    let happened = decision["eventType"]
        .as_str()
        .map_or(text(&decision["trigger"]), str::to_owned);
    let delivery = &decision["delivery"];
    let came = if delivery.is_null() { "no push" } else { "a push" };
    line(
        story,
        0,
        &format!("{}  {happened}{place}: {came}", text(&decision["at"])),
    );
    let mut is_traced = true;
    for verdict in decision["verdicts"].as_array().into_iter().flatten() {
        if campaign.is_some_and(|campaign| verdict["campaign"] != campaign) {
            continue;
        }
        is_traced &= !verdict["trace"].is_null();
        tell_verdict(story, verdict);
        let speaks = verdict["suppressed"].is_null() && verdict["waitsUntil"].is_null();
        if speaks && !delivery.is_null() {
            tell_delivery(story, delivery);
        }
    }
    story.push('\n');
    is_traced
}

fn tell_verdict(story: &mut String, verdict: &Value) {
    let text = |name: &str| verdict[name].as_str();
    let said = match (text("suppressed"), text("waitsUntil"), text("outrankedBy")) {
        (Some(_), _, Some(by)) => format!("no, {by} spoke"),
        (Some(reason), ..) => format!("no: {reason}"),
        (None, Some(until), _) => format!("waits until {until}"),
        (None, None, _) => "yes".to_owned(),
    };
    let campaign = text("campaign").unwrap_or_default();
    line(
        story,
        1,
        &format!("{campaign} (version {}): {said}", verdict["version"]),
    );
    for check in verdict["trace"].as_array().into_iter().flatten() {
        let kind = check["check"].as_str().unwrap_or_default().replace('_', " ");
        let saw = check["saw"].as_str().map(|saw| format!(": {saw}")).unwrap_or_default();
        line(story, 2, &format!("{} {kind}{saw}", mark(check)));
        if !check["rule"].is_null() {
            tell_rule(story, 3, &check["rule"]);
        }
    }
    if let Some(advice) = text("suppressed").and_then(advice) {
        line(story, 2, &format!("→ {advice}"));
    }
}

fn tell_rule(story: &mut String, depth: usize, rule: &Value) {
    let saw = rule["saw"]
        .as_str()
        .map(|saw| format!("  (saw {saw})"))
        .unwrap_or_default();
    let words = rule["rule"].as_str().unwrap_or_default();
    line(story, depth, &format!("{} {words}{saw}", mark(rule)));
    for part in rule["of"].as_array().into_iter().flatten() {
        tell_rule(story, depth + 1, part);
    }
}

fn tell_delivery(story: &mut String, delivery: &Value) {
    let state = delivery["state"].as_str().unwrap_or("no longer known");
    let mut told = format!(
        "delivery {}: {}",
        delivery["id"].as_str().unwrap_or_default(),
        state.replace('_', " ")
    );
    if let Some(reason) = delivery["reason"].as_str() {
        write!(told, " ({reason})").unwrap_or_default();
    }
    if let Some(attempts) = delivery["attempts"].as_u64() {
        write!(told, ", requests made: {attempts}").unwrap_or_default();
    }
    line(story, 2, &told);
    if let Some(advice) = delivery["reason"].as_str().and_then(advice) {
        line(story, 2, &format!("→ {advice}"));
    }
}

fn mark(yes: &Value) -> char {
    if yes["holds"] == true { '✓' } else { '✗' }
}

/// One line; what comes from outside must not steer a terminal.
fn line(story: &mut String, depth: usize, text: &str) {
    story.push_str(&"  ".repeat(depth));
    story.extend(
        text.chars()
            .map(|letter| if letter.is_control() { '?' } else { letter }),
    );
    story.push('\n');
}

/// What to do about a reason, where there is something to do.
fn advice(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "audience" => {
            "the rule marked ✗ keeps the customer out: change `audience`, or tell what is missing of the customer"
        }
        "no_offer" => "add an offer without `when` for everybody else",
        "not_scheduled" => "look at `schedule`: `from`, `until`, `days`, `hours`, `except` and whose `timeZone` counts",
        "closed" => "look at the geofence's `operatingHours`; without any it counts as closed",
        "quiet_hours" => "`quietHours` with `then: defer` asks again when they are over",
        "cap" => "a cap is used up: raise its `max`, or wait until its time is over",
        "cooldown" => "shorten `cooldown`, or wait",
        "minimum_gap" => "shorten `minimumGap`, of the campaign or in the workspace's settings, or wait",
        "outranked" => "raise `priority` or `value`, or lower the other campaign's",
        "held_out" => "nothing is wrong: the customer is among those whom others are compared with (`holdout`)",
        "consent" => "the customer has refused pushes: only they can change that, in the app",
        "no_token" => "the app has to register a push token: PUT /v1/devices/{deviceId}",
        "other_device" => "nothing is wrong: who has two phones comes and goes once",
        "not_present" => {
            "the campaign asks for customers who are in a place (`present`); `within` takes those who were"
        }
        "left_geofence" => "`stillThere` asks for customers who are still there",
        "expired" => "lengthen `validFor`, or have events and check-ins told sooner",
        "campaign_ended" => "start the campaign again, if it should run: POST /v1/campaigns/{id}/start",
        "ladder_step" => "look at the event's number and the trigger's ladder: each step is told once, in order",
        "ladder_ended" => "the ladder is over for this topic (`until`): nothing more is told",
        "budget" => "raise the campaign's `budget`",
        "no_code" => "upload more codes for the offer's pool",
        "template" => "a message could not be written: look at its variables, and give each a default",
        _ => return None,
    })
}
