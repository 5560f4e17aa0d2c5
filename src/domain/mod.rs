//! The rules of the house's business, pure: no async, no I/O, no clock, no environment.

pub mod checkin;
pub mod delivery;
pub mod geofence;
pub mod ids;
pub mod time;
