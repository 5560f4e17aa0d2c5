//! `beckon` as a process of its own.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, Command, Stdio},
};

use crate::harness::ADMIN_KEY;

/// A `beckon` process that ends with the test.
pub(crate) struct Process {
    child: Child,
    pub(crate) lines: Vec<String>,
}

impl Process {
    /// Starts it and reads its output up to a line that holds `ready`.
    pub(crate) fn start(arguments: &[&str], ready: &str) -> Self {
        Self::start_with(arguments, &[], ready)
    }

    /// The same with more variables.
    pub(crate) fn start_with(arguments: &[&str], variables: &[(&str, &str)], ready: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_beckon"))
            .args(arguments)
            .env("BECKON_ADMIN_KEY", ADMIN_KEY)
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("beckon starts");
        let mut output = BufReader::new(child.stdout.take().expect("stdout"));
        let mut errors = child.stderr.take().expect("stderr");
        let mut lines = Vec::new();
        while !lines.last().is_some_and(|line: &String| line.contains(ready)) {
            let mut line = String::new();
            if output.read_line(&mut line).expect("output") == 0 {
                let mut log = String::new();
                errors.read_to_string(&mut log).expect("log");
                panic!("beckon {arguments:?} ended early: {log}");
            }
            lines.push(line.trim_end().to_owned());
        }
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::sink()));
        Self { child, lines }
    }

    /// What stands behind `before` in the output.
    pub(crate) fn word_after(&self, before: &str) -> String {
        let line = self
            .lines
            .iter()
            .find_map(|line| line.split_once(before))
            .expect("the line")
            .1;
        line.split_whitespace()
            .next()
            .expect("a word")
            .trim_matches('\'')
            .to_owned()
    }

    /// Sends `-STOP` or `-CONT`.
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        Command::new("kill").args([signal, &id]).status().expect("kill");
    }

    /// kill -9.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("gone");
    }

    /// SIGTERM; its exit code.
    pub(crate) fn terminate(mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status().expect("kill");
        self.child.wait().expect("gone").code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}
