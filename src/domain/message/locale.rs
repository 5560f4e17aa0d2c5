//! Languages as BCP 47 tags, and which message is nearest to a reader's.

use icu_locale_core::{LanguageIdentifier, subtags};

/// Longest tag, in bytes. RFC 5646 (4.4.1) finds 35 enough for every tag that is in use.
const TAG_BYTES_MAX: usize = 35;
/// Old names of languages that phones still send, and today's. `no` is what Norwegians call `nb`.
const RENAMED: [(&str, &str); 5] = [("iw", "he"), ("in", "id"), ("ji", "yi"), ("no", "nb"), ("tl", "fil")];
/// Where Chinese is written with traditional characters unless a tag says otherwise (CLDR, likely subtags).
const TRADITIONAL: [&str; 3] = ["TW", "HK", "MO"];

/// A language, with or without script and region, in its usual spelling: `zh-Hant-HK`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Language(LanguageIdentifier);

impl Language {
    /// Reads a tag that somebody wrote into a campaign. Case does not matter, and `_` is read as `-`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let refuse = || {
            let shown: String = text.chars().take(TAG_BYTES_MAX).collect();
            format!("`{shown}` is no language; write a BCP 47 tag such as en, pt-BR or zh-Hant")
        };
        if text.len() > TAG_BYTES_MAX {
            return Err(refuse());
        }
        let id = LanguageIdentifier::try_from_str(&text.replace('_', "-")).map_err(|_| refuse())?;
        if id.language.is_unknown() {
            return Err(refuse());
        }
        Ok(Self(usual(id)))
    }

    /// Reads what a phone says of itself, as far as it makes sense: `zh_TW_#Hant`, `en_US@calendar=japanese`.
    pub(super) fn of_phone(text: &str) -> Option<Self> {
        let text = text.split(['@', '#', '.']).next().unwrap_or_default();
        let text: String = text.chars().take(TAG_BYTES_MAX).collect();
        let tag = text.replace('_', "-");
        let mut rest = Some(tag.as_str());
        while let Some(tag) = rest {
            if let Ok(language) = Self::parse(tag) {
                return Some(language);
            }
            rest = tag.rsplit_once('-').map(|(shorter, _)| shorter);
        }
        None
    }

    /// The tags of messages that this reader understands, the nearest first: `zh-Hant-HK`, `zh-Hant`, `zh`.
    pub(super) fn and_wider(&self) -> Vec<String> {
        let mut id = self.0.clone();
        let mut tags = vec![id.to_string()];
        id.variants.clear();
        tags.push(id.to_string());
        id.region = None;
        tags.push(id.to_string());
        id.script = None;
        tags.push(id.to_string());
        tags.dedup();
        tags
    }

    /// Whether both are one language in one script, wherever it is spoken.
    pub(super) fn is_kin_of(&self, other: &Self) -> bool {
        self.0.language == other.0.language && self.0.script == other.0.script
    }

    /// Language only, such as `zh`.
    pub(super) fn name(&self) -> &str {
        self.0.language.as_str()
    }

    /// The region, such as `HK`.
    pub(super) fn region(&self) -> Option<&str> {
        self.0.region.as_ref().map(subtags::Region::as_str)
    }

    /// The one whose conventions for numbers and dates count in a message of this language: the reader's own, such as
    /// `en-GB` in a message in `en`, unless the reader gets a foreign language.
    pub(super) fn as_read_by(&self, reader: Option<&Self>) -> Self {
        reader
            .filter(|reader| self.0.region.is_none() && reader.is_kin_of(self))
            .unwrap_or(self)
            .clone()
    }

    /// For the library that formats.
    pub(super) fn to_locale(&self) -> icu_locale_core::Locale {
        self.0.clone().into()
    }
}

impl std::fmt::Display for Language {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// The same language in one spelling, so that `zh-TW` and `zh-Hant-TW` are one.
fn usual(mut id: LanguageIdentifier) -> LanguageIdentifier {
    if let Some((_, now)) = RENAMED.iter().find(|(old, _)| *old == id.language.as_str())
        && let Ok(language) = subtags::Language::try_from_str(now)
    {
        id.language = language;
    }
    if id.language.as_str() == "zh"
        && id.script.is_none()
        && let Some(region) = id.region
    {
        let is_traditional = TRADITIONAL.contains(&region.as_str());
        id.script = subtags::Script::try_from_str(if is_traditional { "Hant" } else { "Hans" }).ok();
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wider(tag: &str) -> Vec<String> {
        Language::of_phone(tag).expect("a language").and_wider()
    }

    #[test]
    fn tags_are_read_in_any_spelling() {
        assert_eq!(Language::parse("ZH_hant_hk").expect("a tag").to_string(), "zh-Hant-HK");
        assert_eq!(Language::parse("zh-tw").expect("a tag").to_string(), "zh-Hant-TW");
        assert_eq!(Language::parse("iw").expect("a tag").to_string(), "he");
        for wrong in [
            "",
            "english language",
            "e",
            "en--US",
            "und",
            "x-pirate",
            "e\u{301}n",
            &"en-".repeat(30),
        ] {
            assert!(Language::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_reader_also_understands_what_is_wider() {
        assert_eq!(wider("zh-Hant-HK"), ["zh-Hant-HK", "zh-Hant", "zh"]);
        assert_eq!(wider("zh_TW_#Hant"), ["zh-Hant-TW", "zh-Hant", "zh"]);
        assert_eq!(wider("en_US@calendar=japanese"), ["en-US", "en"]);
        assert_eq!(wider("de-CH-1996-x-moist"), ["de-CH-1996", "de-CH", "de"]);
        assert_eq!(wider("no"), ["nb"]);
        assert_eq!(Language::of_phone("?"), None);
    }
}
