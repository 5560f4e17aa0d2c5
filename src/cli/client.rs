//! A client of a running server, for the other commands.

use std::{
    fs::File,
    io::{Read, Seek as _, SeekFrom},
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::Args;
use indicatif::ProgressBar;
use serde_json::Value;

/// A request that fails for a reason that may pass is made again so often.
const TRIES_MAX: u32 = 5;
/// A request has ended after this.
const TIMEOUT: Duration = Duration::from_mins(2);

/// Longest answer that is read whole.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;

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
        Self::again_when_busy(|| {
            let request = self.builder(method, path, kind).body(body);
            self.run(
                request.with_context(|| format!("`{}{path}` is no URL", self.base))?,
                Some(TIMEOUT),
            )
        })
    }

    /// Sends a file, however long that takes, and shows on `bar` how far it is.
    pub(crate) fn upload(
        &self,
        method: &str,
        path: &str,
        kind: &str,
        mut file: &File,
        bar: &ProgressBar,
    ) -> anyhow::Result<Answer> {
        Self::again_when_busy(|| {
            file.seek(SeekFrom::Start(0)).context("the file can't be read again")?;
            let length = file.metadata().context("the file's length is unknown")?.len();
            bar.set_position(0);
            let mut body = Sent { file, bar, length };
            let request = self
                .builder(method, path, kind)
                .header("Content-Length", length)
                .body(ureq::SendBody::from_reader(&mut body))
                .with_context(|| format!("`{}{path}` is no URL", self.base))?;
            self.run(request, None)
        })
    }

    /// Gets a body of any length as a stream.
    pub(crate) fn download(&self, path: &str) -> anyhow::Result<impl Read + use<>> {
        let request = self.builder("GET", path, "application/json").body(());
        let request = request.with_context(|| format!("`{}{path}` is no URL", self.base))?;
        let mut response = self.send_off(request, None)?;
        let status = response.status().as_u16();
        if status != 200 {
            let body = read_body(&mut response)?;
            Answer { status, body }.success()?;
        }
        Ok(response.into_body().into_reader())
    }

    fn builder(&self, method: &str, path: &str, kind: &str) -> ureq::http::request::Builder {
        ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("Authorization", format!("Bearer {}", self.key))
            .header("Content-Type", kind)
    }

    fn again_when_busy(mut ask: impl FnMut() -> anyhow::Result<Answer>) -> anyhow::Result<Answer> {
        for attempt in 1..TRIES_MAX {
            let answer = ask()?;
            if answer.status != 503 {
                return Ok(answer);
            }
            std::thread::sleep(Duration::from_millis(250) * attempt);
        }
        ask()
    }

    fn send_off(
        &self,
        request: ureq::http::Request<impl ureq::AsSendBody>,
        timeout: Option<Duration>,
    ) -> anyhow::Result<ureq::http::Response<ureq::Body>> {
        let request = self.agent.configure_request(request).timeout_global(timeout).build();
        self.agent
            .run(request)
            .with_context(|| format!("can't reach the server at {}", self.base))
    }

    fn run(
        &self,
        request: ureq::http::Request<impl ureq::AsSendBody>,
        timeout: Option<Duration>,
    ) -> anyhow::Result<Answer> {
        let mut response = self.send_off(request, timeout)?;
        let status = response.status().as_u16();
        let body = read_body(&mut response)?;
        Ok(Answer { status, body })
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

/// A file that is sent, and the bar that shows how much of it.
struct Sent<'a> {
    file: &'a File,
    bar: &'a ProgressBar,
    length: u64,
}

impl Read for Sent<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.bar.inc(read as u64);
        if self.bar.position() >= self.length {
            self.bar.set_message("sent; the server is reading it");
        }
        Ok(read)
    }
}

/// JSON; null when it is empty or something else.
fn read_body(response: &mut ureq::http::Response<ureq::Body>) -> anyhow::Result<Value> {
    let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX);
    let text = body.read_to_string().context("the answer broke off")?;
    Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
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
