//! Servers for tests in this process, with a clock that the test turns, and a client of their API.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Once,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use beckon::{
    app::{Server, SystemClock},
    config::Config,
    domain::time::{DurationMs, Timestamp},
    engine::ports::Clock,
    push::sandbox::{Arrival, Sandbox, SandboxOptions},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

pub(crate) const ADMIN_KEY: &str = "sk_test_admin_0123456789";
/// Whatever is waited for must come within this.
const PATIENCE: Duration = Duration::from_secs(30);

/// A clock that starts at the real time and is turned by hand.
pub(crate) struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

impl TestClock {
    fn start() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(SystemClock.now().0)))
    }

    pub(crate) fn advance(&self, by: DurationMs) {
        self.0.fetch_add(by.0, Ordering::SeqCst);
    }

    /// So many seconds from now, as check-ins have it.
    pub(crate) fn now_text(&self, seconds: i64) -> String {
        Timestamp(self.now().0 + 1000 * seconds).to_string()
    }
}

/// Installs the one TLS provider, once a process.
pub(crate) fn install_tls() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        rustls::crypto::aws_lc_rs::default_provider()
            .install_default()
            .expect("the only provider");
    });
}

/// A server and a gateway in this process.
pub(crate) struct World {
    pub(crate) clock: Arc<TestClock>,
    pub(crate) api: Api,
    server: Option<Server>,
    sandbox: Option<Sandbox>,
    runtime: Runtime,
    folder: Option<TempDir>,
}

impl World {
    pub(crate) fn start() -> Self {
        Self::start_with(|_| {}, |_| {})
    }

    pub(crate) fn start_with(change: impl FnOnce(&mut SandboxOptions), configure: impl FnOnce(&mut Config)) -> Self {
        install_tls();
        let folder = tempfile::tempdir().expect("a folder");
        let runtime = Runtime::new().expect("threads");
        let clock = TestClock::start();
        Self::start_in(folder, runtime, clock, change, configure)
    }

    /// The same server anew on what it has stored.
    pub(crate) fn restart(mut self) -> Self {
        self.stop();
        let folder = self.folder.take().expect("a folder");
        let clock = Arc::clone(&self.clock);
        Self::start_in(folder, Runtime::new().expect("threads"), clock, |_| {}, |_| {})
    }

    fn start_in(
        folder: TempDir,
        runtime: Runtime,
        clock: Arc<TestClock>,
        change: impl FnOnce(&mut SandboxOptions),
        configure: impl FnOnce(&mut Config),
    ) -> Self {
        let shared: Arc<dyn Clock> = Arc::<TestClock>::clone(&clock);
        let mut options = SandboxOptions::new(folder.path().join("gateway"), Arc::clone(&shared));
        change(&mut options);
        let sandbox = runtime.block_on(Sandbox::start(options)).expect("a gateway");
        let mut config = Config::load(Some(&sandbox.files().config)).expect("settings");
        config.http.listen = "127.0.0.1:0".parse().expect("an address");
        config.http.workers = 1;
        config.store.url = format!("sqlite:{}", folder.path().join("store").display());
        config.dispatch.sweep = DurationMs(20);
        config.timers.sweep = DurationMs(20);
        configure(&mut config);
        let server = runtime
            .block_on(Server::start(&config, shared, Some(ADMIN_KEY)))
            .expect("a server");
        let api = Api {
            base: server.url(),
            key: ADMIN_KEY.to_owned(),
        };
        Self {
            clock,
            api,
            server: Some(server),
            sandbox: Some(sandbox),
            runtime,
            folder: Some(folder),
        }
    }

    /// What the gateway has taken, oldest first.
    pub(crate) fn accepted(&self) -> Vec<Arc<Arrival>> {
        let sandbox = self.sandbox.as_ref().expect("a gateway");
        sandbox
            .arrivals()
            .into_iter()
            .filter(|arrival| arrival.status == 200)
            .collect()
    }

    pub(crate) fn arrivals(&self) -> Vec<Arc<Arrival>> {
        self.sandbox.as_ref().expect("a gateway").arrivals()
    }

    /// All rows of these tables of the embedded store, each as a text.
    pub(crate) fn rows(&self, tables: &[&str]) -> Vec<String> {
        let file = self
            .folder
            .as_ref()
            .expect("a folder")
            .path()
            .join("store/beckon.sqlite3");
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let connection = rusqlite::Connection::open_with_flags(file, flags).expect("the store");
        let mut all = Vec::new();
        for table in tables {
            let mut select = connection.prepare(&format!("SELECT * FROM {table}")).expect("a table");
            let columns = select.column_count();
            let mut rows = select.query([]).expect("rows");
            while let Some(row) = rows.next().expect("a row") {
                let mut text = format!("{table}:");
                for column in 0..columns {
                    let value = row.get_ref(column).expect("a value");
                    let bytes = value.as_bytes_or_null().ok().flatten().unwrap_or_default();
                    text += &String::from_utf8_lossy(bytes);
                    text.push('|');
                }
                all.push(text);
            }
        }
        all
    }

    /// Waits until every delivery has ended.
    pub(crate) fn wait_until_sent(&self) {
        wait_for("every delivery to end", || self.api.get("/v1/status")["outbox"] == 0);
    }

    /// The deliveries of a user, oldest first: campaign, state, reason.
    pub(crate) fn deliveries(&self, user: &str) -> Vec<(String, String, Option<String>)> {
        let list = self.api.get(&format!("/v1/deliveries?userId={user}&limit=1000"));
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let rows = list["items"].as_array().expect("items").iter().rev();
        rows.map(|row| {
            (
                text(&row["campaign"]).unwrap_or_default(),
                text(&row["state"]).unwrap_or_default(),
                text(&row["reason"]),
            )
        })
        .collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop();
    }
}

