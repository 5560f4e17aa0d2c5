//! The text of `<coordinates>`: positions between blanks, numbers between commas.

use super::super::{Finding, FindingCode, finding::quote};

/// Longitude, latitude, altitude.
const ORDINATES_MAX: usize = 3;

/// Reads positions. Blanks round the commas are forgiven, as is `a,b,c,d,e,f` without any blank, which Google Earth reads
/// as positions of three numbers.
pub(super) fn parse(text: &str, line: u64) -> Result<Vec<[f64; 2]>, Finding> {
    let mut vertices = Vec::new();
    let mut numbers: Vec<f64> = Vec::new();
    let mut rest = text.trim();
    // Whether the number to come belongs to the position of the one before.
    let mut is_joined = false;
    while !rest.is_empty() {
        let end = rest.find(|c: char| c == ',' || c.is_whitespace()).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let value = word.parse::<f64>().ok().filter(|value| value.is_finite());
        let value = value.ok_or_else(|| wrong(line, &format!("{} is no number", quote(word))))?;
        if !is_joined {
            finish(&mut numbers, &mut vertices, line)?;
        }
        numbers.push(value);
        rest = after.trim_start();
        is_joined = rest.starts_with(',');
        if is_joined {
            rest = rest[1..].trim_start();
        }
    }
    finish(&mut numbers, &mut vertices, line)?;
    Ok(vertices)
}

/// Takes the numbers of one position.
fn finish(numbers: &mut Vec<f64>, vertices: &mut Vec<[f64; 2]>, line: u64) -> Result<(), Finding> {
    match numbers.as_slice() {
        [] => {}
        [longitude, latitude] | [longitude, latitude, _] => vertices.push([*longitude, *latitude]),
        more if more.len().is_multiple_of(ORDINATES_MAX) => {
            vertices.extend(more.chunks_exact(ORDINATES_MAX).map(|part| [part[0], part[1]]));
        }
        other => {
            let what = match other.len() {
                1 => format!("{} stands alone", quote(&other[0].to_string())),
                count => format!("{count} numbers with commas between them make no position"),
            };
            return Err(wrong(line, &what));
        }
    }
    numbers.clear();
    Ok(())
}

fn wrong(line: u64, what: &str) -> Finding {
    Finding::error(
        FindingCode::CoordinatesInvalid,
        format!("in the coordinates of line {line}, {what}"),
        "write longitude,latitude in degrees, with blanks between the positions",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stray_blanks_are_forgiven() {
        let one = vec![[-0.1, 51.5]];
        let two = vec![[1.0, 2.0], [3.0, 4.0]];
        for (text, expected) in [
            ("", vec![]),
            ("-0.1,51.5", one.clone()),
            ("\n\t-0.1 , 51.5 ,0 \n", one.clone()),
            ("-0.1,51.5,", one),
            ("1,2 3,4", two.clone()),
            ("1,2,0\t3,4,0", two.clone()),
            ("1 ,2\n3, 4", two.clone()),
            ("1,2,0,3,4,0", two),
        ] {
            assert_eq!(parse(text, 1).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_position_is_told() {
        let errors = ["1", "1 2", "1,,2", ",1", "1,2,3,4", "1,NaN", "1e999,1", "inf,1", "1;2"]
            .map(|text| format!("{text}: {}", parse(text, 7).unwrap_err().detail));
        insta::assert_snapshot!(errors.join("\n"), @r"
        1: in the coordinates of line 7, `1` stands alone
        1 2: in the coordinates of line 7, `1` stands alone
        1,,2: in the coordinates of line 7, `` is no number
        ,1: in the coordinates of line 7, `` is no number
        1,2,3,4: in the coordinates of line 7, 4 numbers with commas between them make no position
        1,NaN: in the coordinates of line 7, `NaN` is no number
        1e999,1: in the coordinates of line 7, `1e999` is no number
        inf,1: in the coordinates of line 7, `inf` is no number
        1;2: in the coordinates of line 7, `1;2` is no number
        ");
    }
}
