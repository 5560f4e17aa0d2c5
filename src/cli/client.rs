//! A client of a running server, for the other commands.

use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::Value;

/// A request that fails for a reason that may pass is made again so often.
const TRIES_MAX: u32 = 5;
/// A request has ended after this.
const TIMEOUT: Duration = Duration::from_mins(2);

/// Where the server is, and as whom to talk to it.
#[derive(Args, Clone)]
pub(crate) struct Connection {
    /// URL of the server
    #[arg(long, env = "BECKON_URL", default_value = "http://127.0.0.1:8080")]
    pub(crate) server: String,
    /// Secret key (`sk_...`); the server prints one at its first start
    #[arg(long, env = "BECKON_KEY", hide_env_values = true)]
    pub(crate) key: Option<String>,
}

/// A client.
pub(crate) struct Client {
    agent: ureq::Agent,
    base: String,
    key: String,
}

/// An answer.
pub(crate) struct Answer {
    /// HTTP status.
    pub(crate) status: u16,
    /// Body; null when it is empty.
    pub(crate) body: Value,
}

impl Answer {
    /// The body of an answer that says yes; what is wrong otherwise.
    pub(crate) fn success(self) -> anyhow::Result<Value> {
        if (200..300).contains(&self.status) {
            return Ok(self.body);
        }
        let code = self.body["code"].as_str().unwrap_or("no code");
        let detail = self.body["detail"].as_str().unwrap_or("the server gave no reason");
        bail!("the server answered {} ({code}): {detail}", self.status)
    }
}

impl Client {
    /// A client for the server and key.
    pub(crate) fn new(connection: &Connection) -> anyhow::Result<Self> {
        let key = connection
            .key
            .clone()
            .context("no key: give one with --key or BECKON_KEY; `beckon serve` prints one at its first start")?;
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(TIMEOUT))
            .build()
            .new_agent();
        Ok(Self {
            agent,
            base: connection.server.trim_end_matches('/').to_owned(),
            key,
        })
    }

    /// Makes a request, and again where the server says that it can't do it now.
    pub(crate) fn request(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> anyhow::Result<Answer> {
        let url = format!("{}{path}", self.base);
        for attempt in 1.. {
            let request = ureq::http::Request::builder()
                .method(method)
                .uri(&url)
                .header("Authorization", format!("Bearer {}", self.key))
                .header("Content-Type", kind)
                .body(body)
                .with_context(|| format!("`{url}` is no URL"))?;
            let mut response = self
                .agent
                .run(request)
                .with_context(|| format!("can't reach the server at {}", self.base))?;
            let status = response.status().as_u16();
            if status == 503 && attempt < TRIES_MAX {
                std::thread::sleep(Duration::from_millis(250) * attempt);
                continue;
            }
            let text = response.body_mut().read_to_string().context("the answer broke off")?;
            let body = if text.is_empty() {
                Value::Null
            } else {
                serde_json::from_str(&text).unwrap_or(Value::Null)
            };
            return Ok(Answer { status, body });
        }
        bail!("the server can't do it now")
    }

    /// Sends JSON.
    pub(crate) fn send(&self, method: &str, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.request(method, path, "application/json", body.to_string().as_bytes())?
            .success()
    }

    /// Gets JSON.
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.request("GET", path, "application/json", &[])?.success()
    }
}

/// A text as one part of a path or query.
pub(crate) fn escape(text: &str) -> String {
    use std::fmt::Write as _;
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            write!(escaped, "%{byte:02X}").unwrap_or_default();
        }
    }
    escaped
}
