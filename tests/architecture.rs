//! The house's rules, read off the sources.
#![expect(clippy::expect_used, reason = "a test stops and says why")]

use std::{
    fs,
    path::{Path, PathBuf},
};

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(folder);
    let mut folders = vec![root];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source");
                sources.push((path, text));
            }
        }
    }
    assert!(!sources.is_empty());
    sources
}

/// Lines of code outside comments that hold one of the words.
fn offenders(folder: &str, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in sources(folder) {
        for (number, line) in (1..).zip(text.lines()) {
            let code = line.split("//").next().unwrap_or_default();
            if let Some(word) = words.iter().find(|word| code.contains(**word)) {
                found.push(format!("{}:{number} names `{word}`", path.display()));
            }
        }
    }
    found
}

#[test]
fn the_core_is_pure() {
    let impure = [
        "tokio",
        "actix",
        "redis::",
        "rusqlite",
        "h2::",
        "hyper",
        "rustls",
        "ureq",
        "std::env",
        "env!",
        "std::fs",
        "std::net",
        "::now()",
        "Instant",
        "SystemTime",
        "async fn",
        ".await",
        "rand::",
        "now_v7",
        "new_v4",
    ];
    for folder in ["domain", "geo"] {
        assert_eq!(offenders(folder, &impure), Vec::<String>::new());
    }
}

#[test]
fn dependencies_point_inward() {
    let outside = [
        "crate::http",
        "crate::push",
        "crate::store",
        "crate::app",
        "crate::config",
        "actix",
        "rusqlite",
        "redis::",
        "h2::",
        "hyper",
    ];
    assert_eq!(offenders("engine", &outside), Vec::<String>::new());
    let above_domain = [
        "crate::engine",
        "crate::http",
        "crate::push",
        "crate::store",
        "crate::files",
        "crate::metrics",
    ];
    assert_eq!(offenders("domain", &above_domain), Vec::<String>::new());
    let above_geo = [
        "crate::domain",
        "crate::engine",
        "crate::http",
        "crate::push",
        "crate::store",
        "crate::files",
    ];
    assert_eq!(offenders("geo", &above_geo), Vec::<String>::new());
    assert_eq!(
        offenders("push", &["crate::http", "crate::store"]),
        Vec::<String>::new()
    );
    assert_eq!(
        offenders("store", &["crate::http", "crate::push"]),
        Vec::<String>::new()
    );
}

#[test]
fn nobody_asks_which_store_it_is() {
    for folder in ["engine", "http", "push"] {
        let names = ["sqlite", "Sqlite", "redis", "Redis"];
        assert_eq!(offenders(folder, &names), Vec::<String>::new());
    }
}
