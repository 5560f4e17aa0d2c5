//! A push, drawn as a phone shows it.

/// Characters inside the frame.
const WIDTH: usize = 64;

/// A push that has arrived.
pub(super) struct Shown<'a> {
    pub(super) who: &'a str,
    pub(super) phone: &'a str,
    pub(super) title: &'a str,
    pub(super) body: &'a str,
    pub(super) why: &'a str,
}

/// Breaks a text into lines between words.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last().map_or(0, |line| line.chars().count());
        if line > 0 && line + 1 + word.chars().count() > width {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

/// The frame, without a line feed at its end.
pub(super) fn draw(shown: &Shown<'_>) -> String {
    let mut lines = vec![format!("   ╭{}╮", "─".repeat(WIDTH + 2))];
    let mut row = |text: &str| {
        let blanks = WIDTH.saturating_sub(text.chars().count());
        lines.push(format!("   │ {text}{} │", " ".repeat(blanks)));
    };
    let left = format!("▪ {}", shown.phone);
    let gap = WIDTH.saturating_sub(left.chars().count() + shown.who.chars().count());
    row(&format!("{left}{}{}", " ".repeat(gap), shown.who));
    for line in wrap(shown.title, WIDTH).iter().chain(&wrap(shown.body, WIDTH)) {
        row(line);
    }
    lines.push(format!("   ╰{}╯", "─".repeat(WIDTH + 2)));
    lines.push(format!("     why: {}", shown.why));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_frame_is_as_wide_as_its_top() {
        let long = "word ".repeat(40);
        let drawn = draw(&Shown {
            who: "Ada",
            phone: "iPhone",
            title: "Sorry",
            body: &long,
            why: "entered cafe/x",
        });
        let widths: Vec<usize> = drawn
            .lines()
            .take_while(|line| !line.contains("why"))
            .map(|line| line.chars().count())
            .collect();
        assert!(widths.len() > 5);
        assert!(widths.iter().all(|width| *width == widths[0]), "{drawn}");
    }
}
