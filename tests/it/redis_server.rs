//! Real Redis servers for tests: on free ports, with an append-only file, gone with the test however it ends.
//! `BECKON_REDIS_SERVER` names another program, such as `valkey-server`.

use std::{
    io::{BufRead as _, BufReader},
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// A server or a cluster must be ready within this.
const PATIENCE: Duration = Duration::from_secs(30);
/// Slots of a cluster.
const SLOTS: usize = 16_384;
const NODES: usize = 3;
/// With `everysec` Redis answers before it has written while the disk is busy, and a kill at that moment loses it.
/// Replicas follow at once, not after the usual five seconds.
const DURABLE: [&str; 6] = [
    "--appendonly",
    "yes",
    "--appendfsync",
    "always",
    "--repl-diskless-sync-delay",
    "0",
];

/// One `redis-server`.
pub(crate) struct Redis {
    pub(crate) port: u16,
    bus_port: u16,
    options: Vec<String>,
    /// A shell that kills the server when its input ends, so that it never outlives the test.
    keeper: Option<Child>,
    pid: u32,
    folder: TempDir,
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

impl Redis {
    pub(crate) fn start() -> Self {
        Self::start_with(&DURABLE)
    }

    pub(crate) fn start_with(options: &[&str]) -> Self {
        let mut redis = Self {
            port: free_port(),
            bus_port: free_port(),
            options: options.iter().map(|&option| option.to_owned()).collect(),
            keeper: None,
            pid: 0,
            folder: tempfile::tempdir().expect("a folder"),
        };
        redis.run();
        redis
    }

    /// Starts the server, on what it had.
    fn run(&mut self) {
        let script = "\"$0\" \"$@\" </dev/null >&2 & echo $!; cat >/dev/null; kill -9 $! 2>/dev/null; wait";
        let server = std::env::var("BECKON_REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
        let mut keeper = Command::new("sh");
        keeper.args(["-c", script, &server, "--bind", "127.0.0.1", "--save", "", "--dir"]);
        keeper.arg(self.folder.path());
        keeper.args([
            "--port",
            &self.port.to_string(),
            "--cluster-port",
            &self.bus_port.to_string(),
        ]);
        keeper.args(&self.options);
        let log = std::fs::File::create(self.folder.path().join("log")).expect("a log");
        let started = keeper.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).spawn();
        let mut child = started.expect("a shell");
        let mut line = String::new();
        let output = child.stdout.take().expect("its output");
        BufReader::new(output).read_line(&mut line).expect("a line");
        self.pid = line.trim().parse().expect("a process id");
        self.keeper = Some(child);
        self.wait_until("it answers", || self.cli(&["ping"]).trim() == "PONG");
    }

    fn wait_until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so() {
            let log = || std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(
                Instant::now() < deadline,
                "redis-server: not within {PATIENCE:?}: {what}: {}",
                log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs `redis-cli`; what it printed.
    pub(crate) fn cli(&self, arguments: &[&str]) -> String {
        let mut cli = Command::new("redis-cli");
        cli.args(["-p", &self.port.to_string()]).args(arguments);
        let output = cli.output().expect("redis-cli, which comes with redis-server");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Its URL as a store, with parameters.
    pub(crate) fn url(&self, parameters: &str) -> String {
        format!("redis://127.0.0.1:{}?{parameters}", self.port)
    }

    /// A replica of this server.
    pub(crate) fn replica(&self) -> Self {
        let port = self.port.to_string();
        let replica = Self::start_with(&[&DURABLE[..], &["--replicaof", "127.0.0.1", &port]].concat());
        self.wait_for_replica();
        replica
    }

    /// Until the server counts a replica's acknowledgements, which it does somewhat later than the replica is up.
    fn wait_for_replica(&self) {
        self.wait_until("a replica has what it has", || {
            self.cli(&["info", "replication"]).contains("state=online")
        });
    }

    pub(crate) fn signal(&self, signal: &str) {
        Command::new("kill")
            .args([signal, &self.pid.to_string()])
            .status()
            .expect("kill");
    }

    /// kill -9, then the same server again.
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.run();
    }

    /// Whether it takes writes, as a cluster has it now.
    pub(crate) fn is_master(&self) -> bool {
        self.cli(&["role"]).starts_with("master")
    }

    /// Until a replica has everything that it has now.
    pub(crate) fn wait_for_copy(&self) {
        let number = |text: &str, name: &str| -> Option<u64> {
            let (_, rest) = text.split_once(name)?;
            rest.split(|byte: char| !byte.is_ascii_digit()).next()?.parse().ok()
        };
        let info = || self.cli(&["info", "replication"]);
        let written = number(&info(), "master_repl_offset:").expect("an offset");
        self.wait_until("a replica has everything", || {
            info().contains("state=online") && number(&info(), ",offset=").is_some_and(|copied| copied >= written)
        });
    }

    /// kill -9.
    pub(crate) fn stop(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            drop(keeper.stdin.take());
            keeper.wait().map(drop).unwrap_or_default();
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Three masters that share the slots.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Redis>,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        Self::start_with(Vec::new)
    }

    /// With more options for each node.
    pub(crate) fn start_with(options: impl Fn() -> Vec<String>) -> Self {
        let cluster = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"];
        let node = || {
            let own = options();
            let own = own.iter().map(String::as_str);
            Redis::start_with(&DURABLE.into_iter().chain(cluster).chain(own).collect::<Vec<_>>())
        };
        let nodes: Vec<Redis> = (0..NODES).map(|_| node()).collect();
        let share = SLOTS.div_ceil(NODES);
        for (number, node) in nodes.iter().enumerate() {
            let (first, last) = (number * share, (number * share + share).min(SLOTS) - 1);
            node.cli(&["cluster", "set-config-epoch", &(number + 1).to_string()]);
            node.cli(&["cluster", "addslotsrange", &first.to_string(), &last.to_string()]);
            for other in &nodes[..number] {
                let (port, bus_port) = (other.port.to_string(), other.bus_port.to_string());
                node.cli(&["cluster", "meet", "127.0.0.1", &port, &bus_port]);
            }
        }
        for node in &nodes {
            node.wait_until("the cluster is whole", || {
                let info = node.cli(&["cluster", "info"]);
                info.contains("cluster_state:ok") && info.contains(&format!("cluster_known_nodes:{NODES}"))
            });
        }
        Self { nodes }
    }

    /// A replica of one of the masters.
    pub(crate) fn replica_of(&self, master: usize) -> Redis {
        let master = &self.nodes[master];
        let options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"];
        let replica = Redis::start_with(&[&DURABLE[..], &options].concat());
        let (port, bus_port) = (master.port.to_string(), master.bus_port.to_string());
        replica.cli(&["cluster", "meet", "127.0.0.1", &port, &bus_port]);
        let name = master.cli(&["cluster", "myid"]);
        replica.wait_until("it knows its master", || {
            replica.cli(&["cluster", "replicate", name.trim()]).contains("OK")
        });
        master.wait_for_replica();
        replica
    }

    /// Its URL as a store, with parameters.
    pub(crate) fn url(&self, parameters: &str) -> String {
        let nodes: Vec<String> = self
            .nodes
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.port))
            .collect();
        format!("redis+cluster://{}?{parameters}", nodes.join(","))
    }
}
