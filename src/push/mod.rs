//! Pushes out through APNs and FCM, and a strict stand-in for both.
//!
//! ```text
//! Providers (router) ── apns ──┐
//!     by platform    └─ fcm  ──┴── pool: HTTP/2 over TLS ──> the providers, or sandbox
//! ```
//!
//! A provider's folder hides its protocol: what comes out is an [`Outcome`](crate::domain::delivery::Outcome), never an
//! HTTP status. Tokens, keys and message texts are never logged.

mod apns;
mod choice;
mod fcm;
mod payload;
mod pool;
mod router;
pub mod sandbox;
#[cfg(test)]
mod tests;

pub use apns::{ApnsAuth, ApnsConfig, ApnsCredential};
pub use choice::Scope;
pub use fcm::{FcmAuth, FcmConfig, FcmCredential};
pub use pool::{PoolOptions, SetupError};
pub use router::Providers;
