//! Redis and a cluster behind TLS, with a root of one's own.

use std::cell::RefCell;

use super::{
    AllTogether as _,
    redis::{block_on, open, refusal, version, with_fact},
};
use crate::{
    harness::install_tls,
    redis_server::{Cluster, Redis, free_port},
};

#[test]
fn redis_is_reached_by_tls_with_a_root_of_ones_own() {
    let files = tempfile::tempdir().expect("a folder");
    let path = |name: &str| files.path().join(name).to_str().expect("a path").to_owned();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    std::fs::write(path("cert.pem"), made.cert.pem()).expect("written");
    std::fs::write(path("key.pem"), made.signing_key.serialize_pem()).expect("written");
    let (certificate, key) = (path("cert.pem"), path("key.pem"));
    let options = [
        "--tls-auth-clients",
        "no",
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
    ];
    let redis = Redis::start_with(&options);
    let port = free_port().to_string();
    redis.cli(&["config", "set", "appendonly", "yes"]);
    redis.cli(&["config", "set", "tls-port", &port]);
    install_tls();
    block_on(async {
        let store = open(&format!("rediss://localhost:{port}?partitions=4&ca_file={certificate}")).await;
        store
            .hot
            .commit_all(vec![with_fact("mia", 0)])
            .await
            .expect("an outcome");
        assert_eq!(version(&store, "mia").await, 1);
    });
    let unknown_root = refusal(&format!("rediss://localhost:{port}?partitions=4"));
    assert!(unknown_root.contains("can't reach Redis"), "{unknown_root}");
}

#[test]
fn a_cluster_is_reached_by_tls_with_a_user_and_a_password() {
    let files = tempfile::tempdir().expect("a folder");
    let path = |name: &str| files.path().join(name).to_str().expect("a path").to_owned();
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
    std::fs::write(path("cert.pem"), made.cert.pem()).expect("written");
    std::fs::write(path("key.pem"), made.signing_key.serialize_pem()).expect("written");
    let (certificate, key, ports) = (path("cert.pem"), path("key.pem"), RefCell::new(Vec::new()));
    let cluster = Cluster::start_with(|| {
        let port = free_port().to_string();
        ports.borrow_mut().push(port.clone());
        let options = [
            "--tls-cluster",
            "yes",
            "--tls-auth-clients",
            "no",
            "--tls-port",
            &port,
            "--tls-cert-file",
            &certificate,
            "--tls-key-file",
            &key,
            "--tls-ca-cert-file",
            &certificate,
        ];
        options.map(str::to_owned).into()
    });
    for node in &cluster.nodes {
        node.cli(&["acl", "setuser", "beckon", "on", ">pa:ss", "~*", "&*", "+@all"]);
        // Nobody else may do anything.
        node.cli(&["acl", "setuser", "default", "off"]);
    }
    let ports = ports.into_inner();
    let nodes: Vec<String> = ports.iter().map(|port: &String| format!("127.0.0.1:{port}")).collect();
    let url = |user: &str| {
        let nodes = nodes.join(",");
        format!("rediss+cluster://{user}{nodes}?partitions=8&ca_file={certificate}")
    };
    install_tls();
    block_on(async {
        let store = open(&url("beckon:pa%3Ass@")).await;
        // Of several slots.
        for name in ["mia", "ann", "zoe", "eve", "lee"] {
            store
                .hot
                .commit_all(vec![with_fact(name, 0)])
                .await
                .expect("an outcome");
            assert_eq!(version(&store, name).await, 1);
        }
    });
    for user in ["", "beckon:wrong@"] {
        let refused = refusal(&url(user));
        assert!(refused.contains("can't reach Redis"), "{refused}");
    }
}
