//! `beckon replay`.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufReader, BufWriter, Read, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use beckon::{
    domain::time::Timestamp,
    files::{Columns, Finding, Track, TrackPoint},
};
use clap::Args;
use indicatif::{ProgressBar, ProgressBarIter};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    client::{Client, Connection},
    output, progress,
};

/// Unreadable rows shown.
const FINDINGS_SHOWN_MAX: usize = 20;
/// Names check-ins, so that the same row always has the same id.
const NAMESPACE: Uuid = Uuid::from_u128(0x0b1d_c5a4_5d4c_5a0e_9f0e_6e2f_7a11_0003);

/// Post a recorded track as check-ins.
///
/// The file is CSV with columns device, time, latitude, longitude and perhaps accuracy; their usual names are known. Each
/// row keeps its id, so that a replay that broke off can simply be started again: nothing is taken twice, and the events
/// of rows that were taken before are answered again.
#[derive(Args)]
pub(crate) struct Replay {
    /// The track
    file: PathBuf,
    /// So many times as fast as it was recorded, or max
    #[arg(long, default_value = "1", value_parser = parse_speed)]
    speed: Speed,
    /// Names of columns that are not found by themselves, such as device=taxi,time=ts
    #[arg(long, value_name = "ROLE=NAME,...")]
    columns: Option<String>,
    /// Write every event there, one JSON document a line
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// Check-ins in one request
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=500))]
    batch: u16,
    #[command(flatten)]
    connection: Connection,
    /// The summary for machines
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy)]
enum Speed {
    Times(f64),
    Max,
}

fn parse_speed(text: &str) -> Result<Speed, String> {
    if text == "max" {
        return Ok(Speed::Max);
    }
    match text.trim_end_matches('x').parse::<f64>() {
        Ok(times) if times > 0.0 && times.is_finite() => Ok(Speed::Times(times)),
        _ => Err("must be a number above 0, or max".to_owned()),
    }
}

/// What a replay came to.
#[derive(Default)]
struct Summary {
    check_ins: u64,
    statuses: BTreeMap<String, u64>,
    events: BTreeMap<String, u64>,
    unreadable: u64,
    first_rejection: Option<String>,
}

