//! What arrived at the gateway, and how long after its check-in was due.

use anyhow::Context as _;
use serde::Deserialize;

use crate::client::{Connection, Target};

/// Entries of one page of the log.
const PAGE: usize = 1000;

#[derive(Deserialize)]
struct Page {
    items: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    seq: u64,
    at: jiff::Timestamp,
    status: u16,
    token: Option<String>,
}

/// An accepted push: the phone's token and when it arrived, in Unix milliseconds.
pub(crate) struct Arrival {
    pub(crate) token: String,
    pub(crate) at_ms: i64,
}

/// Reads the log of a sandbox gateway.
pub(crate) struct Gateway {
    target: Target,
    after: u64,
}

impl Gateway {
    /// `url` is the gateway's plain HTTP address.
    pub(crate) fn new(url: &str) -> anyhow::Result<Self> {
        Ok(Self {
            target: Target::parse(url, "none")?,
            after: 0,
        })
    }

    /// What arrived since the last call.
    pub(crate) async fn arrivals(&mut self) -> anyhow::Result<Vec<Arrival>> {
        let mut arrivals = Vec::new();
        // A connection of the round before may have been closed for idleness.
        let mut connection = Connection::open(&self.target).await?;
        loop {
            let path = format!("/log?after={}&limit={PAGE}", self.after);
            let answer = connection.must("GET", &path, "application/json", "").await?;
            let page: Page = serde_json::from_slice(&answer).context("the gateway's log has changed")?;
            let Some(last) = page.items.last() else {
                return Ok(arrivals);
            };
            self.after = last.seq;
            arrivals.extend(
                page.items
                    .into_iter()
                    .filter(|entry| entry.status == 200)
                    .filter_map(|entry| {
                        Some(Arrival {
                            token: entry.token?,
                            at_ms: entry.at.as_millisecond(),
                        })
                    }),
            );
        }
    }
}
