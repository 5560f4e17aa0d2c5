//! The story's geofences and campaigns: from folders where they are, else as they were compiled in.

use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::Value;

/// Sample files by name.
const GEOFENCES: [(&str, &str); 2] = [
    ("airport.geojson", include_str!("../../../geofences/airport.geojson")),
    ("cafes.csv", include_str!("../../../geofences/cafes.csv")),
];
const CAMPAIGNS: [(&str, &str); 5] = [
    (
        "cafe-welcome.json",
        include_str!("../../../config/campaigns/cafe-welcome.json"),
    ),
    (
        "duty-free-usual.json",
        include_str!("../../../config/campaigns/duty-free-usual.json"),
    ),
    (
        "flight-delayed.json",
        include_str!("../../../config/campaigns/flight-delayed.json"),
    ),
    (
        "gate-info.json",
        include_str!("../../../config/campaigns/gate-info.json"),
    ),
    (
        "security-fast-lane.json",
        include_str!("../../../config/campaigns/security-fast-lane.json"),
    ),
];

/// What the story needs.
pub(super) struct Samples {
    /// Files by name.
    pub(super) geofences: Vec<(String, String)>,
    /// Documents with an `id`.
    pub(super) campaigns: Vec<Value>,
}

impl Samples {
    pub(super) fn load(geofences: Option<&Path>, campaigns: Option<&Path>) -> anyhow::Result<Self> {
        let campaigns = files(campaigns, "config/campaigns", &CAMPAIGNS, &["json"])?;
        let campaigns = campaigns.iter().map(|(name, text)| {
            let document: Value = serde_json::from_str(text).with_context(|| format!("{name} is not JSON"))?;
            if document["id"].is_string() {
                Ok(document)
            } else {
                bail!("{name} has no `id`")
            }
        });
        Ok(Self {
            geofences: files(geofences, "geofences", &GEOFENCES, &["geojson", "csv"])?,
            campaigns: campaigns.collect::<anyhow::Result<_>>()?,
        })
    }
}

/// The files of `named`, else of `usual`, else the compiled-in ones.
fn files(
    named: Option<&Path>,
    usual: &str,
    compiled_in: &[(&str, &str)],
    extensions: &[&str],
) -> anyhow::Result<Vec<(String, String)>> {
    let usual = Path::new(usual);
    let Some(folder) = named.or_else(|| usual.is_dir().then_some(usual)) else {
        return Ok(compiled_in
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect());
    };
    let mut files = Vec::new();
    for entry in folder
        .read_dir()
        .with_context(|| format!("can't read {}", folder.display()))?
    {
        let path = entry?.path();
        let known = path
            .extension()
            .and_then(|extension| extension.to_str())
            .is_some_and(|one| extensions.contains(&one));
        if known {
            let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            files.push((
                path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                text,
            ));
        }
    }
    files.sort();
    if files.is_empty() {
        bail!("{} holds no {} files", folder.display(), extensions.join(" or "));
    }
    Ok(files)
}
