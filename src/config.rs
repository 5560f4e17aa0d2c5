//! Settings: typed sections over the commented defaults in `config/default.toml`. A key that nobody knows fails the start.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use config::{Environment, File, FileFormat};
use serde::Deserialize;

use crate::{
    domain::{
        geofence::PROBABILITIES,
        presence::{PresenceRules, Thresholds},
        time::DurationMs,
    },
    engine::{dispatch::DispatchLimits, streams::StreamLimits, timers::TimerLimits},
    http::HttpLimits,
};

mod push;
mod sending;

pub use push::{ApnsSection, ApnsTeamSection, FcmProjectSection, FcmSection, PushSection};
pub use sending::{PaceSection, WebhooksSection};

/// The defaults, with what each setting means.
pub const DEFAULTS: &str = include_str!("../config/default.toml");

/// Most streams that may be allowed.
const STREAMS_MAX: usize = 1_000_000;

/// All settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The API.
    pub http: HttpSection,
    /// Where everything is kept.
    pub store: StoreSection,
    /// Files and versions of geofences.
    pub geofences: GeofencesSection,
    /// How evidence is weighed and how long it holds.
    pub presence: PresenceSection,
    /// What comes due by itself.
    pub timers: TimersSection,
    /// What happens, told live.
    pub stream: StreamSection,
    /// From the outbox to the providers.
    pub dispatch: DispatchSection,
    /// How fast pushes leave.
    pub pace: PaceSection,
    /// The providers.
    pub push: PushSection,
    /// Calls to the owner's systems.
    pub webhooks: WebhooksSection,
    /// The log.
    pub log: LogSection,
    /// Going down.
    pub shutdown: ShutdownSection,
}

/// `[http]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSection {
    /// Address and port.
    pub listen: SocketAddr,
    /// Threads; 0 = one a core.
    pub workers: usize,
    /// Largest JSON body.
    pub body_bytes_max: usize,
    /// Most check-ins in one request.
    pub check_ins_max: usize,
    /// How far ahead a check-in's time may be.
    pub future_max: DurationMs,
}

/// `[store]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreSection {
    /// Which store.
    pub url: String,
    /// Records kept in memory.
    pub cached_records_max: usize,
}

/// `[geofences]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GeofencesSection {
    /// Largest file.
    pub file_bytes_max: u64,
    /// Uploads under way at once.
    pub uploads_max: usize,
    /// Where a file is kept while it is read; empty: beside the store.
    pub upload_dir: String,
    /// Versions of a set.
    pub versions_kept: u32,
}

/// `[presence]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PresenceSection {
    /// How surely inside.
    pub enter_at: f64,
    /// How surely outside.
    pub exit_at: f64,
    /// Fixes in a row outside.
    pub exit_after_fixes: u8,
    /// How long a beacon holds.
    pub beacon_holds: DurationMs,
    /// How long a code holds.
    pub code_holds: DurationMs,
    /// How long a visit of which nothing is heard.
    pub silent_after: DurationMs,
    /// Nobody is faster.
    pub speed_max_km_per_h: f64,
    /// Whether to tell who went through.
    pub crossed: bool,
    /// Longest way between two fixes.
    pub crossed_length_max_m: f64,
    /// Longest time between two fixes.
    pub crossed_time_max: DurationMs,
}

/// `[timers]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimersSection {
    /// Records in one round trip.
    pub batch_max: usize,
    /// A lease's end.
    pub lease: DurationMs,
    /// How often to look.
    pub sweep: DurationMs,
}

/// `[stream]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamSection {
    /// Streams open at once.
    pub connections_max: usize,
    /// How often to say that nothing happens.
    pub heartbeat: DurationMs,
    /// How often to look.
    pub sweep: DurationMs,
    /// Who takes nothing for this long is sent away.
    pub slow_after: DurationMs,
}

/// `[dispatch]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DispatchSection {
    /// Requests under way at once.
    pub in_flight_max: usize,
    /// Rows leased in one round trip.
    pub lease_rows_max: usize,
    /// A request's end.
    pub send_timeout: DurationMs,
    /// A lease's end.
    pub lease: DurationMs,
    /// How often to look.
    pub sweep: DurationMs,
}

/// `[log]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSection {
    /// What is logged.
    pub level: String,
    /// How.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines, one object a line.
    Json,
}

/// `[shutdown]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShutdownSection {
    /// How long work under way may take to end.
    pub drain_timeout: DurationMs,
}

/// Why the settings can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file is missing or not TOML, a key unknown or a value wrong.
    #[error(transparent)]
    Settings(#[from] config::ConfigError),
    /// Values that don't go together.
    #[error("{key}: {detail}")]
    Value {
        /// The setting.
        key: &'static str,
        /// What is wrong and what to do.
        detail: String,
    },
}

