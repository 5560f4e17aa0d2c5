//! One decision among many campaigns, on one core: a customer comes into a shop, and ten campaigns fit however many there
//! are. Beside it what the same check-in costs with no campaign at all.

use std::{
    hint::black_box,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use beckon::{
    domain::{
        campaign::Campaign,
        catalogue::{Campaigns, Catalogue, Places},
        checkin::{CheckIn, Fix},
        customer::Device,
        decide::{self, Context},
        delivery::{Environment, Platform, PushTarget},
        geofence::Geofence,
        ids::{AppId, CauseId, DeviceId, ExternalId, GeofenceId, PushToken, SubjectId, Tag, UserId, WorkspaceId},
        presence::{PlaceMatch, PresenceRules},
        record::Record,
        time::Timestamp,
    },
    geo::{Position, Shape},
};
use clap::Args;
use serde_json::json;

/// Campaigns that fit, of any number.
const FITTING: usize = 10;
/// Decisions between two looks at the clock.
const BATCH: usize = 256;

/// One decision among 10 to 10,000 active campaigns, of which ten fit, on one core
#[derive(Args)]
pub(crate) struct Decide {
    /// How many campaigns
    #[arg(long, value_delimiter = ',', default_value = "0,10,100,1000,10000")]
    campaigns: Vec<usize>,
    /// Seconds for each figure
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
}

#[expect(clippy::print_stdout, reason = "the report is for the terminal")]
impl Decide {
    pub(crate) fn run(&self) -> anyhow::Result<ExitCode> {
        println!("| campaigns | fit | decision, us | built in, ms |");
        println!("|---|---|---|---|");
        for count in &self.campaigns {
            let stage = Stage::set(*count)?;
            let fitting = stage.decide_once()?;
            let microseconds = stage.measure(Duration::from_secs_f64(self.seconds));
            let built = stage.built_in.as_secs_f64() * 1e3;
            println!("| {count} | {fitting} | {microseconds:.2} | {built:.1} |");
        }
        Ok(ExitCode::SUCCESS)
    }
}

struct Stage {
    workspace: WorkspaceId,
    subject: SubjectId,
    catalogue: Catalogue,
    built_in: Duration,
    record: Record,
    check_in: CheckIn,
    matches: Vec<PlaceMatch>,
}

impl Stage {
    fn set(count: usize) -> anyhow::Result<Self> {
        let position = Position::new(46.5, 12.3)?;
        let id = GeofenceId {
            tag: Tag::new("shop")?,
            external_id: ExternalId::new("one")?,
        };
        let shop = Geofence::new(id, Shape::circle(position, 100.0)?);
        let campaigns = (0..count).map(campaign).collect::<anyhow::Result<Vec<_>>>()?;
        let started = Instant::now();
        let campaigns = Arc::new(Campaigns::build(campaigns));
        let built_in = started.elapsed();
        let catalogue = Catalogue {
            places: Arc::new(Places::build([Arc::new(shop)])),
            campaigns,
            settings: Arc::default(),
        };
        let device = DeviceId::new("phone")?;
        let check_in = CheckIn {
            id: CauseId::new("check-in")?,
            device: device.clone(),
            at: Timestamp(1_000_000_000_000),
            location: Some(Fix {
                position,
                accuracy_m: Some(10.0),
                floor: None,
            }),
            beacons: None,
            code: None,
            regions: false,
        };
        let matches = catalogue.places.matching(&check_in);
        Ok(Self {
            workspace: WorkspaceId::new("default")?,
            subject: SubjectId::User(UserId::new("mia")?),
            built_in,
            record: customer(device)?,
            check_in,
            matches,
            catalogue,
        })
    }

    fn context(&self) -> Context<'_> {
        Context {
            workspace: &self.workspace,
            subject: &self.subject,
            now: self.check_in.at,
            catalogue: &self.catalogue,
            rules: PresenceRules::DEFAULT,
        }
    }

    fn step(&self) -> decide::Effects {
        let mut record = self.record.clone();
        let effects = decide::check_in(&mut record, &self.check_in, &self.matches, self.context());
        black_box(record);
        effects
    }

    /// How many campaigns were asked, once it is sure that one has spoken.
    fn decide_once(&self) -> anyhow::Result<usize> {
        let effects = self.step();
        let asked = effects.facts.iter().find_map(|fact| match fact {
            beckon::domain::event::Fact::Decision { verdicts, .. } => Some(verdicts.len()),
            _ => None,
        });
        let asked = asked.unwrap_or_default();
        ensure!(effects.deliveries.len() == asked.min(1), "one campaign speaks");
        ensure!(asked <= FITTING, "{asked} campaigns fit");
        Ok(asked)
    }

    /// Microseconds a decision, by the fastest batch: what others on the machine take is no part of it.
    fn measure(&self, length: Duration) -> f64 {
        let until = Instant::now() + length;
        let mut best = f64::MAX;
        while Instant::now() < until {
            let started = Instant::now();
            for _ in 0..BATCH {
                black_box(self.step());
            }
            best = best.min(started.elapsed().as_secs_f64() * 1e6 / BATCH as f64);
        }
        best
    }
}

fn customer(device: DeviceId) -> anyhow::Result<Record> {
    let mut record = Record::default();
    let mut phone = Device::new(device, Timestamp(0));
    phone.time_zone = Some("Europe/Zurich".to_owned());
    phone.target = Some(PushTarget {
        platform: Platform::Ios,
        app: AppId::new("app")?,
        token: PushToken::new("ab".repeat(32))?,
        environment: Environment::Production,
        registered_at: Timestamp(0),
    });
    record.put_device(phone);
    record.profile.traits.0.insert("level".to_owned(), json!(3));
    Ok(record)
}

/// The first ten are for the shop; the others for other shops, tags, brands and events, as in a large workspace.
fn campaign(number: usize) -> anyhow::Result<Arc<Campaign>> {
    let trigger = match number {
        number if number < FITTING => json!({"on": "entered", "geofences": {"tag": "shop"}}),
        number if number % 4 == 0 => {
            json!({"on": "entered", "geofences": {"tag": "shop", "externalId": format!("shop-{number}")}})
        }
        number if number % 4 == 1 => json!({"on": "entered", "geofences": {"tag": format!("tag-{}", number % 500)}}),
        number if number % 4 == 2 => {
            json!({"on": "dwelled", "geofences": {"brand": format!("brand-{}", number % 50)}, "after": "PT10M"})
        }
        _ => json!({"on": "event", "type": format!("type-{}", number % 100)}),
    };
    let document = json!({
        "id": format!("campaign-{number}"), "brand": format!("brand-{}", number % 50), "priority": number % 3, "trigger": trigger,
        "audience": {"all": [{"trait": "level", "atLeast": 2}, {"not": {"trait": "persona", "is": "staff"}}]},
        "schedule": {"days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "hours": ["00:00", "24:00"], "timeZone": "geofence"},
        "caps": [{"max": 1, "per": "day"}, {"max": 3, "per": "P7D", "scope": "workspace"}], "holdout": 0.0001,
        "offers": [{"message": {"en": {"title": "t", "body": "b"}}}],
    });
    let campaign = Campaign::read(&document, 1).context("a campaign")?;
    Ok(Arc::new(campaign))
}
