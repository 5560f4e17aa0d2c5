//! Tells the story through the public API and watches what arrives at the gateway.

use std::{
    collections::BTreeSet,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use beckon::push::sandbox::{Arrival, Provider};
use serde_json::{Value, json};
use tokio::sync::broadcast;

use super::{
    draw::{Shown, draw},
    samples::Samples,
    story::{ADA, Action, MIA, Scene, scenes},
};
use crate::cli::{
    client::{Client, escape},
    output,
};

/// An expected push has this long to arrive.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(15);
/// How often to look whether something has happened.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What the story came to.
#[derive(Default)]
pub(super) struct Summary {
    check_ins: usize,
    transitions: usize,
    deliveries: usize,
    arrived: usize,
    /// What was not as expected.
    pub(super) surprises: Vec<String>,
}

impl Summary {
    pub(super) fn is_as_expected(&self) -> bool {
        self.surprises.is_empty()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            check_ins,
            transitions,
            deliveries,
            arrived,
            ..
        } = self;
        write!(
            f,
            "check-ins={check_ins} transitions={transitions} deliveries={deliveries} arrived={arrived}"
        )
    }
}

/// Tells the story.
pub(super) struct Teller {
    client: Client,
    arrivals: broadcast::Receiver<Arc<Arrival>>,
    pause: Duration,
    summary: Summary,
    missing: BTreeSet<(String, String)>,
}

impl Teller {
    pub(super) fn new(client: Client, arrivals: broadcast::Receiver<Arc<Arrival>>, pause: Duration) -> Self {
        Self {
            client,
            arrivals,
            pause,
            summary: Summary::default(),
            missing: BTreeSet::new(),
        }
    }

    pub(super) fn tell(mut self, samples: &Samples) -> anyhow::Result<Summary> {
        self.prepare(samples)?;
        for scene in scenes() {
            self.play(&scene)?;
        }
        self.wait_until_sent()?;
        let deliveries = self.client.get("/v1/deliveries?state=accepted&limit=1000")?;
        self.summary.deliveries = deliveries["items"].as_array().map_or(0, Vec::len);
        Ok(self.summary)
    }

    /// What an owner does before the first customer comes: geofences, campaigns, customers and their phones.
    fn prepare(&self, samples: &Samples) -> anyhow::Result<()> {
        let mut geofences = 0;
        for (name, text) in &samples.geofences {
            let (set, extension) = name.rsplit_once('.').unwrap_or((name.as_str(), ""));
            let kind = if extension == "csv" {
                "text/csv"
            } else {
                "application/geo+json"
            };
            let path = format!("/v1/geofence-sets/{}", escape(set));
            let answer = self
                .client
                .request("PUT", &path, kind, text.as_bytes())?
                .success()
                .with_context(|| name.clone())?;
            geofences += answer["accepted"].as_u64().unwrap_or_default();
        }
        for campaign in &samples.campaigns {
            let id = campaign["id"].as_str().unwrap_or_default();
            let path = format!("/v1/campaigns/{}", escape(id));
            self.client
                .send("PUT", &path, campaign)
                .with_context(|| format!("campaign {id}"))?;
        }
        for traveller in [&ADA, &MIA] {
            self.client
                .send("PUT", &format!("/v1/users/{}", traveller.user), &(traveller.profile)())?;
            self.client.send(
                "PUT",
                &format!("/v1/devices/{}", traveller.device),
                &(traveller.registration)(),
            )?;
        }
        let files = samples.geofences.len();
        output::line(format!(
            "{geofences} geofences from {files} files and {} campaigns are live; Ada has an iPhone, Mia an Android.",
            samples.campaigns.len()
        ))?;
        Ok(())
    }

