//! `beckon campaigns push`.

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Map, Value, json};

use super::{check, files};
use crate::cli::{
    client::{Client, Connection, escape},
    output,
};

#[derive(Args)]
pub(crate) struct Push {
    /// JSON files, and folders whose `*.json` are meant (not those of their subfolders)
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Only say what would change
    #[arg(long)]
    dry_run: bool,
    /// End campaigns of the server that no file has; their versions stay
    #[arg(long)]
    end_others: bool,
    #[command(flatten)]
    connection: Connection,
    /// For machines
    #[arg(long)]
    json: bool,
}

/// What becomes of one campaign.
struct Change {
    id: String,
    kind: Kind,
    /// Top-level fields that differ.
    fields: Vec<String>,
    /// What is sent.
    document: Value,
    /// What the server has it in, when the file doesn't say and it is not `active`.
    kept_status: Option<String>,
    /// The server's, once it is sent.
    version: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Added,
    Changed,
    Unchanged,
    Ended,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Added, Self::Changed, Self::Unchanged, Self::Ended];

    fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
            Self::Ended => "ended",
        }
    }

    fn sign(self) -> char {
        match self {
            Self::Added => '+',
            Self::Changed => '~',
            Self::Unchanged => '=',
            Self::Ended => '-',
        }
    }
}

impl Push {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let client = Client::new(&self.connection)?;
        let files = files::read(&self.files)?;
        // All or nothing: half of a change may send what nobody wanted.
        let wrong = check::complain(&files)?;
        if wrong > 0 {
            bail!("{wrong} of {} files are wrong; nothing was sent", files.len());
        }
        let mut there = stored(&client)?;
        let mut changes = Vec::new();
        for file in files.into_iter().filter_map(|(_, read)| read.ok()) {
            let before = there.remove(file.id.as_str());
            changes.push(Change::of(file.id.as_str(), file.document, before.as_ref()));
        }
        if self.end_others {
            let others = there.into_iter().filter(|(_, document)| document["status"] != "ended");
            changes.extend(others.map(|(id, document)| Change::ending(id, document)));
        }
        for change in &mut changes {
            if !self.dry_run {
                change.send(&client)?;
            }
            if !self.json {
                change.show()?;
            }
        }
        self.conclude(&changes)?;
        Ok(ExitCode::SUCCESS)
    }

    fn conclude(&self, changes: &[Change]) -> anyhow::Result<()> {
        let count = |kind: Kind| changes.iter().filter(|change| change.kind == kind).count();
        if self.json {
            let items: Vec<Value> = changes.iter().map(Change::to_json).collect();
            let mut body = json!({"dryRun": self.dry_run, "campaigns": items});
            for kind in Kind::ALL {
                body[kind.name()] = json!(count(kind));
            }
            output::line(body)?;
            return Ok(());
        }
        let counts = Kind::ALL
            .map(|kind| format!("{} {}", count(kind), kind.name()))
            .join(", ");
        let note = if self.dry_run {
            "nothing was changed (dry run): "
        } else {
            ""
        };
        output::line(format!("{note}{counts}"))?;
        Ok(())
    }
}

impl Change {
    /// What a file makes of what the server has. A status that the file doesn't say stays: what somebody paused in an
    /// emergency must not start because of a push.
    fn of(id: &str, mut document: Value, before: Option<&Value>) -> Self {
        let mut kept_status = None;
        if let Some(before) = before
            && document["status"].is_null()
        {
            let status = before["status"].as_str().unwrap_or("active");
            document["status"] = json!(status);
            kept_status = Some(status.to_owned()).filter(|status| status != "active");
        }
        let (kind, fields) = match before {
            None => (Kind::Added, Vec::new()),
            Some(before) => match differing(before, &document) {
                fields if fields.is_empty() => (Kind::Unchanged, fields),
                fields => (Kind::Changed, fields),
            },
        };
        Self {
            id: id.to_owned(),
            kind,
            fields,
            document,
            kept_status,
            version: None,
        }
    }

    fn ending(id: String, document: Value) -> Self {
        Self {
            id,
            kind: Kind::Ended,
            fields: vec!["status".to_owned()],
            document,
            kept_status: None,
            version: None,
        }
    }

    fn send(&mut self, client: &Client) -> anyhow::Result<()> {
        let path = format!("/v1/campaigns/{}", escape(&self.id));
        let answer = match self.kind {
            Kind::Unchanged => return Ok(()),
            Kind::Added | Kind::Changed => client.send("PUT", &path, &self.document),
            Kind::Ended => client.send("POST", &format!("{path}/end"), &Value::Null),
        };
        let answer = answer.with_context(|| format!("campaign `{}`; what is above was done", self.id))?;
        self.version = answer["version"].as_u64();
        Ok(())
    }

    fn show(&self) -> anyhow::Result<()> {
        if self.kind != Kind::Unchanged {
            let fields = if self.kind == Kind::Changed {
                format!(" ({})", self.fields.join(", "))
            } else {
                String::new()
            };
            let version = self.version.map(|version| format!(": version {version}"));
            let version = version.unwrap_or_default();
            output::line(format!("{} {}{fields}{version}", self.kind.sign(), self.id))?;
        }
        if let Some(status) = &self.kept_status {
            output::line(format!(
                "! {} is {status} on the server and stays so: its file has no status",
                self.id
            ))?;
        }
        Ok(())
    }

    fn to_json(&self) -> Value {
        json!({"id": self.id, "change": self.kind.name(), "fields": self.fields, "version": self.version,
            "keptStatus": self.kept_status})
    }
}

/// The server's campaigns by id, as they were put.
fn stored(client: &Client) -> anyhow::Result<BTreeMap<String, Value>> {
    let body = client.get("/v1/campaigns")?;
    let items = body["items"].as_array().context("the server's list has no items")?;
    let mut stored = BTreeMap::new();
    for item in items {
        let id = item["id"].as_str().context("a campaign of the server has no id")?;
        stored.insert(id.to_owned(), as_put(client, id, item)?);
    }
    Ok(stored)
}

/// One whose schedule is over is listed as ended, whatever it was put as; its newest version tells that.
pub(super) fn as_put(client: &Client, id: &str, listed: &Value) -> anyhow::Result<Value> {
    let mut document = listed.clone();
    if listed["status"] == "ended" {
        let versions = client.get(&format!("/v1/campaigns/{}/versions", escape(id)))?;
        document = versions["items"][0]["campaign"].clone();
        if !document.is_object() {
            bail!("the server keeps no version of `{id}`");
        }
    }
    Ok(files::comparable(&document))
}

/// Names of top-level fields that are not the same.
fn differing(before: &Value, after: &Value) -> Vec<String> {
    let (before, after) = (files::comparable(before), files::comparable(after));
    let empty = Map::new();
    let (before, after) = (
        before.as_object().unwrap_or(&empty),
        after.as_object().unwrap_or(&empty),
    );
    let mut names: Vec<String> = before
        .keys()
        .chain(after.keys())
        .filter(|name| before.get(*name) != after.get(*name))
        .cloned()
        .collect();
    names.sort();
    names.dedup();
    names
}
