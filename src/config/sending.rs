//! Settings of how fast pushes leave, and of what the owner's systems are told.

use serde::Deserialize;

use super::{ConfigError, push::read_roots};
use crate::{
    domain::time::DurationMs,
    engine::{dispatch::PaceLimits, webhooks::WebhookLimits},
    webhook::CallerConfig,
};

/// `[pace]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaceSection {
    /// Of one workspace.
    pub workspace_per_minute_max: u32,
    /// Of one FCM project.
    pub fcm_per_minute_max: u32,
    /// To one Android device.
    pub device_per_minute_max: u32,
    /// The same in an hour.
    pub device_per_hour_max: u32,
}

/// `[webhooks]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhooksSection {
    /// How often to look.
    pub sweep: DurationMs,
    /// A call's end.
    pub timeout: DurationMs,
    /// How long a server has an endpoint.
    pub lease: DurationMs,
    /// Whether one's own network may be called.
    pub allow_private: bool,
    /// More roots.
    pub ca_file: String,
}

impl PaceSection {
    /// Limits of the dispatcher.
    pub fn limits(&self) -> PaceLimits {
        PaceLimits {
            workspace_per_minute_max: self.workspace_per_minute_max,
            fcm_per_minute_max: self.fcm_per_minute_max,
            device_per_minute_max: self.device_per_minute_max,
            device_per_hour_max: self.device_per_hour_max,
        }
    }
}

impl WebhooksSection {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.sweep.0 == 0 || self.timeout.0 == 0 || self.lease.0 < 4 * self.timeout.0 {
            return Err(ConfigError::Value {
                key: "webhooks.sweep, timeout and lease",
                detail: "must be longer than nothing, and lease at least four times timeout".to_owned(),
            });
        }
        Ok(())
    }

    /// Limits of the webhooks.
    pub fn limits(&self) -> WebhookLimits {
        WebhookLimits {
            sweep: self.sweep,
            timeout: self.timeout.to_std(),
            lease: self.lease,
        }
    }

    /// Settings of the calls.
    pub fn caller(&self) -> Result<CallerConfig, ConfigError> {
        Ok(CallerConfig {
            allow_private: self.allow_private,
            ca_pem: read_roots("webhooks.ca_file", &self.ca_file)?,
        })
    }
}
