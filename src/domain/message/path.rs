//! Names of what a template may read: `user.traits.usual`.

use std::fmt;

/// What contexts begin with.
const ROOTS: [&str; 7] = ["user", "offer", "geofence", "event", "usual", "visits", "ladder"];
/// Most parts of a path.
const PARTS_MAX: usize = 8;

/// A variable, part by part. Its first part is one of those that there are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Path(Vec<String>);

impl Path {
    /// From its parts.
    pub(super) fn new(parts: Vec<String>) -> Result<Self, String> {
        let root = parts.first().map_or("", String::as_str);
        if !ROOTS.contains(&root) {
            let near = crate::domain::json_reader::did_you_mean(root, &ROOTS);
            let near = near.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
            let shown: String = root.chars().take(40).collect();
            return Err(format!(
                "`{shown}` is no variable; {near}they begin with {}",
                ROOTS.join(", ")
            ));
        }
        if parts.len() > PARTS_MAX {
            return Err(format!("a variable has at most {PARTS_MAX} parts"));
        }
        Ok(Self(parts))
    }

    /// As it stands in a campaign's `defaults`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<String> = text.split('.').map(str::to_owned).collect();
        if parts.iter().any(String::is_empty) {
            return Err("is no variable; write one such as user.name".to_owned());
        }
        Self::new(parts)
    }

    /// Its parts.
    pub(super) fn parts(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}
