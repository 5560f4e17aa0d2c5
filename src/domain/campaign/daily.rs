//! A span of every day, such as from 22:00 to 08:00, and the zone in which its clock is read.

use jiff::{Span, civil::Date};

use crate::domain::{
    json_reader::{Node, Refusal},
    time::Timestamp,
    zone::Zone,
};

const DAY_MINUTES: u16 = 24 * 60;

/// From one minute of the day until another, which is on the next day if it isn't later. Where clocks go forward or back,
/// begin and end are as calendars have them ([`Zone::instant`]), so a span may be an hour shorter or longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DailySpan {
    /// 0 to 1439.
    from: u16,
    /// 0 to 1440, other than `from`.
    until: u16,
}

/// Whose clock counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ZoneChoice {
    /// That of the geofence that it is about.
    Geofence,
    /// That of the customer.
    Customer,
    /// This one.
    Fixed(Zone),
}

/// The zones among which a [`ZoneChoice`] chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zones {
    /// Of the geofence; `None`: there is none.
    pub geofence: Option<Zone>,
    /// Of the customer; `None`: not known.
    pub customer: Option<Zone>,
    /// Of the workspace.
    pub workspace: Zone,
}

impl Zones {
    /// The one that counts: the workspace's where nothing is chosen or known.
    pub fn choose(&self, choice: Option<ZoneChoice>) -> Zone {
        let chosen = match choice {
            None => None,
            Some(ZoneChoice::Geofence) => self.geofence,
            Some(ZoneChoice::Customer) => self.customer,
            Some(ZoneChoice::Fixed(zone)) => Some(zone),
        };
        chosen.unwrap_or(self.workspace)
    }

    /// By what clock the customer's own days begin.
    pub fn of_customer(&self) -> Zone {
        self.customer.unwrap_or(self.workspace)
    }
}

impl ZoneChoice {
    /// Reads `geofence`, `customer` or an IANA name.
    pub(in crate::domain) fn read(node: &Node<'_>) -> Result<Self, Refusal> {
        match node.text()? {
            "geofence" => Ok(Self::Geofence),
            "customer" => Ok(Self::Customer),
            name => Zone::named(name)
                .map(Self::Fixed)
                .map_err(|error| node.refuse(format!("{error}; or write geofence or customer"))),
        }
    }

    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Geofence => "geofence",
            Self::Customer => "customer",
            Self::Fixed(zone) => zone.name(),
        }
    }
}

impl DailySpan {
    /// From and until, as `"22:00"` and `"08:00"`.
    pub(in crate::domain) fn read(from: &Node<'_>, until: &Node<'_>) -> Result<Self, Refusal> {
        let span = Self {
            from: read_minute(from)?,
            until: read_minute(until)?,
        };
        if span.from == span.until || span.from == DAY_MINUTES {
            return Err(until.refuse("must differ from the beginning; for a whole day write 00:00 to 24:00"));
        }
        Ok(span)
    }

    /// When the span that holds the instant ends; `None`: none does. Only those count that begin on a day that `counts`.
    pub fn ends_after(&self, now: Timestamp, zone: Zone, counts: impl Fn(Date) -> bool) -> Option<Timestamp> {
        let today = zone.local(now).date();
        let one_day = Span::new().days(1);
        let spans = [today.saturating_sub(one_day), today]
            .into_iter()
            .filter(|day| counts(*day));
        spans
            .filter_map(|day| {
                let last_day = if self.until > self.from {
                    day
                } else {
                    day.saturating_add(one_day)
                };
                let end = instant(zone, last_day, self.until);
                (instant(zone, day, self.from) <= now && now < end).then_some(end)
            })
            .max()
    }
}

impl std::fmt::Display for DailySpan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} to {}", clock(self.from), clock(self.until))
    }
}

impl DailySpan {
    /// From and until as in JSON.
    pub fn clocks(&self) -> [String; 2] {
        [clock(self.from), clock(self.until)]
    }
}

fn clock(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

fn instant(zone: Zone, day: Date, minute: u16) -> Timestamp {
    if minute >= DAY_MINUTES {
        return zone.start_of(day.saturating_add(Span::new().days(1)));
    }
    zone.instant(day.at((minute / 60) as i8, (minute % 60) as i8, 0, 0))
}

/// `09:00`, up to `24:00`.
fn read_minute(node: &Node<'_>) -> Result<u16, Refusal> {
    let text = node.text()?;
    let part = |text: &str| {
        let is_good = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        is_good.then(|| text.parse::<u16>().ok()).flatten()
    };
    text.split_once(':')
        .and_then(|(hours, minutes)| Some((part(hours)?, part(minutes)?)))
        .filter(|(_, minutes)| *minutes < 60)
        .map(|(hours, minutes)| hours * 60 + minutes)
        .filter(|minute| *minute <= DAY_MINUTES)
        .ok_or_else(|| node.refuse("must be a time such as 09:00, up to 24:00"))
}
