//! When a place is open, week by week, in its own local time.

use jiff::civil::Weekday;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::SerializeMap as _};
use serde_json::Value;

/// Most spans of one day.
pub const SPANS_PER_DAY_MAX: usize = 8;
/// Longest text that is read, in bytes.
pub const TEXT_BYTES_MAX: usize = 1_000;

const DAY_MINUTES: u16 = 24 * 60;
/// As in the canonical JSON, Monday first.
const DAY_NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Open from one minute (of the day) until another, which may be on the next day. The last minute is not included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Span {
    /// 0 to 1439.
    from: u16,
    /// Above `from`, and less than a day later: as two times of the clock, a whole day from another minute than
    /// midnight would have no length. Only a day from midnight to midnight is whole.
    until: u16,
}

/// Weekly hours. What is not named is closed.
///
/// What can be read is written as a JSON object that is read as the same again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OperatingHours {
    /// Monday first; each day's spans sorted, and merged where they touch. What would last a day or longer is cut at
    /// midnight, and goes on on the next day.
    days: [Vec<Span>; 7],
}

/// Why something is no operating hours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperatingHoursError {
    /// Above [`TEXT_BYTES_MAX`].
    #[error("the text is longer than {TEXT_BYTES_MAX} bytes")]
    TooLong,
    /// Above [`SPANS_PER_DAY_MAX`].
    #[error("a day has more than {SPANS_PER_DAY_MAX} spans")]
    TooManySpans,
    /// Neither an object nor a text.
    #[error("expected an object such as {{\"mon\": [[\"09:00\", \"18:00\"]]}}, or a text such as `Mo-Fr 09:00-18:00`")]
    NotHours,
    /// A key that names no day.
    #[error("`{0}` is no day; the days are mon, tue, wed, thu, fri, sat and sun")]
    UnknownDay(String),
    /// A day's value that isn't a list of pairs.
    #[error("`{0}` must be a list of spans such as [[\"09:00\", \"12:00\"], [\"13:00\", \"18:00\"]]")]
    NotSpans(&'static str),
    /// Not a time from 00:00 to 24:00.
    #[error("`{0}` is not a time such as 09:00")]
    NotATime(String),
    /// A span without length.
    #[error("a span begins and ends at {0}; for a whole day write 00:00 to 24:00")]
    EmptySpan(String),
    /// A text beyond days, times, `off` and `24/7`.
    #[error("`{0}` is not understood; write days and times such as `Mo-Fr 09:00-18:00; Sa 10:00-14:00`, or `24/7`")]
    NotUnderstood(String),
}

impl OperatingHours {
    /// Whether it is open at a minute of a day (from 0 at midnight), both in local time.
    pub fn is_open(&self, weekday: Weekday, minute_of_day: u16) -> bool {
        let today = day_index(weekday);
        let yesterday = (today + 6) % 7;
        let holds = |day: usize, minute: u16| {
            self.days[day]
                .iter()
                .any(|span| (span.from..span.until).contains(&minute))
        };
        holds(today, minute_of_day) || holds(yesterday, minute_of_day.saturating_add(DAY_MINUTES))
    }

    /// Reads the JSON object, or a text that [`OperatingHours::parse`] understands.
    pub fn from_json(value: &Value) -> Result<Self, OperatingHoursError> {
        let days = match value {
            Value::String(text) => return Self::parse(text),
            Value::Object(days) => days,
            _ => return Err(OperatingHoursError::NotHours),
        };
        let mut hours = Self::default();
        for (name, spans) in days {
            let day = DAY_NAMES
                .iter()
                .position(|day| day == name)
                .ok_or_else(|| OperatingHoursError::UnknownDay(shortened(name)))?;
            let not_spans = || OperatingHoursError::NotSpans(DAY_NAMES[day]);
            for span in spans.as_array().ok_or_else(not_spans)? {
                let Some([from, until]) = span.as_array().map(Vec::as_slice) else {
                    return Err(not_spans());
                };
                let (Some(from), Some(until)) = (from.as_str(), until.as_str()) else {
                    return Err(not_spans());
                };
                hours.add(day, span_of(from, until)?)?;
            }
        }
        hours.cut_long_spans()?;
        Ok(hours)
    }

    /// Reads the JSON object as a text, or the common part of OpenStreetMap's `opening_hours`: rules of days and
    /// times such as `Mo-Fr 09:00-12:00,13:00-18:00; Sa 10:00-14:00; Su off`, or `24/7`. A later rule replaces what
    /// an earlier one says of its days.
    pub fn parse(text: &str) -> Result<Self, OperatingHoursError> {
        let text = text.trim();
        if text.len() > TEXT_BYTES_MAX {
            return Err(OperatingHoursError::TooLong);
        }
        if text.starts_with('{') {
            let value: Value = serde_json::from_str(text).map_err(|_| OperatingHoursError::NotHours)?;
            return Self::from_json(&value);
        }
        let mut hours = Self::default();
        let mut is_any = false;
        for rule in text.split(';').map(str::trim).filter(|rule| !rule.is_empty()) {
            hours.apply(rule)?;
            is_any = true;
        }
        if is_any {
            hours.cut_long_spans()?;
            Ok(hours)
        } else {
            Err(OperatingHoursError::NotUnderstood(shortened(text)))
        }
    }

