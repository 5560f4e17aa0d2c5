//! `beckon keys`.

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::{
    client::{Client, Connection, escape},
    output,
};

/// Make, list and remove API keys of a running server. Needs an admin key.
#[derive(Args)]
pub(crate) struct Keys {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Make a key; its secret is shown this once
    Create {
        /// What it may do
        #[arg(long)]
        role: RoleName,
        /// What to call it
        #[arg(long, default_value = "")]
        name: String,
    },
    /// List the keys
    List,
    /// Remove a key
    Delete {
        /// Its id, as `list` shows it
        id: String,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum RoleName {
    /// For apps
    Publishable,
    /// Reads
    Viewer,
    /// Reads and writes geofences, campaigns and customers
    Marketer,
    /// Also operates
    Operator,
    /// Everything
    Admin,
}

impl Keys {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let client = Client::new(&self.connection)?;
        match self.what {
            What::Create { role, name } => {
                let role = role
                    .to_possible_value()
                    .map(|role| role.get_name().to_owned())
                    .unwrap_or_default();
                let key = client.send("POST", "/v1/keys", &json!({"role": role, "name": name}))?;
                output::line(key["key"].as_str().unwrap_or_default())?;
            }
            What::List => {
                let keys = client.get("/v1/keys")?;
                for key in keys["items"].as_array().into_iter().flatten() {
                    let field = |name: &str| key[name].as_str().unwrap_or_default().to_owned();
                    let columns = [field("id"), field("role"), field("createdAt"), field("name")];
                    output::line(format!(
                        "{:<18} {:<12} {}  {}",
                        columns[0], columns[1], columns[2], columns[3]
                    ))?;
                }
            }
            What::Delete { id } => {
                client.send("DELETE", &format!("/v1/keys/{}", escape(&id)), &json!(null))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