    fn play(&mut self, scene: &Scene) -> anyhow::Result<()> {
        std::thread::sleep(self.pause);
        output::line(format!("\n● {}", scene.title))?;
        self.missing.extend(
            scene
                .expects
                .iter()
                .map(|(who, what)| ((*who).to_owned(), (*what).to_owned())),
        );
        for action in &scene.actions {
            match action {
                Action::CheckIn(check_in) => self.check_in(check_in)?,
                Action::Event(event) => {
                    self.client.send("POST", "/v1/events", event)?;
                }
            }
        }
        let deadline = Instant::now() + ARRIVAL_TIMEOUT;
        while !self.missing.is_empty() && Instant::now() < deadline {
            self.take_arrivals()?;
            std::thread::sleep(LOOK_EVERY);
        }
        for (who, campaign) in std::mem::take(&mut self.missing) {
            self.summary
                .surprises
                .push(format!("{campaign} for {who} did not arrive"));
        }
        Ok(())
    }

    fn check_in(&mut self, check_in: &Value) -> anyhow::Result<()> {
        let answer = self.client.send("POST", "/v1/check-ins", check_in)?;
        self.summary.check_ins += 1;
        for event in answer["results"][0]["events"].as_array().into_iter().flatten() {
            self.summary.transitions += 1;
            let place = event["geofence"]["description"].as_str().unwrap_or("?");
            let kind = event["type"]
                .as_str()
                .unwrap_or("?")
                .trim_start_matches("user.")
                .replace('_', " ");
            let (device, evidence) = (event["deviceId"].as_str(), event["evidence"].as_str());
            let (device, evidence) = (device.unwrap_or("?"), evidence.unwrap_or("?"));
            output::line(format!("   {device}: {kind} {place} ({evidence})"))?;
        }
        Ok(())
    }

    /// Shows what has arrived at the gateway since the last look.
    fn take_arrivals(&mut self) -> anyhow::Result<()> {
        loop {
            match self.arrivals.try_recv() {
                Ok(arrival) => self.take_arrival(&arrival)?,
                Err(broadcast::error::TryRecvError::Empty | broadcast::error::TryRecvError::Closed) => return Ok(()),
                Err(broadcast::error::TryRecvError::Lagged(count)) => bail!("{count} arrivals were missed"),
            }
        }
    }

    fn take_arrival(&mut self, arrival: &Arrival) -> anyhow::Result<()> {
        let asked = &arrival.asked;
        if arrival.status != 200 {
            let reason = arrival.reason.as_deref().unwrap_or("no reason");
            self.summary
                .surprises
                .push(format!("the gateway refused a push: {} {reason}", arrival.status));
            return Ok(());
        }
        self.summary.arrived += 1;
        let id = asked.data.get("deliveryId").and_then(Value::as_str).unwrap_or_default();
        let delivery = self.client.get(&format!("/v1/deliveries/{}", escape(id)))?;
        let text = |field: &str| delivery[field].as_str().unwrap_or("?").to_owned();
        let (who, campaign) = (text("userId"), text("campaign"));
        let why: Vec<&str> = delivery["why"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        output::line(draw(&Shown {
            who: &format!("to {who}"),
            phone: match arrival.provider {
                Provider::Apns => "iPhone, by APNs",
                Provider::Fcm => "Android, by FCM",
            },
            title: asked.title.as_deref().unwrap_or_default(),
            body: asked.body.as_deref().unwrap_or_default(),
            why: &format!("{campaign}: {}", why.join("; ")),
        }))?;
        if arrival.replaces.is_some() {
            self.summary
                .surprises
                .push(format!("{campaign} for {who} arrived twice"));
        } else if !self.missing.remove(&(who.clone(), campaign.clone())) {
            self.summary
                .surprises
                .push(format!("{campaign} for {who} arrived and should not have"));
        }
        Ok(())
    }

    /// Waits until the outbox is empty, so that a push that should not come has come.
    fn wait_until_sent(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + ARRIVAL_TIMEOUT;
        loop {
            let waiting = self.client.get("/v1/status")?["outbox"]
                .as_u64()
                .context("no outbox in the status")?;
            if waiting == 0 {
                break;
            }
            if Instant::now() > deadline {
                self.summary
                    .surprises
                    .push(json!(waiting).to_string() + " deliveries did not end");
                break;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        self.take_arrivals()
    }
}
