//! How a reader writes numbers, dates and times: what CLDR knows of each language, by ICU4X.

use fixed_decimal::{Decimal, SignedRoundingMode, UnsignedRoundingMode};
use icu_calendar::{Date, Gregorian};
use icu_datetime::{FixedCalendarDateTimeFormatter, NoCalendarFormatter, fieldsets, input::Time};
use icu_decimal::DecimalFormatter;
use icu_plurals::{PluralCategory, PluralRules};
use jiff::{civil, tz::TimeZone};
use minijinja::value::{Object, Value};

use super::locale::Language;

/// Numbers from here on are no amounts or counts any more; a `f64` has all whole ones below.
const NUMBER_MAX: f64 = 1e15;
/// Longest text that is read as a number, in bytes.
const NUMBER_BYTES_MAX: usize = 32;
/// Most digits behind the point that are shown unless the template says otherwise.
const FRACTION_DIGITS_MAX: i16 = 3;

/// A reader's conventions.
#[derive(Debug)]
pub(super) struct Formats {
    /// Whose they are.
    pub(super) language: Language,
    /// Where the reader is.
    pub(super) zone: TimeZone,
}

impl Object for Formats {}

/// How a date is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DateStyle {
    /// `11/22/26`
    Short,
    /// `Nov 22, 2026`
    Medium,
    /// `November 22, 2026`
    Long,
    /// `Sunday`
    Weekday,
}

/// The styles by their names.
pub(super) const DATE_STYLES: [(&str, DateStyle); 4] = [
    ("short", DateStyle::Short),
    ("medium", DateStyle::Medium),
    ("long", DateStyle::Long),
    ("weekday", DateStyle::Weekday),
];

/// The number that a value is or says, below [`NUMBER_MAX`] in size.
pub(super) fn number_of(value: &Value) -> Option<f64> {
    let number: f64 = match value.as_str() {
        Some(text) if text.len() <= NUMBER_BYTES_MAX => text.trim().parse().ok()?,
        None if value.is_number() => f64::try_from(value.clone()).ok()?,
        Some(_) | None => return None,
    };
    (number.is_finite() && number.abs() < NUMBER_MAX).then_some(number)
}

/// The number as people write it, rounded half up to at most or exactly so many digits behind the point.
pub(super) fn decimal(number: f64, digits: Option<u8>) -> Option<Decimal> {
    let mut decimal = Decimal::try_from_str(&number.to_string()).ok()?;
    let places = digits.map_or(FRACTION_DIGITS_MAX, i16::from);
    let half_up = SignedRoundingMode::Unsigned(UnsignedRoundingMode::HalfExpand);
    decimal.round_with_mode(-places, half_up);
    decimal.trim_end();
    if digits.is_some() {
        decimal.pad_end(-places);
    }
    Some(decimal)
}

impl Formats {
    /// The number with the language's digits and separators.
    pub(super) fn number(&self, number: &Decimal) -> String {
        DecimalFormatter::try_new(
            self.language.to_locale().into(),
            icu_decimal::options::DecimalFormatterOptions::default(),
        )
        .map_or_else(|_| number.to_string(), |formatter| formatter.format(number).to_string())
    }

    /// The name of the number's plural category (CLDR).
    pub(super) fn category(&self, number: &Decimal) -> &'static str {
        rules(&self.language).map_or("other", |rules| name(rules.category_for(number)))
    }

    /// The date; `None` where the calendar ends.
    pub(super) fn date(&self, date: civil::Date, style: DateStyle) -> Option<String> {
        let locale = self.language.to_locale();
        let date = Date::try_new_gregorian(i32::from(date.year()), date.month() as u8, date.day() as u8).ok()?;
        macro_rules! format {
            ($fields:expr) => {
                FixedCalendarDateTimeFormatter::<Gregorian, _>::try_new(locale.into(), $fields)
                    .ok()?
                    .format(&date)
                    .to_string()
            };
        }
        Some(match style {
            DateStyle::Short => format!(fieldsets::YMD::short()),
            DateStyle::Medium => format!(fieldsets::YMD::medium()),
            DateStyle::Long => format!(fieldsets::YMD::long()),
            DateStyle::Weekday => format!(fieldsets::E::long()),
        })
    }

    /// Hours and minutes, by a clock of 12 or 24 hours as is usual there.
    pub(super) fn time(&self, time: civil::Time) -> Option<String> {
        let formatter = NoCalendarFormatter::try_new(self.language.to_locale().into(), fieldsets::T::hm()).ok()?;
        let time = Time::try_new(time.hour() as u8, time.minute() as u8, time.second() as u8, 0).ok()?;
        Some(formatter.format(&time).to_string())
    }
}

/// The plural categories that a language distinguishes, by name.
pub(super) fn categories(language: &Language) -> Vec<&'static str> {
    rules(language).map_or_else(|| vec!["other"], |rules| rules.categories().map(name).collect())
}

fn rules(language: &Language) -> Option<PluralRules> {
    PluralRules::try_new_cardinal(language.to_locale().into()).ok()
}

fn name(category: PluralCategory) -> &'static str {
    match category {
        PluralCategory::Zero => "zero",
        PluralCategory::One => "one",
        PluralCategory::Two => "two",
        PluralCategory::Few => "few",
        PluralCategory::Many => "many",
        PluralCategory::Other => "other",
    }
}
