//! What Redis can do by itself: records of the same size are read and committed by Beckon's own script, one after the other
//! on each connection, over records that are there already. `redis-benchmark` can't do that, since it does not read
//! what version a record has.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    task::JoinSet,
};

use super::{FACT_BYTES, RedisServer};

/// The script that Beckon commits with.
const COMMIT: &str = concat!(
    include_str!("../../../src/store/redis/lua/swap.lua"),
    include_str!("../../../src/store/redis/lua/waiting.lua"),
    include_str!("../../../src/store/redis/lua/appending.lua"),
    include_str!("../../../src/store/redis/lua/commit.lua"),
);
/// Commits in one run of the script, as in Beckon.
const SCRIPT_COMMITS: usize = 16;
/// Partitions, as in Beckon.
const PARTITIONS: usize = 256;

/// What is written.
#[derive(Clone, Copy)]
pub(super) struct Rows {
    /// Phones whose records are written in turns.
    pub(super) phones: usize,
    /// Bytes of a record.
    pub(super) bytes: usize,
    /// Whether each commit has a fact, a stay and a wish to be woken.
    pub(super) has_facts: bool,
}

/// Reads with a commit each a second, over `clients` connections with `array` of them under way on each.
pub(super) async fn redis(
    server: &RedisServer,
    clients: usize,
    array: usize,
    rows: Rows,
    budget: Duration,
) -> anyhow::Result<f64> {
    let sha = server.load_script(COMMIT)?;
    let run = async |budget: Option<Duration>| {
        let (start, done) = (Instant::now(), Arc::new(AtomicU64::new(0)));
        let mut all = JoinSet::new();
        for client in 0..clients {
            let mut connection = Connection::open(server, &sha, rows).await?;
            let done = Arc::clone(&done);
            all.spawn(async move {
                let mine: Vec<usize> = (client..rows.phones).step_by(clients).collect();
                let mut next = 0;
                while budget.map_or(next < mine.len(), |budget| start.elapsed() < budget) {
                    let is_inside = (next / mine.len()).is_multiple_of(2);
                    let batch: Vec<usize> = (next..next + array).map(|at| mine[at % mine.len()]).collect();
                    next += array;
                    connection.swap(&batch, is_inside).await?;
                    done.fetch_add(batch.len() as u64, Ordering::Relaxed);
                }
                Ok::<_, anyhow::Error>(())
            });
        }
        while let Some(client) = all.join_next().await {
            client??;
        }
        Ok::<_, anyhow::Error>(done.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64())
    };
    // Everybody is known before it is measured.
    run(None).await?;
    run(Some(budget)).await
}

/// A connection with the commands that wait to be sent on it.
struct Connection {
    stream: BufReader<TcpStream>,
    commands: Vec<u8>,
    sha: String,
    rows: Rows,
    commits: u64,
}

