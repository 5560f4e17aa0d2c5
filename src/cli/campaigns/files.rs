//! Campaigns in files.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use beckon::domain::{campaign::Campaign, ids::CampaignId};
use serde::Serialize;
use serde_json::{Value, json, value::RawValue};

/// Largest file, in bytes: as much as a server takes (`http.body_bytes_max`).
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Most files at once.
const FILES_MAX: usize = 10_000;

/// A file whose campaign is good.
pub(super) struct CampaignFile {
    pub(super) id: CampaignId,
    /// Without `$schema`.
    pub(super) document: Value,
}

/// What is wrong with a file, and where.
#[derive(Serialize)]
pub(super) struct Wrong {
    /// JSON pointer (RFC 6901); `None`: it is no JSON.
    pointer: Option<String>,
    /// From 1.
    line: Option<usize>,
    detail: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if let Some(pointer) = self.pointer.as_ref().filter(|pointer| !pointer.is_empty()) {
            write!(f, "{pointer}: ")?;
        }
        f.write_str(&self.detail)
    }
}

/// The files, each with its campaign or what is wrong with it. No two have the same id.
pub(super) fn read(places: &[PathBuf]) -> anyhow::Result<Vec<(PathBuf, Result<CampaignFile, Wrong>)>> {
    let mut owners: BTreeMap<CampaignId, PathBuf> = BTreeMap::new();
    let mut files = Vec::new();
    for path in list(places)? {
        let mut read = parse(&read_text(&path)?);
        if let Ok(file) = &read {
            if let Some(owner) = owners.get(&file.id) {
                read = Err(Wrong {
                    pointer: Some("/id".to_owned()),
                    line: None,
                    detail: format!("{} has this id already; each campaign has its own", owner.display()),
                });
            } else {
                owners.insert(file.id.clone(), path.clone());
            }
        }
        files.push((path, read));
    }
    Ok(files)
}

/// Files as they are, and the `*.json` of folders; each once, in the order of their names.
fn list(places: &[PathBuf]) -> anyhow::Result<BTreeSet<PathBuf>> {
    let mut paths = BTreeSet::new();
    for place in places {
        if !place.is_dir() {
            paths.insert(place.clone());
            continue;
        }
        let before = paths.len();
        for entry in fs::read_dir(place).with_context(|| format!("can't read {}", place.display()))? {
            let path = entry.with_context(|| place.display().to_string())?.path();
            if path.extension().is_some_and(|extension| extension == "json") && path.is_file() {
                paths.insert(path);
            }
            if paths.len() > FILES_MAX {
                bail!("more than {FILES_MAX} files; name fewer at once");
            }
        }
        if paths.len() == before {
            bail!("{} holds no *.json files", place.display());
        }
    }
    Ok(paths)
}

/// The whole file; one that is too long is not read to its end.
pub(super) fn read_text(path: &Path) -> anyhow::Result<String> {
    let file = File::open(path).with_context(|| format!("can't open {}", path.display()))?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("can't read {}", path.display()))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        bail!(
            "{} has more than {FILE_BYTES_MAX} bytes; a campaign is one small document",
            path.display()
        );
    }
    String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8", path.display()))
}

fn parse(text: &str) -> Result<CampaignFile, Wrong> {
    let text = text.trim_start_matches('\u{feff}');
    let mut document: Value = serde_json::from_str(text).map_err(|error| Wrong {
        pointer: None,
        line: Some(error.line()),
        detail: format!("is no JSON: {error}"),
    })?;
    let campaign = Campaign::read(&document, 0).map_err(|refusal| Wrong {
        line: line_of(text, &refusal.pointer),
        detail: refusal.detail,
        pointer: Some(refusal.pointer),
    })?;
    if let Some(fields) = document.as_object_mut() {
        fields.remove("$schema");
    }
    Ok(CampaignFile {
        id: campaign.id,
        document,
    })
}

/// The line, from 1, on which the value at the pointer begins; of one that is missing, what should hold it.
fn line_of(text: &str, pointer: &str) -> Option<usize> {
    let mut raw: &RawValue = serde_json::from_str(text).ok()?;
    for step in pointer.split('/').skip(1) {
        let key = step.replace("~1", "/").replace("~0", "~");
        let next = if raw.get().starts_with('[') {
            let items: Vec<&RawValue> = serde_json::from_str(raw.get()).ok()?;
            key.parse::<usize>().ok().and_then(|index| items.get(index).copied())
        } else {
            let fields: BTreeMap<String, &RawValue> = serde_json::from_str(raw.get()).unwrap_or_default();
            fields.get(&key).copied()
        };
        let Some(next) = next else { break };
        raw = next;
    }
    // The piece lies within the text.
    let at = (raw.get().as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
    Some(1 + text.get(..at)?.matches('\n').count())
}

/// A campaign's document as it is compared: fields that are null count as absent, and a status that is not said as active.
pub(super) fn comparable(document: &Value) -> Value {
    let mut document = document.clone();
    if let Some(fields) = document.as_object_mut() {
        fields.retain(|name, value| !value.is_null() && name != "$schema" && name != "version");
        fields.entry("status").or_insert_with(|| json!("active"));
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{
  "$schema": "campaign.schema.json",
  "id": "c",
  "trigger": {"on": "entered",
    "geofences": {"tag": "shop"}},
  "offers": [
    {"message": {"en": {"title": "t", "body": "b"}}}
  ]
}"#;

    fn wrong(text: &str) -> String {
        parse(text).err().expect("refused").to_string()
    }

    #[test]
    fn what_is_wrong_has_its_line() {
        assert!(parse(GOOD).is_ok_and(|file| file.id.as_str() == "c" && file.document.get("$schema").is_none()));
        let text = wrong(&GOOD.replace("\"tag\"", "\"tga\""));
        assert!(
            text.starts_with("line 5: /trigger/geofences/tga: unknown field; did you mean `tag`?"),
            "{text}"
        );
        let text = wrong(&GOOD.replace("\"b\"", "7"));
        assert_eq!(text, "line 7: /offers/0/message/en/body: must be a text");
        let text = wrong(&GOOD.replace("  \"id\": \"c\",\n", ""));
        assert_eq!(text, "line 1: /id: is required");
        let text = wrong(&GOOD.replace("\"c\",", "\"c\""));
        assert!(text.starts_with("line 4: is no JSON: expected `,`"), "{text}");
        assert_eq!(wrong("[]"), "line 1: must be an object");
    }

    #[test]
    fn folders_give_their_json_files_and_no_id_twice() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let places = [folder.path().to_owned()];
        assert!(read(&places).is_err(), "an empty folder is a mistake");
        for name in ["b.json", "a.json", "notes.txt"] {
            fs::write(path(name), GOOD).expect("written");
        }
        let files = read(&[folder.path().to_owned(), path("a.json")]).expect("read");
        let names: Vec<_> = files.iter().map(|(path, read)| (path.clone(), read.is_ok())).collect();
        assert_eq!(names, [(path("a.json"), true), (path("b.json"), false)]);
        fs::write(path("b.json"), " ".repeat(FILE_BYTES_MAX as usize + 1)).expect("written");
        assert!(read(&places).is_err(), "too long");
    }

    #[test]
    fn null_and_what_is_not_said_make_no_difference() {
        let stored = json!({"id": "c", "status": "active", "version": 3, "brand": null});
        assert_eq!(comparable(&stored), comparable(&json!({"id": "c", "$schema": "s"})));
        assert_ne!(comparable(&stored), comparable(&json!({"id": "c", "brand": "b"})));
    }
}
