//! Codes that people read out at a till: hard to guess, easy to type, and a slip is noticed.
//!
//! `7KQ4-M2ZD-9XFT`: eleven characters of 55 random bits and one that checks them, in Crockford's Base 32
//! (<https://www.crockford.com/base32.html>): no letter looks like a digit, and case doesn't matter.

/// Longest code of an uploaded pool, in bytes.
pub const CODE_BYTES_MAX: usize = 64;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Characters without the check.
const DATA_CHARS: usize = 11;
const GROUP_CHARS: usize = 4;

/// Why a text is no code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodeProblem {
    /// Nothing is left of it.
    #[error("must not be empty")]
    Empty,
    /// Longer than any code.
    #[error("is longer than {CODE_BYTES_MAX} bytes")]
    TooLong,
    /// Not a character that people can type.
    #[error("holds a control character")]
    Control,
}

/// Something that is worth an offer once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct OfferCode(String);

impl OfferCode {
    /// A generated one, from 55 of these bits.
    pub fn generated(random: u64) -> Self {
        let mut digits = [0_u8; DATA_CHARS];
        for (place, digit) in digits.iter_mut().enumerate() {
            *digit = (random >> (5 * place)) as u8 & 31;
        }
        let mut text = String::with_capacity(14);
        for (place, digit) in digits.iter().chain([&check_digit(&digits)]).enumerate() {
            if place > 0 && place % GROUP_CHARS == 0 {
                text.push('-');
            }
            text.push(char::from(ALPHABET[usize::from(*digit)]));
        }
        Self(text)
    }

    /// One of an uploaded pool: any short text, blanks at its ends left out.
    pub fn uploaded(text: &str) -> Result<Self, CodeProblem> {
        let text = text.trim();
        if text.is_empty() {
            return Err(CodeProblem::Empty);
        }
        if text.len() > CODE_BYTES_MAX {
            return Err(CodeProblem::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(CodeProblem::Control);
        }
        Ok(Self(text.to_owned()))
    }

    /// What somebody may have meant: the text as it is, and, if its check is right, the generated code in its one way of
    /// being written. Blanks and dashes don't matter there, nor case, nor O for 0, I and L for 1.
    pub fn meant_by(text: &str) -> Result<Vec<Self>, CodeProblem> {
        let uploaded = Self::uploaded(text)?;
        let generated = read_generated(text).filter(|generated| *generated != uploaded);
        Ok(std::iter::once(uploaded).chain(generated).collect())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for OfferCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

fn read_generated(text: &str) -> Option<OfferCode> {
    let mut digits = Vec::with_capacity(DATA_CHARS + 1);
    for character in text.chars().filter(|character| !matches!(character, '-' | ' ')) {
        let character = match character.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        };
        let digit = ALPHABET.iter().position(|known| char::from(*known) == character)?;
        if digits.len() > DATA_CHARS {
            return None;
        }
        digits.push(digit as u8);
    }
    let (check, data) = digits.split_last()?;
    let data: &[u8; DATA_CHARS] = data.try_into().ok()?;
    if *check != check_digit(data) {
        return None;
    }
    let random = data
        .iter()
        .rev()
        .fold(0_u64, |random, digit| random << 5 | u64::from(*digit));
    Some(OfferCode::generated(random))
}

/// Finds every wrong character and every two neighbours that changed places: each place has a factor of its own in the
/// field of 32 elements, and neither is 0 nor is the next one's the same.
fn check_digit(digits: &[u8; DATA_CHARS]) -> u8 {
    let mut factor = 1;
    let mut sum = 0;
    for digit in digits {
        factor = doubled(factor);
        sum ^= product(*digit, factor);
    }
    sum
}

/// Times x modulo x^5 + x^2 + 1, which is primitive: 31 steps lead back to the first.
fn doubled(value: u8) -> u8 {
    let twice = value << 1;
    if twice & 32 == 0 { twice } else { twice ^ 0b10_0101 }
}

fn product(a: u8, b: u8) -> u8 {
    let mut sum = 0;
    let mut shifted = a;
    for bit in 0..5 {
        if b >> bit & 1 == 1 {
            sum ^= shifted;
        }
        shifted = doubled(shifted);
    }
    sum
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn generated_of(text: &str) -> Option<OfferCode> {
        OfferCode::meant_by(text).expect("a code").pop()
    }

    proptest! {
        #[test]
        fn a_code_is_understood_however_it_is_typed(random in 0_u64..1 << 55) {
            let code = OfferCode::generated(random);
            let typed = code.as_str().replace('-', " ").to_lowercase().replace('0', "o").replace('1', "l");
            prop_assert_eq!(generated_of(&typed), Some(code.clone()));
            prop_assert_eq!(OfferCode::meant_by(code.as_str()), Ok(vec![code]));
        }

        #[test]
        fn a_slip_is_noticed(random in 0_u64..1 << 55, place in 0_usize..12, other in 0_usize..32) {
            let code = OfferCode::generated(random);
            let letters: Vec<char> = code.as_str().chars().filter(|letter| *letter != '-').collect();
            let mut slipped = letters.clone();
            slipped[place] = char::from(ALPHABET[other]);
            let is_same = slipped == letters;
            prop_assert_eq!(read_generated(&slipped.iter().collect::<String>()).is_some(), is_same);
            let mut swapped = letters.clone();
            swapped.swap(place, (place + 1) % 12);
            if place < 11 {
                prop_assert_eq!(read_generated(&swapped.iter().collect::<String>()).is_some(), swapped == letters);
            }
        }

        #[test]
        fn no_text_is_a_panic(text in ".{0,80}") {
            drop(OfferCode::meant_by(&text));
        }
    }

    #[test]
    fn codes_look_like_codes() {
        assert_eq!(OfferCode::generated(0x0123_4567_89AB_CDEF).as_str(), "FFKQ-T4YC-5T8R");
        assert_eq!(OfferCode::uploaded("  "), Err(CodeProblem::Empty));
        assert_eq!(OfferCode::uploaded(&"x".repeat(65)), Err(CodeProblem::TooLong));
        assert_eq!(
            OfferCode::uploaded("SUMMER 26").map(|code| code.to_string()),
            Ok("SUMMER 26".to_owned())
        );
    }
}
