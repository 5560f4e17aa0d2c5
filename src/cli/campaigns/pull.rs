//! `beckon campaigns pull`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Args;
use serde_json::Value;

use super::{files, push::as_put};
use crate::cli::{
    client::{Client, Connection, escape},
    output,
};

#[derive(Args)]
pub(crate) struct Pull {
    /// Folder for the files, `ID.json` each; files that say the same already are left as they are
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    #[command(flatten)]
    connection: Connection,
}

impl Pull {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let client = Client::new(&self.connection)?;
        let body = client.get("/v1/campaigns")?;
        fs::create_dir_all(&self.to).with_context(|| format!("can't make {}", self.to.display()))?;
        let (mut written, mut unchanged) = (0, 0);
        for item in body["items"].as_array().context("the server's list has no items")? {
            let id = item["id"].as_str().context("a campaign of the server has no id")?;
            let mut document = as_put(&client, id, item)?;
            // An id may hold slashes; a file's name must not lead out of the folder.
            let path = self.to.join(format!("{}.json", escape(id)));
            if says(&path, &document) {
                unchanged += 1;
                continue;
            }
            if document["status"] == "active"
                && let Some(fields) = document.as_object_mut()
            {
                // A file that doesn't say it leaves it to the server from then on.
                fields.remove("status");
            }
            let part = path.with_added_extension("part");
            fs::write(&part, format!("{document:#}\n")).with_context(|| format!("can't write {}", part.display()))?;
            fs::rename(&part, &path).with_context(|| format!("can't write {}", path.display()))?;
            output::line(path.display())?;
            written += 1;
        }
        output::line(format!("{written} written, {unchanged} unchanged"))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Whether the file is there and says that.
fn says(path: &Path, document: &Value) -> bool {
    let read = files::read_text(path).ok();
    let there = read.and_then(|text| serde_json::from_str::<Value>(&text).ok());
    there.is_some_and(|there| files::comparable(&there) == *document)
}
