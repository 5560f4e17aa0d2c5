//! Beckon turns "this customer is here, now" into one well-chosen push.

pub mod app;
pub mod config;
pub mod domain;
pub mod engine;
pub mod files;
pub mod geo;
pub mod http;
pub mod metrics;
pub mod push;
pub mod store;
pub mod telemetry;
pub mod webhook;
