//! Attempts that replicas must know of before they are made (`?replicas=`).
//!
//! All attempts of one master travel together, with one WAIT behind them, on a connection of their own: a WAIT holds up
//! whatever else a connection carries. They are one pipeline, because WAIT speaks only of what its own connection wrote.
//! Where replicas do not answer in time nothing is sent: the rows are handed back as they were, and are due again soon.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::{
    RedisStore,
    link::{Failure, Link, read},
    scripts::Arguments,
    url::Address,
};
use crate::engine::ports::StoreError;

/// Slots of a cluster.
const SLOTS: u16 = 16_384;

/// The connection for it, and how many replicas are to know.
pub(super) struct Replicas {
    link: Link,
    wanted: u8,
}

/// Attempts of a partition: their places among all, and the arguments of each: delivery, number, lease.
pub(super) type Begins = (usize, Vec<usize>, Arguments);

impl Replicas {
    /// `None`: no replica has to know.
    pub(super) async fn open(address: &Address) -> Result<Option<Self>, StoreError> {
        let wanted = address.replicas;
        if wanted == 0 {
            return Ok(None);
        }
        let link = Link::open(address).await?;
        Ok(Some(Self { link, wanted }))
    }

    pub(super) fn close(&self) {
        self.link.close();
    }
}

impl RedisStore {
    /// Begins attempts that replicas know of; an answer for each partition.
    pub(super) async fn begin_on_replicas(
        &self,
        replicas: &Replicas,
        begins: &[Begins],
    ) -> Vec<Result<Vec<u8>, Failure>> {
        let slots: Vec<u16> = begins
            .iter()
            .map(|(partition, ..)| slot_of(self.keys.partition(*partition)))
            .collect();
        let masters = match replicas.link.masters().await {
            Ok(masters) => masters,
            Err(failure) => {
                let why = failure.to_string();
                return begins.iter().map(|_| Err(Failure::Refused(why.clone()))).collect();
            }
        };
        // Without a cluster one server has them all.
        let mut by_master: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (index, slot) in slots.iter().enumerate() {
            let master = masters.iter().find(|(slots, _)| slots.contains(slot));
            by_master
                .entry(master.map_or(0, |(_, master)| *master))
                .or_default()
                .push(index);
        }
        let mut answers: Vec<Result<Vec<u8>, Failure>> = begins.iter().map(|_| Ok(Vec::new())).collect();
        let groups = join_all(by_master.into_values().map(async |group| {
            let answers = self.begin_on_master(replicas, begins, &group, slots[group[0]]).await;
            (group, answers)
        }));
        for (group, found) in groups.await {
            for (index, answer) in group.into_iter().zip(found) {
                answers[index] = answer;
            }
        }
        answers
    }

    async fn begin_on_master(
        &self,
        replicas: &Replicas,
        begins: &[Begins],
        group: &[usize],
        slot: u16,
    ) -> Vec<Result<Vec<u8>, Failure>> {
        let mut pipeline = redis::pipe();
        for (partition, _, arguments) in group.iter().map(|&index| &begins[index]) {
            // The pipeline may be sent again on a new connection.
            let begin = self.scripts.begin.in_full(self.keys.partition(*partition));
            pipeline.add_command(begin).arg("1").arg(arguments);
        }
        let waited = replicas.link.pipeline_and_wait(pipeline, slot, replicas.wanted).await;
        let (answers, lacks) = match waited {
            Ok((answers, reached)) if reached >= u64::from(replicas.wanted) => (answers, None),
            Ok((_, reached)) => (
                Vec::new(),
                Some(format!(
                    "only {reached} of {} replicas know of an attempt in time",
                    replicas.wanted
                )),
            ),
            Err(failure) => (Vec::new(), Some(failure.to_string())),
        };
        if let Some(why) = lacks {
            let begun = group.iter().map(|&index| &begins[index]);
            join_all(begun.map(|(partition, _, arguments)| self.hand_back(*partition, arguments))).await;
            return group.iter().map(|_| Err(Failure::Refused(why.clone()))).collect();
        }
        let read_one = |answer: redis::Value| {
            let answer = answer.extract_error();
            read(answer.map_err(|error| Failure::Refused(error.to_string()))?)
        };
        let answers: Vec<_> = answers.into_iter().map(read_one).collect();
        // A partition that has moved says so in its place, and was not begun.
        for (&index, answer) in group.iter().zip(&answers) {
            if answer.is_err() {
                let (partition, _, arguments) = &begins[index];
                replicas.link.find_again(self.keys.partition(*partition)).await;
                self.hand_back(*partition, arguments).await;
            }
        }
        answers
    }

    /// Gives rows back as they were before their attempts. Where that fails they are in doubt when the lease runs out.
    async fn hand_back(&self, partition: usize, arguments: &Arguments) {
        let added = self.outbox.expect(partition);
        let key = self.keys.partition(partition);
        match self.scripts.hand_back.run::<String>(&self.link, key, arguments).await {
            Ok(due) => self.outbox.learn(partition, added, super::agenda::score(&due)),
            Err(failure) => tracing::warn!(%failure, "attempts that were not made are in doubt"),
        }
    }
}

/// The slot of a key that is one hash tag.
fn slot_of(key: &str) -> u16 {
    let tag = key.trim_start_matches('{').trim_end_matches('}');
    let crc = tag.bytes().fold(0u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x1021
            }
        })
    });
    crc % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_has_the_slot_that_redis_says() {
        // CLUSTER KEYSLOT
        assert_eq!(slot_of("{123456789}"), 0x31c3);
        assert_eq!(slot_of("{foo}"), 12_182);
    }
}
