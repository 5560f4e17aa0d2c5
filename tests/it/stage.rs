//! A gateway that lives on while servers are killed, and what it has to say of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    harness::{ADMIN_KEY, Api, wait_for},
    process::Process,
};

/// A gateway that lives on while the server dies.
pub(crate) struct Stage {
    gateway: Process,
    folder: TempDir,
    pub(crate) store: String,
}

impl Stage {
    pub(crate) fn set() -> Self {
        let mut stage = Self::set_on("");
        stage.store = format!("sqlite:{}", stage.path("store").display());
        stage
    }

    pub(crate) fn set_on(store: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().join("gateway");
        let dir = dir.to_str().expect("a path");
        let arguments = [
            "sandbox",
            "--dir",
            dir,
            "--listen",
            "127.0.0.1:0",
            "--http-listen",
            "127.0.0.1:0",
            "--log-entries",
            "300000",
        ];
        Self {
            gateway: Process::start(&arguments, "server "),
            folder,
            store: store.to_owned(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn serve(&self) -> (Process, Api) {
        self.serve_with("gateway/beckon.toml")
    }

    /// The settings with other providers and shorter leases, for a store whose leases nobody frees at the start.
    pub(crate) fn write_settings(&self, name: &str, providers: Option<&str>) {
        let config = fs::read_to_string(self.path("gateway/beckon.toml")).expect("settings");
        let mut settings: String = config
            .lines()
            .map(|line| match providers {
                Some(url) if line.starts_with("base_url") => format!("base_url = \"{url}\"\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        if !self.store.starts_with("sqlite:") {
            settings += "[dispatch]\nsend_timeout = \"PT1S\"\nlease = \"PT3S\"\n";
            // The tests' customers jump from place to place.
            settings += "[presence]\nspeed_max_km_per_h = 1e9\n";
        }
        fs::write(self.path(name), settings).expect("written");
    }

    /// A server on the stage's store with the settings in that file.
    pub(crate) fn serve_with(&self, config: &str) -> (Process, Api) {
        self.serve_among(config, &[])
    }

    /// The same with more variables.
    pub(crate) fn serve_among(&self, config: &str, variables: &[(&str, &str)]) -> (Process, Api) {
        let config = self.path(config);
        let config = config.to_str().expect("a path");
        let arguments = [
            "serve",
            "--config",
            config,
            "--listen",
            "127.0.0.1:0",
            "--store",
            &self.store,
        ];
        let server = Process::start_with(&arguments, variables, "listens on");
        let api = Api {
            base: server.word_after("listens on "),
            key: ADMIN_KEY.to_owned(),
        };
        (server, api)
    }

    /// What the gateway took: delivery and whether it replaced an earlier one on the phone.
    pub(crate) fn accepted(&self) -> Vec<(String, bool)> {
        let delivery = |entry: &Value| entry["data"]["deliveryId"].as_str().expect("an id").to_owned();
        let arrivals = self.arrivals().into_iter();
        arrivals
            .map(|entry| (delivery(&entry), !entry["replaces"].is_null()))
            .collect()
    }

    /// The gateway's log of what it took, oldest first.
    pub(crate) fn arrivals(&self) -> Vec<Value> {
        let entries = self.log().into_iter();
        entries.filter(|entry| entry["status"] == 200).collect()
    }

    /// Every request that the gateway still remembers.
    pub(crate) fn log(&self) -> Vec<Value> {
        let log = self.log_api();
        let (mut entries, mut after) = (Vec::new(), 0);
        loop {
            let page = log.get(&format!("/log?after={after}&limit=1000"));
            let items = page["items"].as_array().expect("items");
            let Some(last) = items.last() else { return entries };
            after = last["seq"].as_u64().expect("a number");
            entries.extend(items.iter().cloned());
        }
    }

    /// Where the gateway's log is.
    pub(crate) fn log_api(&self) -> Api {
        Api {
            base: self.gateway.word_after("curl '").trim_end_matches("/log").to_owned(),
            key: String::new(),
        }
    }

    /// Where providers' clients connect to.
    pub(crate) fn gateway_url(&self) -> String {
        self.gateway.word_after("pushes on ")
    }

    /// Checks the gateway's log against the server's deliveries: each accepted delivery arrived; one that arrived more
    /// than once had been in doubt and replaced itself on the phone, so that one notification stands.
    pub(crate) fn judge(&self, api: &Api) -> usize {
        wait_for("every delivery to end", || api.get("/v1/status")["outbox"] == 0);
        let mut attempts: BTreeMap<String, u64> = BTreeMap::new();
        let mut cursor = String::new();
        loop {
            let page = api.get(&format!("/v1/deliveries?limit=1000{cursor}"));
            for row in page["items"].as_array().expect("items") {
                assert_eq!(row["state"], "accepted", "{row}");
                attempts.insert(
                    row["id"].as_str().expect("an id").to_owned(),
                    row["attempts"].as_u64().unwrap_or(0),
                );
            }
            let Some(next) = page["nextCursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        let mut arrived: BTreeSet<String> = BTreeSet::new();
        let mut doubled = 0;
        for (delivery, replaces) in self.accepted() {
            let first = arrived.insert(delivery.clone());
            assert_eq!(
                first, !replaces,
                "a second request for {delivery} must replace the first on the phone"
            );
            doubled += usize::from(!first);
            assert!(
                first || attempts[&delivery] > 1,
                "{delivery} arrived twice and was never in doubt"
            );
        }
        assert_eq!(
            arrived,
            attempts.keys().cloned().collect::<BTreeSet<_>>(),
            "lost or invented"
        );
        println!(
            "{} deliveries arrived; {doubled} requests in doubt were made again and arrived again",
            arrived.len()
        );
        arrived.len()
    }
}
