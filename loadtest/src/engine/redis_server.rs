//! A Redis of the run's own, with its file synced every second.

use std::{
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

/// Ends with its value.
pub(crate) struct RedisServer {
    child: Child,
    port: u16,
}

/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(10);

impl RedisServer {
    pub(crate) fn start(folder: &Path) -> anyhow::Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--appendonly", "yes", "--appendfsync", "everysec", "--save", ""])
            .arg("--dir")
            .arg(folder)
            .stdout(Stdio::null())
            .spawn()
            .context("redis-server can't be started; install it, or leave it out with --stores sqlite")?;
        let server = Self { child, port };
        let start = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if start.elapsed() > PATIENCE {
                bail!("redis-server did not start within {PATIENCE:?}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn address(&self) -> (Ipv4Addr, u16) {
        (Ipv4Addr::LOCALHOST, self.port)
    }

    /// Makes a script known and tells its hash.
    pub(crate) fn load_script(&self, text: &str) -> anyhow::Result<String> {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string(), "script", "load", text])
            .output()
            .context("redis-cli can't be started")?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// A figure of `INFO memory`, in bytes.
    pub(crate) fn used_memory(&self) -> anyhow::Result<u64> {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string(), "info", "memory"])
            .output()
            .context("redis-cli can't be started")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find_map(|line| line.strip_prefix("used_memory:"));
        Ok(line.context("redis-cli's output has changed")?.trim().parse()?)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}
