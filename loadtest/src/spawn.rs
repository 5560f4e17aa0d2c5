//! Servers that live as long as the run.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, bail};

/// A process that ends with its value.
pub(crate) struct Process {
    child: Child,
    lines: Vec<String>,
}

impl Process {
    /// Starts it and reads its output up to a line that holds `ready`.
    pub(crate) fn start(program: &Path, arguments: &[&str], key: &str, ready: &str) -> anyhow::Result<Self> {
        let mut child = Command::new(program)
            .args(arguments)
            .env("BECKON_ADMIN_KEY", key)
            // The phones of the load jump between street and shop, and are to be believed.
            .env("BECKON__PRESENCE__SPEED_MAX_KM_PER_H", "1000000000")
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("can't start {}", program.display()))?;
        let mut output = BufReader::new(child.stdout.take().context("no output")?);
        let mut process = Self {
            child,
            lines: Vec::new(),
        };
        while !process.lines.last().is_some_and(|line| line.contains(ready)) {
            let mut line = String::new();
            if output.read_line(&mut line)? == 0 {
                bail!(
                    "{} {} ended before it was ready",
                    program.display(),
                    arguments.join(" ")
                );
            }
            process.lines.push(line);
        }
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        Ok(process)
    }

    /// The word that follows `before` in its output.
    pub(crate) fn word_after(&self, before: &str) -> anyhow::Result<String> {
        let line = self.lines.iter().find_map(|line| Some(line.split_once(before)?.1));
        let word = line
            .and_then(|line| line.split_whitespace().next())
            .context("the output has changed")?;
        Ok(word.trim_matches('\'').to_owned())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}