impl Replay {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let client = Client::new(&self.connection)?;
        let columns: Columns = self
            .columns
            .as_deref()
            .unwrap_or_default()
            .parse()
            .context("--columns")?;
        let file = File::open(&self.file).with_context(|| format!("can't open {}", self.file.display()))?;
        let bar = progress::bytes(file.metadata().map(|data| data.len()).unwrap_or_default());
        let track = Track::open(BufReader::new(bar.wrap_read(file)), &columns)
            .with_context(|| self.file.display().to_string())?;
        let started = Instant::now();
        let summary = self.post_all(&client, track, &bar);
        bar.finish_and_clear();
        let summary = summary?;
        self.show(&summary, started.elapsed())?;
        let rejected = summary.statuses.get("rejected").copied().unwrap_or_default();
        Ok(if rejected + summary.unreadable == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    fn post_all<R: Read>(
        &self,
        client: &Client,
        track: Track<BufReader<ProgressBarIter<R>>>,
        bar: &ProgressBar,
    ) -> anyhow::Result<Summary> {
        let mut events = match &self.events {
            None => None,
            Some(path) => {
                let file = File::create(path).with_context(|| format!("can't write {}", path.display()))?;
                Some(BufWriter::new(file))
            }
        };
        let mut summary = Summary::default();
        let mut pace = Pace {
            speed: self.speed,
            first: None,
        };
        let mut batch: Vec<Value> = Vec::new();
        let mut line = 1;
        for row in track {
            let point = match row {
                Ok(point) => point,
                Err(finding) => {
                    summary.unreadable += 1;
                    complain(bar, summary.unreadable, &finding)?;
                    continue;
                }
            };
            let wait = pace.wait_for(point.at);
            if batch.len() >= usize::from(self.batch) || (!batch.is_empty() && !wait.is_zero()) {
                post(client, &mut batch, &mut summary, events.as_mut()).with_context(|| broke_off(line))?;
                bar.set_message(format!("{} check-ins", summary.check_ins));
            }
            std::thread::sleep(wait);
            line = point.line;
            batch.push(check_in(&point));
        }
        post(client, &mut batch, &mut summary, events.as_mut()).with_context(|| broke_off(line))?;
        if let Some(events) = &mut events {
            events.flush().context("can't write the events")?;
        }
        Ok(summary)
    }

    fn show(&self, summary: &Summary, took: Duration) -> anyhow::Result<()> {
        if self.json {
            output::line(json!({
                "checkIns": summary.check_ins, "statuses": summary.statuses, "events": summary.events,
                "unreadable": summary.unreadable, "seconds": took.as_secs_f64(),
            }))?;
            return Ok(());
        }
        if let Some(rejection) = &summary.first_rejection {
            output::note(format!("the first rejected check-in: {rejection}"))?;
        }
        let list = |counts: &BTreeMap<String, u64>| {
            let parts: Vec<String> = counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
            if parts.is_empty() {
                "none".to_owned()
            } else {
                parts.join(", ")
            }
        };
        output::line(format!(
            "check-ins  {} in {:.1} s",
            summary.check_ins,
            took.as_secs_f64()
        ))?;
        output::line(format!("  of these {}", list(&summary.statuses)))?;
        if summary.unreadable > 0 {
            output::line(format!("  and      {} rows could not be read", summary.unreadable))?;
        }
        output::line(format!("events     {}", list(&summary.events)))?;
        Ok(())
    }
}

fn broke_off(line: u64) -> String {
    format!("the replay broke off near line {line}; start it again, what was taken is not taken twice")
}

fn complain(bar: &ProgressBar, count: u64, finding: &Finding) -> anyhow::Result<()> {
    match count {
        n if n <= FINDINGS_SHOWN_MAX as u64 => bar.suspend(|| output::note(finding))?,
        n if n == FINDINGS_SHOWN_MAX as u64 + 1 => {
            bar.suspend(|| output::note("more rows can't be read; the summary counts them"))?;
        }
        _ => {}
    }
    Ok(())
}

/// When rows are due, by the recorded times.
struct Pace {
    speed: Speed,
    first: Option<(Timestamp, Instant)>,
}

impl Pace {
    fn wait_for(&mut self, at: Timestamp) -> Duration {
        let Speed::Times(times) = self.speed else {
            return Duration::ZERO;
        };
        let (first, started) = *self.first.get_or_insert((at, Instant::now()));
        let due = at.since(first).to_std().div_f64(times);
        due.saturating_sub(started.elapsed())
    }
}

fn check_in(point: &TrackPoint) -> Value {
    let position = point.position;
    let name = format!(
        "{} {} {} {}",
        point.device, point.at.0, position.latitude, position.longitude
    );
    let mut location = json!({"latitude": position.latitude, "longitude": position.longitude});
    if let Some(accuracy) = point.accuracy_m {
        location["accuracy"] = json!(accuracy);
    }
    json!({
        "id": format!("replay-{}", Uuid::new_v5(&NAMESPACE, name.as_bytes())),
        "deviceId": point.device, "at": point.at, "location": location,
    })
}

fn post(
    client: &Client,
    batch: &mut Vec<Value>,
    summary: &mut Summary,
    mut events: Option<&mut BufWriter<File>>,
) -> anyhow::Result<()> {
    if batch.is_empty() {
        return Ok(());
    }
    let sent = batch.len();
    let answer = client.send("POST", "/v1/check-ins", &Value::from(std::mem::take(batch)))?;
    let results = answer["results"].as_array().map(Vec::as_slice).unwrap_or_default();
    if results.len() != sent {
        bail!("the server answered {} of {sent} check-ins", results.len());
    }
    summary.check_ins += sent as u64;
    for result in results {
        let status = result["status"].as_str().unwrap_or("unknown");
        *summary.statuses.entry(status.to_owned()).or_default() += 1;
        if status == "rejected" && summary.first_rejection.is_none() {
            summary.first_rejection = result["problem"]["detail"].as_str().map(str::to_owned);
        }
        for event in result["events"].as_array().into_iter().flatten() {
            let kind = event["type"].as_str().unwrap_or("unknown");
            let short = kind.trim_start_matches("user.").trim_end_matches("_geofence");
            *summary.events.entry(short.to_owned()).or_default() += 1;
            if let Some(file) = events.as_deref_mut() {
                writeln!(file, "{event}").context("can't write the events")?;
            }
        }
    }
    Ok(())
}
