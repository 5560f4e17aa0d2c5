//! The rules of the house's business, pure: no async, no I/O, no clock, no environment.

pub mod beacon;
pub mod campaign;
pub mod catalogue;
pub mod checkin;
pub mod customer;
pub mod decide;
pub mod delivery;
pub mod event;
pub mod figures;
pub mod geofence;
pub mod geofence_pack;
pub mod ids;
pub mod json_reader;
pub mod ladder;
pub mod lane;
pub mod message;
pub mod metadata;
pub mod offer_code;
pub mod operating_hours;
pub mod pace;
pub mod presence;
pub mod push_options;
pub mod record;
pub mod rule;
mod sends;
pub mod settings;
pub mod time;
pub mod trace;
pub mod waiting;
pub mod zone;

#[cfg(test)]
mod schema_check;
#[cfg(test)]
mod tests;
