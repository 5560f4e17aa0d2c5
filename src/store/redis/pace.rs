//! Limits that hold over all nodes, by the clock of Redis. All lie in one slot: one script for a batch of rows.

use std::time::Duration;

use super::{RedisStore, scripts::Arguments};
use crate::{
    domain::pace::{Slot, SlotAsks},
    engine::ports::StoreError,
};

impl RedisStore {
    pub(super) async fn slots(&self, asks: &SlotAsks) -> Result<Vec<Slot>, StoreError> {
        if asks.rows.iter().all(|row| row.limits.is_empty()) {
            let free = Slot {
                wait: Duration::ZERO,
                refused_by: None,
            };
            return Ok(vec![free; asks.rows.len()]);
        }
        let mut arguments = Arguments::default();
        arguments.number(asks.limits.len());
        for limit in &asks.limits {
            arguments
                .add(&limit.name)
                .number(limit.interval_us)
                .number(limit.burst_us);
        }
        for row in &asks.rows {
            arguments.number(row.ahead.as_micros()).number(row.limits.len());
            for limit in &row.limits {
                arguments.number(limit + 1);
            }
        }
        let answers: Vec<u64> = self.scripts.pace.run(&self.link, &self.keys.pace(), &arguments).await?;
        Ok(answers
            .chunks_exact(2)
            .map(|answer| Slot {
                wait: Duration::from_micros(answer[0]),
                refused_by: (answer[1] as usize).checked_sub(1),
            })
            .collect())
    }
}
