//! Through somebody else's HTTP/2 server, which closes each connection after a thousand requests: nothing is lost, nothing
//! arrives twice.

use std::{
    collections::HashMap,
    fs,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use beckon::{
    app::SystemClock,
    domain::{
        delivery::{Environment, Message, Outcome, Platform, Push, PushTarget},
        ids::{AppId, DeliveryId, PushToken, WorkspaceId},
        time::{DurationMs, Timestamp},
    },
    engine::ports::{Clock, PushSender as _, SharedTokens},
    push::{
        ApnsConfig, Providers,
        sandbox::{Sandbox, SandboxOptions},
    },
    store::OneProcess,
};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::harness::{install_tls, wait_for};

/// Pushes under way at once.
const IN_FLIGHT: usize = 400;

struct Nginx(Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        self.0.kill().unwrap_or_default();
        self.0.wait().map(drop).unwrap_or_default();
    }
}

/// In front of `behind`, with the sandbox's own certificate. In one process, so that it ends when it is killed.
fn start(folder: &Path, behind: &str) -> Option<(Nginx, String)> {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = free.local_addr().expect("an address");
    drop(free);
    let text = format!(
        "daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log warn;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n\
           access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n\
           fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;\n\
           upstream gateway {{ server {behind}; keepalive 512; keepalive_requests 100000; }}\n\
           server {{\n\
             listen {address} ssl http2; ssl_certificate {folder}/gateway/server.pem;\n\
             ssl_certificate_key {folder}/gateway/server.key;\n\
             keepalive_requests 1000; http2_max_concurrent_streams 128;\n\
             location / {{ grpc_pass grpcs://gateway; grpc_next_upstream off; }}\n\
           }}\n\
         }}\n",
        folder = folder.display(),
    );
    let file = folder.join("nginx.conf");
    fs::write(&file, text).expect("written");
    let child = Command::new("nginx")
        .arg("-c")
        .arg(&file)
        .arg("-e")
        .arg(folder.join("error.log"))
        .stderr(Stdio::null())
        .spawn();
    let nginx = Nginx(child.ok()?);
    wait_for("nginx", || std::net::TcpStream::connect(address).is_ok());
    Some((nginx, format!("https://{address}")))
}

fn push(number: usize) -> Push {
    Push {
        delivery: DeliveryId(Uuid::from_u128(number as u128 + 1)),
        workspace: WorkspaceId::new("default").expect("an id"),
        target: PushTarget {
            platform: Platform::Ios,
            app: AppId::new("com.example.app").expect("an id"),
            token: PushToken::new(format!("{number:064x}")).expect("a token"),
            environment: Environment::Production,
            registered_at: Timestamp(0),
        },
        message: Message {
            title: "Mia, your Rose Cream".to_owned(),
            body: "20 % off skincare today".to_owned(),
            shortened: false,
        },
        options: Arc::default(),
        data: Vec::new(),
        expires_at: SystemClock.now().plus(DurationMs::from_secs(3600)),
    }
}

/// Sends until it is accepted, as the dispatcher does; an end that nobody knows is no end here.
async fn deliver(providers: &Providers, number: usize) -> Result<(), String> {
    let push = push(number);
    for _ in 0..20 {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        match providers.send(&push, deadline).await {
            Outcome::Accepted { .. } => return Ok(()),
            Outcome::TryLater { retry_after, .. } => {
                let pause = retry_after.unwrap_or(DurationMs(100)).to_std();
                tokio::time::sleep(pause).await;
            }
            other => return Err(format!("{other:?}")),
        }
    }
    Err("never taken".to_owned())
}

#[test]
fn a_server_that_closes_every_thousand_requests_loses_and_doubles_none() {
    let pushes: usize = std::env::var("BECKON_PROVE_PUSHES").map_or(3_000, |text| text.parse().expect("a number"));
    install_tls();
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let options = SandboxOptions {
        log_entries_max: pushes * 2,
        ..SandboxOptions::new(folder.path().join("gateway"), Arc::clone(&clock))
    };
    let sandbox = runtime.block_on(Sandbox::start(options)).expect("a gateway");
    let Some((nginx, url)) = start(folder.path(), sandbox.apns_url().trim_start_matches("https://")) else {
        println!("SKIPPED: nginx is not installed (make prove-nginx installs it)");
        return;
    };
    let read = |path: &Path| fs::read_to_string(path).expect("a file");
    let key = read(&sandbox.files().apns_key).into();
    let config = ApnsConfig {
        base_url: url.clone(),
        sandbox_base_url: url,
        ca_pem: Some(read(sandbox.ca_pem_path())),
        ..ApnsConfig::new(key, sandbox.key_id(), sandbox.team_id())
    };
    let shared: Arc<dyn SharedTokens> = Arc::new(OneProcess::default());
    let providers = Arc::new(Providers::new(Some(&config), None, &clock, &shared).expect("a client"));
    let began = Instant::now();
    let failures = runtime.block_on(async {
        let next = Arc::new(AtomicUsize::new(0));
        let mut workers = JoinSet::new();
        for _ in 0..IN_FLIGHT {
            let (providers, next) = (Arc::clone(&providers), Arc::clone(&next));
            workers.spawn(async move {
                let mut failures = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= pushes {
                        return failures;
                    }
                    if let Err(why) = deliver(&providers, number).await {
                        failures.push(why);
                    }
                }
            });
        }
        workers.join_all().await.concat()
    });
    let took = began.elapsed();
    let mut arrived: HashMap<Option<String>, usize> = HashMap::new();
    for arrival in sandbox.arrivals() {
        assert_eq!(arrival.status, 200, "{:?}", arrival.reason);
        *arrived.entry(arrival.asked.apns_id.clone()).or_default() += 1;
    }
    let doubled = arrived.values().filter(|count| **count > 1).count();
    println!(
        "{pushes} pushes in {took:.1?}: {} arrived, {doubled} of them more than once, {} ended otherwise",
        arrived.len(),
        failures.len()
    );
    assert_eq!(failures, Vec::<String>::new());
    assert_eq!((arrived.len(), doubled), (pushes, 0));
    drop(nginx);
    runtime.block_on(sandbox.stop());
}
