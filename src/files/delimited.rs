//! Rows of separated fields: which separator, and how numbers are written.

use super::{Finding, FindingCode, error::shown, finding::quote};

/// The separators that are recognised, the likeliest first.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// Longest text that is taken for two numbers without a separator, in bytes.
const GLUED_BYTES_MAX: usize = 64;

/// The separator that is most frequent outside quotes in the header; a comma when there is none.
pub(super) fn delimiter_of(header: &str) -> u8 {
    let count = |delimiter: u8| {
        let mut is_quoted = false;
        header
            .bytes()
            .filter(|byte| {
                is_quoted ^= *byte == b'"';
                !is_quoted && *byte == delimiter
            })
            .count()
    };
    let mut best = (DELIMITERS[0], count(DELIMITERS[0]));
    for delimiter in &DELIMITERS[1..] {
        let number = count(*delimiter);
        if number > best.1 {
            best = (*delimiter, number);
        }
    }
    best.0
}

/// A finite number. Where the comma separates no fields, it may separate decimals.
pub(super) fn number(text: &str, delimiter: u8) -> Option<f64> {
    let text = text.trim();
    let parse = |text: &str| text.parse::<f64>().ok().filter(|value| value.is_finite());
    parse(text).or_else(|| {
        let is_decimal_comma = delimiter != b',' && text.matches(',').count() == 1 && !text.contains('.');
        is_decimal_comma.then(|| parse(&text.replace(',', "."))).flatten()
    })
}

/// The same, with a finding that names the column.
pub(super) fn column_number(name: &str, text: &str, delimiter: u8) -> Result<f64, Finding> {
    number(text, delimiter).ok_or_else(|| {
        let hint = glued(text).unwrap_or_else(|| "write a number such as 41.163066".to_owned());
        Finding::error(
            FindingCode::NumberUnreadable,
            format!("column {} is not a number: {}", quote(name), quote(text)),
            hint,
        )
    })
}

/// Says why a row is too short: which columns are missing, and where two fields seem to be glued together.
pub(super) fn short_row(header: &[String], fields: &[&str]) -> Finding {
    let goes_on = fields.iter().any(|field| field.contains(['\n', '\r']));
    let seam = fields
        .iter()
        .enumerate()
        .find_map(|(index, field)| Some((index, glued(field)?)));
    let (missing, hint) = match seam {
        Some((index, hint)) if header.len() == fields.len() + 1 => (&header[index + 1..=index + 1], hint),
        Some((_, hint)) => (&header[fields.len()..], hint),
        None if goes_on => (
            &header[fields.len()..],
            "a double quote seems not to be closed: the text goes on over several lines".to_owned(),
        ),
        None => (
            &header[fields.len()..],
            "give every row as many fields as the header, empty ones too".to_owned(),
        ),
    };
    let missing: Vec<String> = missing.iter().map(|name| quote(name)).collect();
    let verb = if missing.len() == 1 { "is" } else { "are" };
    Finding::error(
        FindingCode::ColumnMissing,
        format!(
            "the row has {} of {} fields; {} {verb} missing",
            fields.len(),
            header.len(),
            shown(&missing)
        ),
        hint,
    )
}

/// A hint when the text is two numbers without a separator between them.
fn glued(field: &str) -> Option<String> {
    let field = field.trim();
    // Each place between two numbers is tried.
    if field.len() > GLUED_BYTES_MAX {
        return None;
    }
    let is_number = |text: &str| text.contains('.') && number(text, b',').is_some();
    let cut = field
        .char_indices()
        .skip(1)
        .find(|(index, c)| matches!(c, '-' | '+' | ' ') && is_number(&field[..*index]) && is_number(&field[*index..]));
    cut.map(|_| format!("a comma seems to be missing inside {}", quote(field)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_tells_the_separator() {
        for (header, delimiter) in [
            ("id,lat,lon", b','),
            ("id;\"lat,or,so,on\";lon", b';'),
            ("id\tlat\tlon", b'\t'),
            ("id|lat|lon", b'|'),
            ("id", b','),
        ] {
            assert_eq!(delimiter_of(header), delimiter, "{header}");
        }
    }

    #[test]
    fn numbers_are_finite_and_may_have_a_decimal_comma() {
        assert_eq!(number(" -8.5 ", b','), Some(-8.5));
        assert_eq!(number("41,25", b';'), Some(41.25));
        for text in ["", "NaN", "inf", "1e999", "41,25", "1.234,5", "0x10"] {
            assert_eq!(number(text, b','), None, "{text}");
        }
    }

    #[test]
    fn glued_numbers_are_seen() {
        assert!(glued("41.163066654-8.67598304213").is_some());
        assert!(glued("41.1 -8.6").is_some());
        for text in ["41.1", "1.5e-7", "2024-01-01", "Nevogilde"] {
            assert_eq!(glued(text), None, "{text}");
        }
        // Looking at all of it would take hours.
        let long = "1.".to_owned() + &"1 ".repeat(4_000_000) + "x";
        assert_eq!(glued(&long), None);
    }
}
