//! Calls to the owner's systems, signed as Standard Webhooks has it (standardwebhooks.com).
//!
//! An endpoint's address comes from a user, so it must not lead into one's own network: the name is resolved, every address
//! that is not public is left out (`address.rs`), and the connection goes to the very address that was checked. So a name
//! that resolves differently a moment later changes nothing. Redirects are not followed.

mod address;
mod client;
mod sign;

pub use client::{Caller, CallerConfig};
pub use sign::new_secret;
