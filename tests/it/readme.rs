//! The README's examples, run as they stand.
//!
//! Every ```sh block below "## Try it" is run by bash against a fresh server with BECKON_URL and BECKON_KEY set. The
//! ```json block after it is what must come out, where `…` stands for anything.

use std::{path::Path, process::Command, sync::Arc};

use beckon::{
    app::SystemClock,
    push::sandbox::{Sandbox, SandboxOptions},
};

use crate::harness::{ADMIN_KEY, World, install_tls};

/// A text without the white space outside of JSON strings.
fn squeeze(text: &str) -> String {
    let (mut squeezed, mut quoted, mut escaped) = (String::new(), false, false);
    for c in text.chars() {
        if quoted || !c.is_whitespace() {
            squeezed.push(c);
        }
        if c == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = c == '\\' && !escaped;
    }
    squeezed
}

/// Whether `answer` is `pattern`, where `…` stands for anything.
fn fits(answer: &str, pattern: &str) -> bool {
    let (answer, pattern) = (squeeze(answer), squeeze(pattern));
    let mut parts = pattern.split('…');
    let Some(mut rest) = answer.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let mut last = "";
    for part in parts {
        last = part;
        let Some(place) = rest.find(part) else { return false };
        rest = &rest[place + part.len()..];
    }
    rest.is_empty() || (pattern.contains('…') && last.is_empty())
}

/// The fenced blocks below a heading: language and text.
fn blocks<'a>(text: &'a str, heading: &str) -> Vec<(&'a str, String)> {
    let start = text.find(heading).expect("the heading");
    let section = &text[start + heading.len()..];
    let section = section.find("\n## ").map_or(section, |end| &section[..end]);
    let mut blocks = Vec::new();
    let mut lines = section.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push((language, body.join("\n")));
        }
    }
    blocks
}

/// The sandbox's own examples, against one that is fresh.
#[test]
fn the_examples_of_the_sandbox_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("docs/sandbox.md")).expect("docs/sandbox.md");
    install_tls();
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let options = SandboxOptions::new(folder.path(), Arc::new(SystemClock));
    let sandbox = runtime.block_on(Sandbox::start(options)).expect("a gateway");
    let (mut output, mut asked) = (String::new(), 0);
    for (language, block) in blocks(&text, "## Try it") {
        if language == "json" {
            assert!(
                fits(&output, &block),
                "docs/sandbox.md says\n{block}\nbut it is\n{output}"
            );
            asked += 1;
            continue;
        }
        let ran = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &block])
            .env("SANDBOX", sandbox.http_url())
            .env("SANDBOX_TLS", sandbox.apns_url())
            .env("SANDBOX_DIR", folder.path())
            .output()
            .expect("bash");
        assert!(
            ran.status.success(),
            "{block}\n{}",
            String::from_utf8_lossy(&ran.stderr)
        );
        output = String::from_utf8_lossy(&ran.stdout).into_owned();
    }
    assert_eq!(asked, 5);
    runtime.block_on(sandbox.stop());
}

#[test]
fn the_examples_of_the_readme_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).expect("README.md");
    let world = World::start();
    let blocks = blocks(&readme, "\n## Try it");
    let mut ran = 0;
    for (index, (language, script)) in blocks.iter().enumerate() {
        if *language != "sh" {
            continue;
        }
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", script])
            .current_dir(root)
            .env("BECKON_URL", &world.api.base)
            .env("BECKON_KEY", ADMIN_KEY)
            .output()
            .expect("bash runs");
        world.wait_until_sent();
        let told = String::from_utf8_lossy(&output.stdout);
        if let Some(("json", pattern)) = blocks.get(index + 1).map(|(language, text)| (*language, text)) {
            assert!(
                fits(&told, pattern),
                "{script}\n\nanswered\n{told}\nand the README says\n{pattern}\n{output:?}"
            );
            ran += 1;
        } else {
            assert!(output.status.success(), "{script}: {output:?}");
        }
    }
    assert!(ran >= 4, "the README has {ran} examples");
}

#[test]
fn answers_are_compared_by_what_stands_between_the_gaps() {
    assert!(fits("{\"a\": 1, \"b\": \"x y\"}\n", "{\"a\":1,\"b\":\"x y\"}"));
    assert!(fits("{\"a\": 1, \"b\": 2}", "{\"a\": 1, …}"));
    assert!(!fits("{\"a\": 1, \"b\": 2}", "{\"a\": 2, …}"));
    assert!(!fits("{\"a\": 1, \"b\": 2}", "{\"a\": 1"));
}
