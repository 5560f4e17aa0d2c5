//! Keeps a push within the providers' limit by shortening its text.

use bytes::Bytes;

use crate::domain::message::{ELLIPSIS, head_within};

/// Most bytes of a push's JSON, at both providers.
pub(super) const PAYLOAD_BYTES_MAX: usize = 4096;

/// A payload that fits.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fitted {
    pub(super) bytes: Bytes,
    /// Whether the body had to be cut.
    pub(super) shortened: bool,
}

/// Renders with the whole `body`, or with as much of it as fits [`PAYLOAD_BYTES_MAX`] and an ellipsis. `render` must
/// put the body into one JSON string. Nothing when even an empty body is too long.
pub(super) fn fit(
    body: &str,
    render: impl Fn(&str) -> serde_json::Result<Vec<u8>>,
) -> serde_json::Result<Option<Fitted>> {
    let whole = render(body)?;
    if whole.len() <= PAYLOAD_BYTES_MAX {
        return Ok(Some(Fitted {
            bytes: whole.into(),
            shortened: false,
        }));
    }
    let around = render("")?.len() + ELLIPSIS.len();
    let Some(room) = PAYLOAD_BYTES_MAX.checked_sub(around) else {
        return Ok(None);
    };
    let shortened = render(&format!("{}{ELLIPSIS}", head_within(body, room, escaped_bytes)))?;
    Ok(Some(Fitted {
        bytes: shortened.into(),
        shortened: true,
    }))
}

/// What a character takes inside a JSON string as `serde_json` writes it.
fn escaped_bytes(character: char) -> usize {
    match character {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        other => other.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn render(body: &str) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&serde_json::json!({ "title": "Hello", "body": body }))
    }

    #[test]
    fn a_text_that_fits_is_left_alone() {
        let fitted = fit("Coffee", render).unwrap().unwrap();
        assert_eq!((&*fitted.bytes, fitted.shortened), (&*render("Coffee").unwrap(), false));
    }

    #[test]
    fn what_has_no_room_for_any_text_is_refused() {
        let huge = |body: &str| serde_json::to_vec(&("x".repeat(5000), body));
        assert_eq!(fit("Coffee", huge).unwrap(), None);
    }

    proptest! {
        #[test]
        fn a_long_text_fills_the_limit(text in "[ -~\\n\\u{0}\"张🛫]{4096,6000}") {
            let Fitted { bytes, shortened } = fit(&text, render).unwrap().unwrap();
            prop_assert!(shortened);
            prop_assert!(bytes.len() <= PAYLOAD_BYTES_MAX);
            let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            let body = value["body"].as_str().unwrap();
            let kept = body.strip_suffix('…').unwrap();
            prop_assert!(text.starts_with(kept));
            let blanks = text[kept.len()..].chars().take_while(|c| c.is_whitespace()).count();
            prop_assert!(bytes.len() + 2 * blanks + 6 > PAYLOAD_BYTES_MAX, "{} of {PAYLOAD_BYTES_MAX}", bytes.len());
        }
    }
}
