//! Sums of money and percentages: which digits, which sign, and on which side of the number.
//!
//! The library that formats numbers has money only in its experimental part, which promises nothing from one release to
//! the next. So the few conventions that differ are here, after CLDR 48 (`currencyFormats`, `percentFormats`) and
//! ISO 4217. A language that isn't listed puts the sign before the number.

use fixed_decimal::Decimal;

use super::{formats::Formats, locale::Language};

/// Keeps a sign and its number on one line (U+00A0).
const NO_BREAK: &str = "\u{a0}";
/// Currencies in use (ISO 4217, list one, of 2026), without funds, metals and test codes.
const CURRENCIES: &str = "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD \
    CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD \
    HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD \
    MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG \
    QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD \
    TZS UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG";
/// Currencies without minor units.
const NO_MINOR_UNITS: [&str; 16] = [
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF",
];
/// Currencies of a thousand minor units.
const THREE_DIGITS: [&str; 7] = ["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];
/// Signs that nobody takes for another currency's.
const SIGNS: [(&str, &str); 12] = [
    ("EUR", "€"),
    ("GBP", "£"),
    ("INR", "₹"),
    ("KRW", "₩"),
    ("VND", "₫"),
    ("ILS", "₪"),
    ("BRL", "R$"),
    ("PHP", "₱"),
    ("UAH", "₴"),
    ("TRY", "₺"),
    ("KZT", "₸"),
    ("NGN", "₦"),
];
/// Signs that are one currency's only to those who speak the language.
const HOME_SIGNS: [(&str, &str, &str); 9] = [
    ("PLN", "pl", "zł"),
    ("CZK", "cs", "Kč"),
    ("HUF", "hu", "Ft"),
    ("RUB", "ru", "₽"),
    ("SEK", "sv", "kr"),
    ("NOK", "nb", "kr"),
    ("DKK", "da", "kr."),
    ("BGN", "bg", "лв."),
    ("CNY", "zh", "¥"),
];
/// Dollars: currency, the region in which `$` alone means it, and how it is written elsewhere.
const DOLLARS: [(&str, &str, &str); 8] = [
    ("USD", "US", "US$"),
    ("CAD", "CA", "CA$"),
    ("AUD", "AU", "A$"),
    ("NZD", "NZ", "NZ$"),
    ("HKD", "HK", "HK$"),
    ("TWD", "TW", "NT$"),
    ("MXN", "MX", "MX$"),
    ("SGD", "SG", "S$"),
];
/// Languages that put the sign behind the number, after a space.
const SIGN_BEHIND: [&str; 41] = [
    "az", "be", "bg", "bs", "ca", "cs", "da", "de", "el", "es", "et", "eu", "fi", "fr", "gl", "he", "hr", "hu", "hy",
    "is", "it", "ka", "kk", "ky", "lt", "lv", "mk", "nb", "nn", "pl", "pt", "ro", "ru", "sk", "sl", "sq", "sr", "sv",
    "uk", "uz", "vi",
];
/// Languages and regions that put the sign before the number, with a space.
const SIGN_BEFORE_SPACED: [(&str, Option<&str>); 8] = [
    ("nl", None),
    ("id", None),
    ("ms", None),
    ("sw", None),
    ("de", Some("AT")),
    ("de", Some("CH")),
    ("de", Some("LI")),
    ("pt", Some("BR")),
];
/// Regions of Spanish that put it before the number.
const SPANISH_BEFORE: [&str; 9] = ["MX", "US", "CO", "AR", "CL", "PE", "GT", "DO", "419"];
/// Languages that write a space before `%`.
const PERCENT_SPACED: [&str; 17] = [
    "be", "ca", "cs", "da", "de", "es", "fi", "gl", "hr", "lt", "nb", "nn", "ro", "ru", "sk", "sl", "sv",
];

/// Whether it is a currency in use.
pub(super) fn is_currency(code: &str) -> bool {
    code.len() == 3 && CURRENCIES.split(' ').any(|known| known == code)
}

/// All currencies in use.
pub(super) fn currencies() -> Vec<&'static str> {
    CURRENCIES.split(' ').collect()
}

/// Digits of the currency's minor units.
pub(super) fn minor_digits(currency: &str) -> u8 {
    if NO_MINOR_UNITS.contains(&currency) {
        0
    } else if THREE_DIGITS.contains(&currency) {
        3
    } else {
        2
    }
}

/// The sum with its currency's sign, as the reader writes it.
pub(super) fn money(formats: &Formats, sum: &Decimal, currency: &str) -> String {
    let mut size = sum.clone();
    let minus = if size.sign() == fixed_decimal::Sign::Negative {
        size.set_sign(fixed_decimal::Sign::None);
        "-"
    } else {
        ""
    };
    let number = formats.number(&size);
    let sign = sign(currency, &formats.language);
    match side(&formats.language) {
        Side::Behind => format!("{minus}{number}{NO_BREAK}{sign}"),
        Side::Before { spaced } => {
            // A code would run into the number.
            let is_word = sign.ends_with(char::is_alphabetic);
            let space = if spaced || is_word { NO_BREAK } else { "" };
            format!("{minus}{sign}{space}{number}")
        }
    }
}

/// The number with a percent sign, as the reader writes it; 25 is 25 %.
pub(super) fn percent(formats: &Formats, number: &Decimal) -> String {
    let number = formats.number(number);
    let language = formats.language.name();
    let is_swiss = matches!(formats.language.region(), Some("CH" | "LI"));
    match language {
        "tr" => format!("%{number}"),
        "eu" => format!("%{NO_BREAK}{number}"),
        "fr" if !is_swiss => format!("{number}\u{202f}%"),
        "de" if is_swiss => format!("{number}%"),
        _ if PERCENT_SPACED.contains(&language) => format!("{number}{NO_BREAK}%"),
        _ => format!("{number}%"),
    }
}

enum Side {
    Before { spaced: bool },
    Behind,
}

fn side(language: &Language) -> Side {
    let (name, region) = (language.name(), language.region());
    let is_spaced = |(listed, only): &(&str, Option<&str>)| *listed == name && (only.is_none() || *only == region);
    if SIGN_BEFORE_SPACED.iter().any(is_spaced) {
        return Side::Before { spaced: true };
    }
    if name == "es" && region.is_some_and(|region| SPANISH_BEFORE.contains(&region)) {
        return Side::Before { spaced: false };
    }
    if SIGN_BEHIND.contains(&name) {
        return Side::Behind;
    }
    Side::Before { spaced: false }
}

/// What stands for the currency: its code, unless a sign is clear to the reader.
fn sign<'a>(currency: &'a str, language: &Language) -> &'a str {
    if let Some((_, sign)) = SIGNS.iter().find(|(code, _)| *code == currency) {
        return sign;
    }
    if let Some((_, home, elsewhere)) = DOLLARS.iter().find(|(code, ..)| *code == currency) {
        let is_home = match language.region() {
            Some(region) => region == *home,
            None => currency == "USD" && language.name() == "en",
        };
        return if is_home { "$" } else { elsewhere };
    }
    let at_home = |(code, home, _): &&(&str, &str, &str)| *code == currency && *home == language.name();
    if let Some((_, _, sign)) = HOME_SIGNS.iter().find(at_home) {
        return sign;
    }
    match currency {
        "CNY" => "CN¥",
        "JPY" if language.name() == "zh" => "JP¥",
        "JPY" => "¥",
        code => code,
    }
}
