//! `beckon dead-letters`.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    client::{Client, Connection, escape},
    output,
};

/// Look at pushes that were set aside, and queue them anew. Needs an operator's key.
///
/// A push is set aside when its row can't be read, or when whoever took it died ten times in a row.
#[derive(Args)]
pub(crate) struct DeadLetters {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// List them, newest first
    List {
        /// Print JSON, a line each
        #[arg(long)]
        json: bool,
    },
    /// Queue some of them anew
    Requeue {
        /// Their ids, as `list` shows them
        #[arg(required_unless_present = "all")]
        ids: Vec<String>,
        /// Every one
        #[arg(long, conflicts_with = "ids")]
        all: bool,
    },
}

/// Calls `each` for every dead letter there is now.
fn for_each(client: &Client, mut each: impl FnMut(&Value) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut cursor = String::new();
    loop {
        let page = client.get(&format!("/v1/dead-letters?limit=1000{cursor}"))?;
        page["items"].as_array().into_iter().flatten().try_for_each(&mut each)?;
        let Some(next) = page["nextCursor"].as_str() else {
            return Ok(());
        };
        cursor = format!("&cursor={}", escape(next));
    }
}

impl DeadLetters {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let client = Client::new(&self.connection)?;
        match self.what {
            What::List { json } => for_each(&client, |letter| {
                let field = |name: &str| letter[name].as_str().unwrap_or_default();
                if json {
                    output::line(letter)?;
                } else {
                    output::line(format!("{}  {}  {}", field("id"), field("at"), field("reason")))?;
                }
                Ok(())
            })?,
            What::Requeue { mut ids, all } => {
                if all {
                    for_each(&client, |letter| {
                        ids.extend(letter["id"].as_str().map(str::to_owned));
                        Ok(())
                    })?;
                }
                for id in &ids {
                    client.send(
                        "POST",
                        &format!("/v1/dead-letters/{}/requeue", escape(id)),
                        &json!(null),
                    )?;
                }
                output::line(format!("{} queued anew", ids.len()))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
