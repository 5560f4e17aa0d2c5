//! Stretches of time: windows in which something is counted, and times of the day.

use jiff::{
    Zoned,
    civil::{Date, Weekday},
    tz::TimeZone,
};

use super::Person;
use crate::domain::{
    figures::REACH,
    time::{DurationMs, Timestamp},
    zone,
};

/// In which time something is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// As far back as is remembered.
    Ever,
    /// In this length before the event.
    Within(DurationMs),
    /// Since the day, week, month or year began, by the calendar where the customer is.
    This(Calendar),
}

/// A part of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calendar {
    /// From midnight on.
    Day,
    /// From Monday on (ISO 8601).
    Week,
    /// From the first on.
    Month,
    /// From the first of January on.
    Year,
}

/// Days of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Weekdays(u8);

/// A time of the day or of the week, by a local clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalTime {
    /// Minute of the day when it begins.
    pub from: u16,
    /// Minute when it is over; not above `from`: on the next day.
    pub until: u16,
    /// On which days it begins.
    pub days: Weekdays,
    /// Whose clock.
    pub zone: Zone,
}

/// Whose clock and calendar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Zone {
    /// The customer's, else the geofence's.
    Customer,
    /// The geofence's, else the customer's.
    Geofence,
    /// This IANA zone's.
    Fixed(String),
}

impl Window {
    /// The last instant before it, as the event's `at` has it.
    pub(super) fn opens(self, person: &Person<'_>) -> Timestamp {
        let forgotten = person.at.minus(REACH);
        match self {
            Self::Ever => forgotten,
            Self::Within(length) => person.at.minus(length),
            Self::This(calendar) => {
                let opens = zoned(person.at, Zone::Customer.find(person)).and_then(|at| calendar.began(&at));
                opens.map_or(forgotten, |began| Timestamp(began.0.saturating_sub(1)))
            }
        }
    }
}

impl Calendar {
    /// When the part in which `at` lies began.
    fn began(self, at: &Zoned) -> Option<Timestamp> {
        let today = at.date();
        let first: Date = match self {
            Self::Day => today,
            Self::Week => {
                let days = i64::from(at.weekday().to_monday_zero_offset());
                today.checked_sub(jiff::Span::new().try_days(days).ok()?).ok()?
            }
            Self::Month => today.first_of_month(),
            Self::Year => today.first_of_year(),
        };
        let began = first.to_zoned(at.time_zone().clone()).ok()?;
        Some(Timestamp(began.timestamp().as_millisecond()))
    }
}

impl Weekdays {
    /// All seven.
    pub const ALL: Self = Self(0b111_1111);

    /// Adds one.
    pub fn add(&mut self, day: Weekday) {
        self.0 |= 1 << day.to_monday_zero_offset();
    }

    /// Whether it is one of them.
    pub fn holds(self, day: Weekday) -> bool {
        self.0 & (1 << day.to_monday_zero_offset()) != 0
    }
}

impl Zone {
    /// The zone itself; the workspace's where nobody has told one.
    pub(super) fn find(&self, person: &Person<'_>) -> TimeZone {
        let customer = || {
            let name = person.record.profile.time_zone(person.device)?;
            zone::Zone::named(name).ok()
        };
        let found = match self {
            Self::Customer => customer().or(person.geofence_zone),
            Self::Geofence => person.geofence_zone.or_else(customer),
            Self::Fixed(name) => zone::Zone::named(name).ok(),
        };
        found.unwrap_or(person.workspace_zone).rules().clone()
    }
}

impl LocalTime {
    /// What the clock shows; `None` beyond the calendar.
    pub(super) fn clock(&self, person: &Person<'_>) -> Option<Zoned> {
        zoned(person.at, self.zone.find(person))
    }

    pub(super) fn holds(&self, person: &Person<'_>) -> bool {
        self.clock(person).is_some_and(|clock| self.holds_at(&clock))
    }

    fn holds_at(&self, clock: &Zoned) -> bool {
        let minute = clock.hour() as u16 * 60 + clock.minute() as u16;
        let (today, yesterday) = (clock.weekday(), clock.weekday().previous());
        if self.from < self.until {
            self.days.holds(today) && (self.from..self.until).contains(&minute)
        } else {
            (self.days.holds(today) && minute >= self.from) || (self.days.holds(yesterday) && minute < self.until)
        }
    }
}

fn zoned(at: Timestamp, zone: TimeZone) -> Option<Zoned> {
    let at = jiff::Timestamp::from_millisecond(at.0).ok()?;
    Some(at.to_zoned(zone))
}
