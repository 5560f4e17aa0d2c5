//! The lanes of the outbox: what waits is taken from them in turns, so that a large campaign never holds up a small one.

use super::{
    campaign::Class,
    delivery::{Delivery, Platform},
    ids::{AppId, WorkspaceId},
};

/// Ends each part of a lane's name; no id holds it.
const END: char = '\u{1f}';

/// A lane's name as stores keep it: class, platform, workspace, app, campaign. Service messages sort before marketing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneKey(String);

/// Lanes that have a beginning in common and are left alone for a while: one provider's, one app's at its provider, or one
/// campaign's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LanePart(String);

fn platform_letter(platform: Platform) -> char {
    match platform {
        Platform::Ios => 'i',
        Platform::Android => 'a',
    }
}

impl LaneKey {
    /// Takes what a store kept; `None` when it is no lane's name.
    pub fn read(text: &str) -> Option<Self> {
        let mut letters = text.chars();
        let known = matches!(letters.next(), Some('0' | '1')) && matches!(letters.next(), Some('a' | 'i'));
        (known && text.matches(END).count() == 4).then(|| Self(text.to_owned()))
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether what it holds goes before all marketing.
    pub fn is_service(&self) -> bool {
        self.0.starts_with('0')
    }

    /// Which provider its pushes go to.
    pub fn platform(&self) -> Platform {
        if self.0.as_bytes().get(1) == Some(&b'i') {
            Platform::Ios
        } else {
            Platform::Android
        }
    }

    /// Whose it is.
    pub fn workspace(&self) -> &str {
        self.0.split(END).nth(1).unwrap_or_default()
    }

    /// Whether the lane is one of those.
    pub fn is_of(&self, part: &LanePart) -> bool {
        self.0.get(1..).is_some_and(|name| name.starts_with(&part.0))
    }

    /// The names of all [`LanePart`]s that it is of.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        let name = self.0.get(1..).unwrap_or_default();
        name.match_indices(END).map(|(end, _)| &name[..=end])
    }

    /// The campaign's lanes that differ only in their class.
    pub fn itself(&self) -> LanePart {
        LanePart(self.0.get(1..).unwrap_or_default().to_owned())
    }
}

impl LanePart {
    /// Everything for one provider.
    pub fn of_platform(platform: Platform) -> Self {
        Self(format!("{}{END}", platform_letter(platform)))
    }

    /// Everything that one app's credential at its provider sends.
    pub fn of_app(platform: Platform, workspace: &WorkspaceId, app: &AppId) -> Self {
        Self(format!("{}{END}{workspace}{END}{app}{END}", platform_letter(platform)))
    }

    /// The beginning itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Delivery {
    /// The lane that it waits in.
    pub fn lane(&self) -> LaneKey {
        let class = match self.class {
            Class::Service => '0',
            Class::Marketing => '1',
        };
        let (platform, workspace) = (platform_letter(self.platform), &self.workspace);
        LaneKey(format!(
            "{class}{platform}{END}{workspace}{END}{}{END}{}{END}",
            self.app, self.campaign
        ))
    }
}

/// How many rows each of these lanes may give now, in which order. Service lanes come first, as long as they have any;
/// then workspaces share equally, and the lanes of each. `turn` decides who begins where there is less room than lanes.
pub fn shares<'a>(lanes: &[&'a LaneKey], room: usize, turn: u64) -> Vec<(&'a LaneKey, usize)> {
    let has_service = lanes.iter().any(|lane| lane.is_service());
    let mut open: Vec<&'a LaneKey> = lanes
        .iter()
        .copied()
        .filter(|lane| lane.is_service() == has_service)
        .collect();
    open.sort_by_key(|lane| lane.workspace());
    let mut by_workspace: Vec<&[&'a LaneKey]> = open.chunk_by(|a, b| a.workspace() == b.workspace()).collect();
    let workspaces = by_workspace.len();
    if workspaces == 0 || room == 0 {
        return Vec::new();
    }
    by_workspace.rotate_left((turn % workspaces as u64) as usize);
    let of_workspace = room.div_ceil(workspaces);
    let mut dealt = Vec::with_capacity(open.len());
    let mut left = room;
    for lanes in by_workspace {
        let count = lanes.len();
        let begin = ((turn / workspaces as u64) % count as u64) as usize;
        let (of_lane, mut of_this) = (of_workspace.div_ceil(count), of_workspace.min(left));
        for index in 0..count {
            let share = of_lane.min(of_this);
            if share == 0 {
                break;
            }
            dealt.push((lanes[(begin + index) % count], share));
            of_this -= share;
            left -= share;
        }
    }
    dealt
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(class: char, workspace: &str, campaign: &str) -> LaneKey {
        LaneKey::read(&format!("{class}a\u{1f}{workspace}\u{1f}app\u{1f}{campaign}\u{1f}")).expect("a lane")
    }

    #[test]
    fn service_goes_first_and_workspaces_share_before_their_campaigns() {
        let big = [lane('1', "one", "a"), lane('1', "one", "b"), lane('1', "two", "c")];
        let lanes: Vec<&LaneKey> = big.iter().collect();
        assert_eq!(shares(&lanes, 8, 0), [(&big[0], 2), (&big[1], 2), (&big[2], 4)]);
        let service = lane('0', "one", "delay");
        let mut all = lanes.clone();
        all.push(&service);
        assert_eq!(shares(&all, 8, 3), [(&service, 8)]);
        assert_eq!(shares(&lanes, 0, 0), []);
    }

    #[test]
    fn with_less_room_than_lanes_each_has_its_turn() {
        let lanes: Vec<LaneKey> = (0..5).map(|n| lane('1', "w", &n.to_string())).collect();
        let lanes: Vec<&LaneKey> = lanes.iter().collect();
        let first: std::collections::BTreeSet<&LaneKey> = (0..5).map(|turn| shares(&lanes, 1, turn)[0].0).collect();
        assert_eq!(first.len(), 5);
    }

    #[test]
    fn a_part_is_no_part_of_a_longer_name() {
        let ten = lane('1', "w", "summer-10");
        let one = lane('0', "w", "summer-1");
        assert!(one.is_of(&one.itself()) && !ten.is_of(&one.itself()));
        assert!(ten.is_of(&LanePart::of_platform(Platform::Android)));
        assert!(!ten.is_of(&LanePart::of_platform(Platform::Ios)));
    }
}
