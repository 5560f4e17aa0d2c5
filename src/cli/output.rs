//! What the command line says: results to stdout, complaints to stderr.

use std::{
    fmt::Display,
    io::{self, Write as _},
};

/// One line of the result.
pub(crate) fn line(text: impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// One line beside the result.
pub(crate) fn note(text: impl Display) -> io::Result<()> {
    writeln!(io::stderr().lock(), "{text}")
}

/// Why the command failed, each cause on a line.
pub(crate) fn complain(error: &anyhow::Error) {
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    // Where stderr is closed there is nobody to tell.
    note(format!("error: {}", causes.join("\n  because: "))).unwrap_or_default();
}