impl Config {
    /// The defaults, overridden by a file, if one is given, and by variables `BECKON__SECTION__KEY`.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let mut builder = config::Config::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));
        if let Some(file) = file {
            builder = builder.add_source(File::from(file).format(FileFormat::Toml).required(true));
        }
        let variables = Environment::with_prefix("BECKON")
            .prefix_separator("__")
            .separator("__")
            .try_parsing(true);
        let config: Self = builder.add_source(variables).build()?.try_deserialize()?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let wrong = |key, detail: &str| {
            Err(ConfigError::Value {
                key,
                detail: detail.to_owned(),
            })
        };
        if self.dispatch.lease.0 < 2 * self.dispatch.send_timeout.0 {
            return wrong(
                "dispatch.lease",
                "must be at least twice dispatch.send_timeout, or a row could be sent twice",
            );
        }
        if self.dispatch.sweep.0 == 0 {
            return wrong("dispatch.sweep", "must be longer than nothing");
        }
        if self.dispatch.in_flight_max == 0 || self.dispatch.lease_rows_max == 0 {
            return wrong("dispatch.in_flight_max and lease_rows_max", "must be at least 1");
        }
        self.webhooks.check()?;
        if self.timers.batch_max == 0 || self.timers.lease.0 == 0 || self.timers.sweep.0 == 0 {
            return wrong("timers.batch_max, lease and sweep", "must be more than nothing");
        }
        if self.stream.heartbeat.0 == 0 || self.stream.sweep.0 == 0 || self.stream.slow_after.0 == 0 {
            return wrong("stream.heartbeat, sweep and slow_after", "must be longer than nothing");
        }
        let presence = &self.presence;
        if !PROBABILITIES.contains(&presence.enter_at) || !PROBABILITIES.contains(&presence.exit_at) {
            return wrong("presence.enter_at and exit_at", "must be from 0.5 to 0.999");
        }
        if presence.exit_after_fixes == 0 || presence.silent_after.0 == 0 {
            return wrong(
                "presence.exit_after_fixes and silent_after",
                "must be more than nothing",
            );
        }
        if !(presence.speed_max_km_per_h > 0.0 && presence.crossed_length_max_m >= 0.0) {
            return wrong(
                "presence.speed_max_km_per_h and crossed_length_max_m",
                "must not be below zero",
            );
        }
        if self.geofences.versions_kept == 0 || self.geofences.uploads_max == 0 {
            return wrong("geofences.versions_kept and uploads_max", "must be at least 1");
        }
        self.push.check()?;
        if self.http.check_ins_max == 0 || self.http.body_bytes_max == 0 {
            return wrong("http.check_ins_max and body_bytes_max", "must be at least 1");
        }
        Ok(())
    }

    /// Limits of requests.
    pub fn http_limits(&self) -> HttpLimits {
        HttpLimits {
            body_bytes_max: self.http.body_bytes_max,
            file_bytes_max: self.geofences.file_bytes_max,
            check_ins_max: self.http.check_ins_max,
            future_max: self.http.future_max,
            workspace_per_minute_max: self.pace.limits().workspace_per_minute_max,
        }
    }

    /// Where uploads wait to be read, if that is chosen.
    pub fn upload_dir(&self) -> Option<PathBuf> {
        (!self.geofences.upload_dir.is_empty()).then(|| PathBuf::from(&self.geofences.upload_dir))
    }

    /// Limits of the dispatcher.
    pub fn dispatch_limits(&self) -> DispatchLimits {
        DispatchLimits {
            in_flight_max: self.dispatch.in_flight_max,
            lease_rows_max: self.dispatch.lease_rows_max,
            send_timeout: self.dispatch.send_timeout.to_std(),
            lease: self.dispatch.lease,
            sweep: self.dispatch.sweep.to_std(),
            pace: self.pace.limits(),
        }
    }

    /// Limits of the streams.
    pub fn stream_limits(&self) -> StreamLimits {
        StreamLimits {
            connections_max: self.stream.connections_max.min(STREAMS_MAX),
            heartbeat: self.stream.heartbeat.to_std(),
            sweep: self.stream.sweep.to_std(),
            slow_after: self.stream.slow_after.to_std(),
        }
    }

    /// Limits of the timers.
    pub fn timer_limits(&self) -> TimerLimits {
        TimerLimits {
            batch_max: self.timers.batch_max,
            lease: self.timers.lease,
            sweep: self.timers.sweep.to_std(),
        }
    }

    /// How evidence is weighed and how long it holds.
    pub fn presence_rules(&self) -> PresenceRules {
        let presence = &self.presence;
        PresenceRules {
            thresholds: Thresholds {
                enter_at: presence.enter_at,
                exit_at: presence.exit_at,
                exit_after_fixes: presence.exit_after_fixes,
            },
            beacon_holds: presence.beacon_holds,
            code_holds: presence.code_holds,
            silent_after: presence.silent_after,
            speed_max_km_per_h: presence.speed_max_km_per_h,
            clock_ahead_max: self.http.future_max,
            crossed: presence.crossed,
            crossed_length_max_m: presence.crossed_length_max_m,
            crossed_time_max: presence.crossed_time_max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_complete_and_unknown_keys_fail() {
        let defaults = Config::load(None).expect("the defaults alone are a configuration");
        assert_eq!(defaults.presence_rules(), PresenceRules::DEFAULT);
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("beckon.toml");
        std::fs::write(&file, "[http]\nlissten = \"127.0.0.1:1\"\n").expect("written");
        let error = Config::load(Some(&file)).expect_err("refused").to_string();
        assert!(error.contains("lissten"), "{error}");
        std::fs::write(&file, "[dispatch]\nlease = \"PT5S\"\n").expect("written");
        let error = Config::load(Some(&file)).expect_err("refused").to_string();
        assert!(error.starts_with("dispatch.lease: must be at least twice"), "{error}");
        std::fs::write(&file, "[presence]\nenter_at = 0.4\n").expect("written");
        let error = Config::load(Some(&file)).expect_err("refused").to_string();
        assert!(error.starts_with("presence.enter_at"), "{error}");
    }
}