impl Connection {
    async fn open(server: &RedisServer, sha: &str, rows: Rows) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(server.address()).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::with_capacity(64 * 1024, stream),
            commands: Vec::new(),
            sha: sha.to_owned(),
            rows,
            commits: 0,
        })
    }

    /// Reads these records and swaps each.
    async fn swap(&mut self, phones: &[usize], is_inside: bool) -> anyhow::Result<()> {
        for &phone in phones {
            let key = format!("{}:s:default\0d:phone-{phone}", partition(phone));
            self.command(&[b"GET", key.as_bytes()]);
        }
        self.send().await?;
        let mut versions = Vec::with_capacity(phones.len());
        for _ in phones {
            let record = self.answer().await?.into_iter().next().unwrap_or_default();
            versions.push(record.first_chunk().map_or(0, |version| u64::from_be_bytes(*version)));
        }
        for (phones, versions) in phones.chunks(SCRIPT_COMMITS).zip(versions.chunks(SCRIPT_COMMITS)) {
            self.commit(phones, versions, is_inside);
        }
        self.send().await?;
        for phones in phones.chunks(SCRIPT_COMMITS) {
            let answers = self.answer().await?;
            if answers.len() < phones.len() || answers[..phones.len()].iter().any(|answer| answer != b"D") {
                bail!("raw commits were answered {answers:?}");
            }
        }
        Ok(())
    }

    /// One run of the script.
    fn commit(&mut self, phones: &[usize], versions: &[u64], is_inside: bool) {
        let count = phones.len().to_string();
        let never = format!("{}:never", partition(phones[0]));
        let (record, fact) = (vec![7; self.rows.bytes + 1], "f".repeat(FACT_BYTES));
        let since = if is_inside { "1900000000000" } else { "" };
        let (mut swaps, mut more): (Vec<Vec<u8>>, Vec<Vec<u8>>) = (Vec::new(), Vec::new());
        for (&phone, version) in phones.iter().zip(versions) {
            self.commits += 1;
            let id = ((phone as u64) << 32) | self.commits;
            let swap = [*version, version + 1, id].map(u64::to_be_bytes).concat();
            let wake_at = if self.rows.has_facts { since } else { "" };
            swaps.push(partition(phone).into());
            swaps.push(format!("default\0d:phone-{phone}").into());
            // No devices were reserved.
            swaps.extend([swap, record.clone(), wake_at.into(), Vec::new()]);
            swaps.push(if self.rows.has_facts { "14".into() } else { "0".into() });
            if self.rows.has_facts {
                // Nothing is erased; no topics are followed or no longer followed, no deliveries; a fact; a stay.
                more.extend(["default", &format!("d:phone-{phone}"), "0", "0", "0", "0"].map(Vec::from));
                more.extend(["1", &format!("c{id}"), &fact].map(Vec::from));
                let evidence = if is_inside { "gps" } else { "" };
                more.extend(["1", "place", &format!("phone-{phone}"), since, evidence].map(Vec::from));
            }
        }
        let (sha, key) = (self.sha.clone(), partition(phones[0]));
        let mut parts: Vec<&[u8]> = vec![b"EVALSHA", sha.as_bytes(), b"2", key.as_bytes(), never.as_bytes()];
        // Not sent before.
        parts.extend([b"0", count.as_bytes()]);
        parts.extend(swaps.iter().map(Vec::as_slice));
        if !more.is_empty() {
            // How long all is kept.
            parts.push(b"7776000000");
            parts.extend(more.iter().map(Vec::as_slice));
        }
        self.command(&parts);
    }

    fn command(&mut self, parts: &[&[u8]]) {
        self.commands
            .extend_from_slice(format!("*{}\r\n", parts.len()).as_bytes());
        for part in parts {
            self.commands
                .extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
            self.commands.extend_from_slice(part);
            self.commands.extend_from_slice(b"\r\n");
        }
    }

    async fn send(&mut self) -> anyhow::Result<()> {
        self.stream.get_mut().write_all(&self.commands).await?;
        self.commands.clear();
        Ok(())
    }

    /// One answer: a list's items, or what is no list.
    async fn answer(&mut self) -> anyhow::Result<Vec<Vec<u8>>> {
        let (mut wanted, mut items) = (1_usize, Vec::new());
        while wanted > 0 {
            wanted -= 1;
            let mut line = Vec::new();
            self.stream.read_until(b'\n', &mut line).await?;
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            let (kind, rest) = text.split_at_checked(1).context("Redis went away")?;
            match kind {
                "*" => wanted += rest.parse::<usize>()?,
                "$" if rest == "-1" => items.push(Vec::new()),
                "$" => {
                    let mut value = vec![0; rest.parse::<usize>()? + 2];
                    self.stream.read_exact(&mut value).await?;
                    value.truncate(value.len() - 2);
                    items.push(value);
                }
                "-" => bail!("Redis answered {rest}"),
                _ => items.push(rest.as_bytes().to_vec()),
            }
        }
        Ok(items)
    }
}

fn partition(phone: usize) -> String {
    format!("{{raw:p{:04}}}", phone % PARTITIONS)
}
