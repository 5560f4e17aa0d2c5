//! Where things are: partitions and the names of keys.
//!
//! All keys of one commit share a hash tag and so a slot: `{beckon:p0017}`. Names are joined by NUL, which no id holds.

use uuid::Uuid;

use crate::domain::ids::{DeviceId, SubjectId, WorkspaceId};

/// Names keys of one installation.
pub(super) struct Keys {
    prefix: String,
    partitions: Vec<String>,
}

impl Keys {
    pub(super) fn new(prefix: &str, partitions: u16) -> Self {
        Self {
            prefix: prefix.to_owned(),
            partitions: (0..partitions)
                .map(|number| format!("{{{prefix}:p{number:04}}}"))
                .collect(),
        }
    }

    /// How many partitions there are.
    pub(super) fn count(&self) -> usize {
        self.partitions.len()
    }

    /// A partition's hash tag, with which its keys begin.
    pub(super) fn partition(&self, number: usize) -> &str {
        &self.partitions[number]
    }

    /// Where a customer's record is, with all that is committed beside it.
    pub(super) fn of_subject(&self, workspace: &WorkspaceId, subject: &SubjectId) -> usize {
        self.spread(workspace.as_str(), &subject.to_key())
    }

    /// Where it is kept whose device it is.
    pub(super) fn of_device(&self, workspace: &WorkspaceId, device: &DeviceId) -> usize {
        self.spread(workspace.as_str(), &format!("v:{device}"))
    }

    /// FNV-1a with a last mix, stable for ever: an installation's data lies where it says.
    fn spread(&self, workspace: &str, name: &str) -> usize {
        let bytes = workspace.bytes().chain([0]).chain(name.bytes());
        let mut hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        ((hash >> 32) % self.partitions.len() as u64) as usize
    }

    /// What is fixed at the installation.
    pub(super) fn meta(&self) -> String {
        format!("{{{}:meta}}", self.prefix)
    }

    /// Catalogue and keys share one slot: they change rarely, and as a whole.
    pub(super) fn control(&self) -> String {
        format!("{{{}:control}}", self.prefix)
    }

    /// Outside events share one slot.
    pub(super) fn events(&self) -> String {
        format!("{{{}:events}}", self.prefix)
    }

    /// A provider token that the nodes share.
    pub(super) fn token(&self, name: &str) -> String {
        format!("{{{}:token}}:{name}", self.prefix)
    }

    /// Webhooks share one slot.
    pub(super) fn webhooks(&self) -> String {
        format!("{{{}:webhooks}}", self.prefix)
    }

    /// Offers of a workspace share a slot.
    pub(super) fn offers(&self, workspace: &WorkspaceId) -> String {
        format!("{{{}:offers:{workspace}}}", self.prefix)
    }

    /// Limits of how fast pushes leave share one slot: a batch of rows asks for all at once.
    pub(super) fn pace(&self) -> String {
        format!("{{{}:pace}}", self.prefix)
    }

    /// A part of an upload; uploads are spread.
    pub(super) fn part(&self, upload: Uuid, number: u32) -> String {
        format!("{{{}:u{}}}:{number}", self.prefix, upload.simple())
    }
}

/// `a NUL b`.
pub(super) fn join(a: &str, b: &str) -> String {
    format!("{a}\0{b}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::UserId;

    #[test]
    fn customers_spread_evenly_and_stay_where_they_are() {
        let keys = Keys::new("beckon", 256);
        let workspace = WorkspaceId::new("w").expect("an id");
        let mut counts = [0u32; 256];
        for number in 0..25_600 {
            let subject = SubjectId::User(UserId::new(format!("user-{number}")).expect("an id"));
            counts[keys.of_subject(&workspace, &subject)] += 1;
        }
        assert!(counts.iter().all(|&count| (50..200).contains(&count)), "{counts:?}");
        let mia = SubjectId::User(UserId::new("mia").expect("an id"));
        // Changing this would lose every installation's customers.
        assert_eq!(keys.partition(keys.of_subject(&workspace, &mia)), "{beckon:p0063}");
    }
}