impl World {
    fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            self.runtime.block_on(server.stop());
        }
        if let Some(sandbox) = self.sandbox.take() {
            self.runtime.block_on(sandbox.stop());
        }
    }
}

/// Waits until `happened`, looking often.
pub(crate) fn wait_for(what: &str, mut happened: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !happened() {
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        std::thread::yield_now();
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A client of the API.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) base: String,
    pub(crate) key: String,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) warning: Option<String>,
    pub(crate) kind: String,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: Value,
}

impl Api {
    pub(crate) fn with_key(&self, key: &str) -> Self {
        Self {
            base: self.base.clone(),
            key: key.to_owned(),
        }
    }

    /// Makes a request; `None` when the server can't be reached or the answer broke off.
    pub(crate) fn try_call(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> Option<Answer> {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .build()
            .new_agent();
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base));
        if !self.key.is_empty() {
            request = request.header("Authorization", format!("Bearer {}", self.key));
        }
        if !kind.is_empty() {
            request = request.header("Content-Type", kind);
        }
        let mut response = agent.run(request.body(body).expect("a request")).ok()?;
        let header = |name: &str| {
            response
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        let (warning, kind) = (header("Beckon-Warning"), header("Content-Type").unwrap_or_default());
        let retry_after = header("Retry-After");
        let status = response.status().as_u16();
        let text = response.body_mut().read_to_string().ok()?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Some(Answer {
            status,
            warning,
            kind,
            retry_after,
            body,
        })
    }

    pub(crate) fn call(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> Answer {
        self.try_call(method, path, kind, body).expect("an answer")
    }

    pub(crate) fn json(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.call(method, path, "application/json", body.to_string().as_bytes())
    }

    /// The body of an answer that must say yes.
    pub(crate) fn ok(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = self.json(method, path, body);
        assert!((200..300).contains(&answer.status), "{method} {path}: {answer:?}");
        answer.body
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        let answer = self.call("GET", path, "", &[]);
        assert_eq!(answer.status, 200, "GET {path}: {answer:?}");
        answer.body
    }

    /// Posts check-ins, an object or an array, and gives back the results.
    pub(crate) fn check_in(&self, body: &Value) -> Vec<Value> {
        self.ok("POST", "/v1/check-ins", body)["results"]
            .as_array()
            .expect("results")
            .clone()
    }

    /// Uploads circles: tag, external id, latitude, longitude, radius in metres.
    pub(crate) fn put_circles(&self, set: &str, circles: &[(&str, &str, f64, f64, f64)]) {
        let features: Vec<Value> = circles
            .iter()
            .map(|(tag, id, latitude, longitude, radius)| {
                json!({
                    "type": "Feature",
                    "properties": {"tag": tag, "externalId": id, "radius": radius},
                    "geometry": {"type": "Point", "coordinates": [longitude, latitude]},
                })
            })
            .collect();
        let body = json!({"type": "FeatureCollection", "features": features});
        self.ok("PUT", &format!("/v1/geofence-sets/{set}"), &body);
    }

    /// A campaign that pushes everybody who does `on` at geofences of `tag`; `extra` adds fields.
    pub(crate) fn put_campaign(&self, id: &str, on: &str, tag: &str, extra: &Value) {
        let mut campaign = json!({
            "id": id, "trigger": {"on": on, "geofences": {"tag": tag}},
            "offers": [{"message": {"en": {"title": id, "body": "for {{ user.name | default('you') }}"}}}],
        });
        for (field, value) in extra.as_object().into_iter().flatten() {
            campaign[field] = value.clone();
        }
        self.ok("PUT", &format!("/v1/campaigns/{id}"), &campaign);
    }

    /// Registers a phone with a push token; an iPhone when `user` has an even length.
    pub(crate) fn put_phone(&self, device: &str, user: &str) {
        self.ok("PUT", &format!("/v1/devices/{device}"), &registration(device, user));
    }
}

/// A phone's registration, with its push token.
pub(crate) fn registration(device: &str, user: &str) -> Value {
    let (platform, token) = if user.len().is_multiple_of(2) {
        let token = format!("{}{}", hex(device), "a".repeat(64));
        ("ios", token.chars().take(64).collect())
    } else {
        ("android", format!("{device}:{}", "t".repeat(140)))
    };
    json!({"platform": platform, "app": "app.beckon.test", "pushToken": token, "userId": user})
}

fn hex(text: &str) -> String {
    text.bytes()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// A check-in with a position.
pub(crate) fn fix(device: &str, latitude: f64, longitude: f64) -> Value {
    json!({"deviceId": device, "location": {"latitude": latitude, "longitude": longitude}})
}

/// Types of a result's events, short.
pub(crate) fn kinds(result: &Value) -> Vec<String> {
    let events = result["events"].as_array().expect("events").iter();
    let kind = |event: &Value| {
        let kind = event["type"]
            .as_str()
            .expect("a type")
            .trim_start_matches("user.")
            .replace("_geofence", "");
        format!("{kind} {}", event["geofence"]["externalId"].as_str().expect("an id"))
    };
    events.map(kind).collect()
}

/// The folder of real data, or `None` and a line that says so.
pub(crate) fn real_data(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("BECKON_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
        PathBuf::from,
    );
    if folder.is_dir() {
        return Some(folder);
    }
    println!(
        "skipped: {test} needs the data folder (BECKON_DATA), and {} is none",
        folder.display()
    );
    None
}
