//! Other people's programs as the other side: an APNs client against the sandbox, a JWT library against our tokens.
//! `make prove-peers` fetches them; without them these tests say SKIPPED.

use std::{
    fs,
    io::Write as _,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use beckon::{
    app::SystemClock,
    domain::{
        delivery::{Environment, Message, Outcome, Platform, Push, PushTarget},
        ids::{AppId, DeliveryId, PushToken, WorkspaceId},
        time::{DurationMs, Timestamp},
    },
    engine::ports::{Clock, PushSender as _, SharedToken, SharedTokens, StoreError},
    push::{
        ApnsConfig, Providers,
        sandbox::{Sandbox, SandboxOptions},
    },
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::harness::install_tls;

/// Where `make prove-peers` has put them.
fn peers(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("BECKON_PEERS").map(PathBuf::from);
    if folder.is_none() {
        println!("SKIPPED: {test}, for BECKON_PEERS is not set (make prove-peers does)");
    }
    folder
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(name)
}

fn sandbox(runtime: &Runtime, folder: &Path) -> Sandbox {
    install_tls();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let options = SandboxOptions::new(folder.join("gateway"), clock);
    runtime.block_on(Sandbox::start(options)).expect("a gateway")
}

#[test]
fn node_apn_sends_to_the_sandbox_and_is_refused_as_by_apple() {
    let Some(peers) = peers("node-apn") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = Runtime::new().expect("threads");
    let sandbox = sandbox(&runtime, folder.path());
    let program = peers.join("node-apn.mjs");
    fs::copy(script("node-apn.mjs"), &program).expect("a script beside its modules");
    let url = sandbox.apns_url();
    let (host, port) = url.trim_start_matches("https://").split_once(':').expect("a port");
    let output = Command::new("node")
        .arg(&program)
        .args([host, port])
        .arg(sandbox.ca_pem_path())
        .arg(&sandbox.files().apns_key)
        .args([sandbox.key_id(), sandbox.team_id()])
        .stderr(Stdio::inherit())
        .output()
        .expect("node");
    let said: Value = serde_json::from_slice(&output.stdout).expect("one line of JSON");
    assert_eq!(
        said,
        json!({
            "sent": 200, "failed": 0,
            "reasons": {
                "token": "BadDeviceToken", "topic": "BadTopic", "collapse": "BadCollapseId", "priority": "BadPriority",
                "size": "PayloadTooLarge",
            },
        })
    );
    let page = sandbox.log_page(0, 1);
    assert_eq!((page.accepted, page.total, page.provider_tokens), (200, 205, 1));
    runtime.block_on(sandbox.stop());
}

/// A store that shows what it was given.
#[derive(Default)]
struct Open(Mutex<Option<String>>);

#[async_trait]
impl SharedTokens for Open {
    async fn share_token(
        &self,
        _: &str,
        ours: SharedToken,
        _: RangeInclusive<Timestamp>,
    ) -> Result<SharedToken, StoreError> {
        *self.0.lock().expect("not poisoned") = Some(ours.text.clone());
        Ok(ours)
    }
}

#[test]
fn pyjwt_verifies_our_provider_token() {
    let Some(peers) = peers("PyJWT") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = Runtime::new().expect("threads");
    let sandbox = sandbox(&runtime, folder.path());
    let read = |path: &Path| fs::read_to_string(path).expect("a file");
    let config = ApnsConfig {
        base_url: sandbox.apns_url(),
        sandbox_base_url: sandbox.apns_url(),
        ca_pem: Some(read(sandbox.ca_pem_path())),
        ..ApnsConfig::new(
            read(&sandbox.files().apns_key).into(),
            sandbox.key_id(),
            sandbox.team_id(),
        )
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let open = Arc::new(Open::default());
    let shared: Arc<dyn SharedTokens> = Arc::<Open>::clone(&open);
    let providers = Providers::new(Some(&config), None, &clock, &shared).expect("a client");
    let push = Push {
        delivery: DeliveryId(Uuid::from_u128(7)),
        workspace: WorkspaceId::new("default").expect("an id"),
        target: PushTarget {
            platform: Platform::Ios,
            app: AppId::new("com.example.app").expect("an id"),
            token: PushToken::new("ab".repeat(32)).expect("a token"),
            environment: Environment::Production,
            registered_at: Timestamp(0),
        },
        message: Message {
            title: "t".to_owned(),
            body: "b".to_owned(),
            shortened: false,
        },
        options: Arc::default(),
        data: Vec::new(),
        expires_at: clock.now().plus(DurationMs::from_secs(60)),
    };
    let before = clock.now().0 / 1000;
    let deadline = std::time::Duration::from_secs(20);
    let outcome = runtime.block_on(async { providers.send(&push, tokio::time::Instant::now() + deadline).await });
    assert!(matches!(outcome, Outcome::Accepted { .. }), "{outcome:?}");
    let token = open.0.lock().expect("not poisoned").take().expect("a token was made");

    let public = folder.path().join("public.pem");
    let openssl = Command::new("openssl")
        .args(["pkey", "-pubout", "-in"])
        .arg(&sandbox.files().apns_key)
        .arg("-out")
        .arg(&public)
        .status();
    assert!(openssl.expect("openssl").success());
    let mut python = Command::new(peers.join("venv/bin/python"))
        .arg(script("verify_token.py"))
        .arg(&public)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python");
    let mut stdin = python.stdin.take().expect("its input");
    stdin.write_all(token.as_bytes()).expect("written");
    drop(stdin);
    let output = python.wait_with_output().expect("its end");
    let said: Value = serde_json::from_slice(&output.stdout).expect("one line of JSON");
    assert_eq!(said["header"]["alg"], "ES256");
    assert_eq!(said["header"]["kid"], sandbox.key_id());
    assert_eq!(said["claims"]["iss"], sandbox.team_id());
    let iat = said["claims"]["iat"].as_i64().expect("a number");
    assert!((before..=before + 60).contains(&iat), "{iat}");
    runtime.block_on(sandbox.stop());
}
