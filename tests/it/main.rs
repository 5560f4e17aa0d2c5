//! Beckon from the outside: real servers, a real store, real HTTP/2 with TLS to the stand-in for the providers.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops and says why"
)]

mod alliance;
mod api;
mod bad_input;
mod campaign_files;
mod campaigns;
mod chaos;
mod crash;
mod demo;
mod dispatch;
mod feedback;
mod flight_delay;
mod follow;
mod geofence_sets;
mod geofences;
mod harness;
mod late;
mod live;
mod mall;
mod messages;
mod moves;
mod nginx;
mod nodes;
mod offers;
mod outages;
mod owntracks;
mod pace;
mod peers;
mod people;
mod porto;
mod presence;
mod process;
mod product_code;
mod proofs;
mod readme;
mod redis_server;
mod settings;
mod stage;
mod store;
mod waiting;
mod walks;
mod who_is_here;
mod why;
