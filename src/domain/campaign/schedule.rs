//! When a campaign runs: between two moments, on some days, at some hours, never on some dates.

use std::collections::BTreeSet;

use jiff::civil::{Date, DateTime, Weekday};

use super::daily::{DailySpan, ZoneChoice};
use crate::domain::{
    json_reader::{Node, Refusal},
    time::Timestamp,
    zone::Zone,
};

/// Most dates on which a campaign is silent.
pub(super) const EXCEPT_MAX: usize = 366;
pub(super) const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

/// When a campaign runs. What it doesn't say allows everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    from: Option<Moment>,
    until: Option<Moment>,
    days: Option<Vec<Weekday>>,
    hours: Option<DailySpan>,
    except: BTreeSet<Date>,
    /// By whose clock; `None`: the workspace's.
    pub zone: Option<ZoneChoice>,
}

/// An instant, or what a clock shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Exact(Timestamp),
    Local(DateTime),
}

impl Moment {
    fn read(node: &Node<'_>) -> Result<Self, Refusal> {
        let text = node.text()?;
        if let Ok(instant) = Timestamp::parse(text) {
            return Ok(Self::Exact(instant));
        }
        // A text with a broken zone must not be taken for one without.
        let is_local = !text.contains(['Z', 'z', '[', '+']);
        is_local
            .then(|| text.parse::<DateTime>().ok())
            .flatten()
            .map(Self::Local)
            .ok_or_else(|| node.refuse("must be a time such as 2026-11-01T09:00, with or without a zone"))
    }

    fn instant(self, zone: Zone) -> Timestamp {
        match self {
            Self::Exact(instant) => instant,
            Self::Local(local) => zone.instant(local),
        }
    }
}

impl Schedule {
    /// Reads `{"from", "until", "days", "hours", "except", "timeZone"}`, each of which may be left out.
    pub(super) fn read(node: &Node<'_>) -> Result<Self, Refusal> {
        node.only(&["from", "until", "days", "hours", "except", "timeZone"])?;
        let moment = |name: &str| node.field(name)?.map(|moment| Moment::read(&moment)).transpose();
        let hours = node.field("hours")?.map(|hours| match hours.items(2)?.as_slice() {
            [from, until] => DailySpan::read(from, until),
            _ => Err(hours.refuse("must be two times such as [\"09:00\", \"21:00\"]")),
        });
        let days = node.field("days")?.map(|days| {
            let named: Vec<Weekday> = days
                .items(DAYS.len())?
                .iter()
                .map(|day| day.one_of(&DAYS))
                .collect::<Result<_, Refusal>>()?;
            if named.is_empty() {
                return Err(days.refuse("needs at least one day; leave it out for every day"));
            }
            Ok(named)
        });
        let except = node.field("except")?.map_or(Ok(BTreeSet::new()), |except| {
            let date = |item: &Node<'_>| {
                item.parse(str::parse::<Date>)
                    .map_err(|_| item.refuse("must be a date such as 2026-12-25"))
            };
            except.items(EXCEPT_MAX)?.iter().map(date).collect()
        })?;
        let schedule = Self {
            from: moment("from")?,
            until: moment("until")?,
            days: days.transpose()?,
            hours: hours.transpose()?,
            except,
            zone: node
                .field("timeZone")?
                .map(|zone| ZoneChoice::read(&zone))
                .transpose()?,
        };
        let never = match (schedule.from, schedule.until) {
            (Some(Moment::Exact(from)), Some(Moment::Exact(until))) => from >= until,
            (Some(Moment::Local(from)), Some(Moment::Local(until))) => from >= until,
            _ => false,
        };
        match node.field("until")? {
            Some(until) if never => Err(until.refuse("must be after `from`")),
            _ => Ok(schedule),
        }
    }

    /// Whether it runs at the instant, by the clock of the zone.
    pub fn is_on(&self, now: Timestamp, zone: Zone) -> bool {
        if self.from.is_some_and(|from| now < from.instant(zone)) || self.is_over(now, zone) {
            return false;
        }
        let counts = |day: Date| {
            let is_named = self.days.as_ref().is_none_or(|days| days.contains(&day.weekday()));
            is_named && !self.except.contains(&day)
        };
        match &self.hours {
            // Hours over midnight belong to the day on which they begin.
            Some(hours) => hours.ends_after(now, zone, counts).is_some(),
            None => counts(zone.local(now).date()),
        }
    }

    /// Whether it will not run any more.
    pub fn is_over(&self, now: Timestamp, zone: Zone) -> bool {
        self.until.is_some_and(|until| now >= until.instant(zone))
    }

    /// Whether it is over everywhere on earth.
    pub fn is_over_everywhere(&self, now: Timestamp, workspace: Zone) -> bool {
        let last = match self.zone {
            None => workspace,
            Some(ZoneChoice::Fixed(zone)) => zone,
            // Twelve hours behind UTC: POSIX counts the other way.
            Some(ZoneChoice::Geofence | ZoneChoice::Customer) => Zone::named("Etc/GMT+12").unwrap_or(workspace),
        };
        self.is_over(now, last)
    }
}