    fn apply(&mut self, rule: &str) -> Result<(), OperatingHoursError> {
        let not_understood = || OperatingHoursError::NotUnderstood(shortened(rule));
        if rule == "24/7" {
            return self.replace([true; 7], "00:00-24:00");
        }
        // The days end where the times begin: at the first digit, or at a word that stands for times.
        let is_times = |word: &str| word.starts_with(|c: char| c.is_ascii_digit()) || is_closed(word);
        let begin = rule
            .split_whitespace()
            .find(|word| is_times(word))
            .map(|word| word.as_ptr().addr() - rule.as_ptr().addr())
            .ok_or_else(not_understood)?;
        let (days, times) = rule.split_at(begin);
        let days = days_of(days).ok_or_else(not_understood)?;
        self.replace(days, times)
    }

    /// Sets the hours of the chosen days.
    fn replace(&mut self, days: [bool; 7], times: &str) -> Result<(), OperatingHoursError> {
        let mut spans = Vec::new();
        if !is_closed(times.trim()) {
            for span in times.split(',') {
                let (from, until) = span
                    .split_once('-')
                    .ok_or_else(|| OperatingHoursError::NotUnderstood(shortened(times)))?;
                spans.push(span_of(from.trim(), until.trim())?);
            }
        }
        for (day, _) in days.iter().enumerate().filter(|(_, is_chosen)| **is_chosen) {
            self.days[day].clear();
            for span in &spans {
                self.add(day, *span)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, day: usize, span: Span) -> Result<(), OperatingHoursError> {
        let spans = &mut self.days[day];
        spans.push(span);
        spans.sort_unstable();
        spans.dedup_by(|next, previous| {
            let touches = next.from <= previous.until;
            if touches {
                previous.until = previous.until.max(next.until);
            }
            touches
        });
        if spans.len() > SPANS_PER_DAY_MAX {
            return Err(OperatingHoursError::TooManySpans);
        }
        Ok(())
    }

    /// Cuts spans of a day and longer at midnight: the rest is the next day's.
    fn cut_long_spans(&mut self) -> Result<(), OperatingHoursError> {
        // The rest may make a span of the next day too long, and so on round the week. A day that was cut has nothing
        // beyond midnight any more, so each is cut once at most and twice round is enough.
        for day in (0..7).chain(0..7) {
            // Only the last span can pass midnight.
            let Some(last) = self.days[day].last_mut() else {
                continue;
            };
            if last.until > DAY_MINUTES && last.until - last.from >= DAY_MINUTES {
                let rest = Span {
                    from: 0,
                    until: last.until - DAY_MINUTES,
                };
                last.until = DAY_MINUTES;
                self.add((day + 1) % 7, rest)?;
            }
        }
        Ok(())
    }
}

fn day_index(weekday: Weekday) -> usize {
    usize::try_from(weekday.to_monday_zero_offset()).unwrap_or_default()
}

fn is_closed(word: &str) -> bool {
    word.eq_ignore_ascii_case("off") || word.eq_ignore_ascii_case("closed")
}

/// `Mo-Fr,Su`; nothing stands for every day. `None` for anything else.
fn days_of(text: &str) -> Option<[bool; 7]> {
    let text = text.trim();
    if text.is_empty() {
        return Some([true; 7]);
    }
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (mut day, last) = (day_of(first)?, day_of(last)?);
        days[day] = true;
        while day != last {
            day = (day + 1) % 7;
            days[day] = true;
        }
    }
    Some(days)
}

/// `Mo` as OpenStreetMap writes it, or `mon`.
fn day_of(text: &str) -> Option<usize> {
    let text = text.trim();
    DAY_NAMES
        .iter()
        .position(|name| text.eq_ignore_ascii_case(name) || text.eq_ignore_ascii_case(&name[..2]))
}

fn span_of(from_text: &str, until_text: &str) -> Result<Span, OperatingHoursError> {
    let from = minute_of(from_text)?;
    let until = minute_of(until_text)?;
    if from == until {
        return Err(OperatingHoursError::EmptySpan(shortened(from_text)));
    }
    if from == DAY_MINUTES {
        return Err(OperatingHoursError::NotATime(shortened(from_text)));
    }
    let until = if until < from { until + DAY_MINUTES } else { until };
    Ok(Span { from, until })
}

/// `9:00` and `09:00`, up to `24:00`.
fn minute_of(text: &str) -> Result<u16, OperatingHoursError> {
    let part = |text: &str, lengths: std::ops::RangeInclusive<usize>| {
        let is_good = lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        is_good.then(|| text.parse::<u16>().ok()).flatten()
    };
    text.split_once(':')
        .and_then(|(hours, minutes)| Some((part(hours, 1..=2)?, part(minutes, 2..=2)?)))
        .filter(|(_, minutes)| *minutes < 60)
        .map(|(hours, minutes)| hours * 60 + minutes)
        .filter(|minute| *minute <= DAY_MINUTES)
        .ok_or_else(|| OperatingHoursError::NotATime(shortened(text)))
}

fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

/// 24:00 stays; what is beyond is on the next day.
fn clock(minute: u16) -> String {
    let minute = if minute > DAY_MINUTES {
        minute - DAY_MINUTES
    } else {
        minute
    };
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

impl Serialize for OperatingHours {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let open = || DAY_NAMES.iter().zip(&self.days).filter(|(_, spans)| !spans.is_empty());
        let mut map = serializer.serialize_map(Some(open().count()))?;
        for (name, spans) in open() {
            let pairs: Vec<[String; 2]> = spans.iter().map(|span| [clock(span.from), clock(span.until)]).collect();
            map.serialize_entry(name, &pairs)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for OperatingHours {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_json(&Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const WEEK_MINUTES: usize = 7 * DAY_MINUTES as usize;

    fn parsed(text: &str) -> String {
        OperatingHours::parse(text).map_or_else(
            |error| error.to_string(),
            |hours| serde_json::to_string(&hours).unwrap(),
        )
    }

    #[test]
    fn texts_come_to_the_canonical_map() {
        let day = |name: &str| format!("\"{name}\":[[\"00:00\",\"24:00\"]]");
        let whole_week = format!("{{{}}}", DAY_NAMES.map(day).join(","));
        for (text, expected) in [
            ("Mo 09:00-18:00", r#"{"mon":[["09:00","18:00"]]}"#),
            (
                "Mo, We 9:00 - 12:00 , 13:00-18:00",
                r#"{"mon":[["09:00","12:00"],["13:00","18:00"]],"wed":[["09:00","12:00"],["13:00","18:00"]]}"#,
            ),
            (
                "Sa-Mo 22:00-02:00; Su off",
                r#"{"mon":[["22:00","02:00"]],"sat":[["22:00","02:00"]]}"#,
            ),
            ("tue 13:00-18:00,08:00-13:30", r#"{"tue":[["08:00","18:00"]]}"#),
            ("24/7", &whole_week),
            ("00:00-24:00;", &whole_week),
            ("closed", "{}"),
            (
                "Mo 06:00-14:00,14:00-22:00,22:00-06:00",
                r#"{"mon":[["06:00","24:00"]],"tue":[["00:00","06:00"]]}"#,
            ),
            (
                "Su 06:00-14:00, 14:00-08:00",
                r#"{"mon":[["00:00","08:00"]],"sun":[["06:00","24:00"]]}"#,
            ),
            (
                "Mo 00:00-24:00,23:00-01:00; Tu 00:30-23:00,22:00-00:45",
                r#"{"mon":[["00:00","24:00"]],"tue":[["00:00","24:00"]],"wed":[["00:00","00:45"]]}"#,
            ),
            ("00:00-12:00,12:00-06:00", &whole_week),
            (
                r#"{"fri": [["22:00", "24:00"], ["09:00", "12:00"]], "sun": []}"#,
                r#"{"fri":[["09:00","12:00"],["22:00","24:00"]]}"#,
            ),
        ] {
            assert_eq!(parsed(text), expected, "{text}");
            assert_eq!(parsed(expected), expected);
        }
    }

    #[test]
    fn what_is_beyond_weekly_hours_is_refused() {
        let is_not_understood =
            |text: &str| matches!(OperatingHours::parse(text), Err(OperatingHoursError::NotUnderstood(_)));
        for text in [
            "",
            ";",
            "Mo-Fr",
            "Mo-Fr 09:00+",
            "Mo-Fr 09:00-18:00; PH off",
            "sunrise-sunset",
            "Jan-Mar 09:00-18:00",
            "on request",
        ] {
            assert!(is_not_understood(text), "{text}: {}", parsed(text));
        }
        for text in [
            "Mo 09:00-25:00",
            "Mo 9-18",
            "Mo 24:00-25:00",
            "Mo 09:60-10:00",
            "Mo 24:00-06:00",
            r#"{"mon": [["9", "18:00"]]}"#,
        ] {
            assert!(
                matches!(OperatingHours::parse(text), Err(OperatingHoursError::NotATime(_))),
                "{text}"
            );
        }
        assert!(matches!(
            OperatingHours::parse("Mo 9:00-09:00"),
            Err(OperatingHoursError::EmptySpan(_))
        ));
        assert!(matches!(
            OperatingHours::parse(&" ;x".repeat(400)),
            Err(OperatingHoursError::TooLong)
        ));
        let spans: Vec<String> = (0..9).map(|hour| format!("{hour}:00-{hour}:30")).collect();
        assert_eq!(
            OperatingHours::parse(&spans.join(",")),
            Err(OperatingHoursError::TooManySpans)
        );
        for (value, expected) in [
            (json!(5), OperatingHoursError::NotHours),
            (
                json!({"monday": []}),
                OperatingHoursError::UnknownDay("monday".to_owned()),
            ),
            (json!({"mon": ["09:00", "18:00"]}), OperatingHoursError::NotSpans("mon")),
            (json!({"tue": [[9, 18]]}), OperatingHoursError::NotSpans("tue")),
            (json!({"tue": null}), OperatingHoursError::NotSpans("tue")),
        ] {
            assert_eq!(OperatingHours::from_json(&value), Err(expected));
        }
    }

    #[test]
    fn the_door_opens_and_shuts() {
        let hours = OperatingHours::parse("Mo-Fr 09:00-18:00; Su 22:00-02:00").unwrap();
        for (weekday, minute, is_open) in [
            (Weekday::Monday, 9 * 60 - 1, false),
            (Weekday::Monday, 9 * 60, true),
            (Weekday::Friday, 18 * 60 - 1, true),
            (Weekday::Friday, 18 * 60, false),
            (Weekday::Saturday, 12 * 60, false),
            (Weekday::Sunday, 21 * 60 + 59, false),
            (Weekday::Sunday, 23 * 60, true),
            (Weekday::Monday, 119, true),
            (Weekday::Monday, 120, false),
            (Weekday::Tuesday, 60, false),
        ] {
            assert_eq!(hours.is_open(weekday, minute), is_open, "{weekday:?} {minute}");
        }
        assert!(!OperatingHours::default().is_open(Weekday::Monday, 600));
    }

    /// Which minutes of the week are open.
    fn minutes(hours: &OperatingHours) -> Vec<bool> {
        (0..WEEK_MINUTES)
            .map(|minute| {
                let weekday = Weekday::from_monday_zero_offset((minute / usize::from(DAY_MINUTES)) as i8).unwrap();
                hours.is_open(weekday, (minute % usize::from(DAY_MINUTES)) as u16)
            })
            .collect()
    }

    /// A day and two times of the clock, often on the hour so that spans touch.
    fn spans() -> impl Strategy<Value = Vec<(usize, u16, u16)>> {
        let times = || prop_oneof![3 => (0..=24_u16).prop_map(|hour| hour * 60), 1 => 0..=DAY_MINUTES];
        let span = (0..7_usize, times(), times())
            .prop_filter("no span", |(_, from, until)| from != until && *from < DAY_MINUTES);
        proptest::collection::vec(span, 0..24)
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_as_the_same(spans in spans(), is_text in any::<bool>()) {
            let mut days: [Vec<[String; 2]>; 7] = Default::default();
            let mut expected = vec![false; WEEK_MINUTES];
            for (day, from, until) in spans {
                days[day].push([clock(from), clock(until)]);
                let start = day * usize::from(DAY_MINUTES) + usize::from(from);
                let until = if until < from { until + DAY_MINUTES } else { until };
                for minute in start..start + usize::from(until - from) {
                    expected[minute % WEEK_MINUTES] = true;
                }
            }
            let read = if is_text {
                let mut text = String::new();
                for (name, spans) in DAY_NAMES.iter().zip(&days).filter(|(_, spans)| !spans.is_empty()) {
                    let times: Vec<String> = spans.iter().map(|span| span.join("-")).collect();
                    write!(text, "{name} {};", times.join(",")).unwrap();
                }
                OperatingHours::parse(if text.is_empty() { "off" } else { &text })
            } else {
                let days: serde_json::Map<String, Value> =
                    DAY_NAMES.iter().zip(&days).map(|(name, spans)| ((*name).to_owned(), json!(spans))).collect();
                OperatingHours::from_json(&Value::Object(days))
            };
            let Ok(hours) = read else {
                prop_assert_eq!(read, Err(OperatingHoursError::TooManySpans));
                return Ok(());
            };
            prop_assert!(minutes(&hours) == expected, "{hours:?}");
            let written = serde_json::to_string(&hours).unwrap();
            let again: Result<OperatingHours, _> = serde_json::from_str(&written);
            prop_assert_eq!(again.map_err(|error| error.to_string()), Ok(hours.clone()), "{}", written);
            prop_assert_eq!(OperatingHours::parse(&written), Ok(hours));
        }
    }
}
