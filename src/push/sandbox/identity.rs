//! The sandbox's keys, certificates and account, made once and kept in its folder.

use std::{
    fs, io,
    io::Write as _,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use jsonwebtoken::DecodingKey;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_RSA_SHA256, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde_json::{Value, json};
use uuid::Uuid;

use super::SandboxError;

/// Ten characters, as Apple's.
pub(super) const TEAM_ID: &str = "BECKONTEAM";
pub(super) const PROJECT_ID: &str = "beckon-sandbox";
const CLIENT_EMAIL: &str = "beckon@beckon-sandbox.iam.gserviceaccount.com";

/// Where the sandbox's files are.
#[derive(Debug, Clone)]
pub struct SandboxFiles {
    /// Root certificate of the TLS listener.
    pub ca_pem: PathBuf,
    /// APNs auth key, as Apple gives it out.
    pub apns_key: PathBuf,
    /// APNs certificate with its key, PEM: the other way to show who sends.
    pub apns_certificate: PathBuf,
    /// Service account key file, as Google gives it out.
    pub service_account: PathBuf,
    /// A configuration with all of that.
    pub config: PathBuf,
}

pub(super) struct Identity {
    pub(super) files: SandboxFiles,
    pub(super) key_id: String,
    pub(super) apns_key: DecodingKey,
    pub(super) account_key: DecodingKey,
    pub(super) client_email: &'static str,
    account_key_pem: String,
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) server_key: PrivateKeyDer<'static>,
    /// Signs certificates of those who send.
    pub(super) client_root: CertificateDer<'static>,
}

impl Identity {
    /// Reads what is in `dir` and makes what is missing.
    pub(super) fn open(dir: &Path) -> Result<Self, SandboxError> {
        fs::create_dir_all(dir).map_err(|error| SandboxError::file(dir, error))?;
        let dir = fs::canonicalize(dir).map_err(|error| SandboxError::file(dir, error))?;
        let (chain, server_key) = certificates(&dir)?;
        let apns_certificate = dir.join("apns-certificate.pem");
        let client_root = client_certificate(&dir.join("apns-root.pem"), &apns_certificate)?;
        let (apns_path, key_id, apns_pair) = apns_key(&dir)?;
        let service_account = dir.join("service-account.json");
        let account_pair = account_key(&service_account)?;
        let unusable = |what: &'static str| SandboxError::Crypto(what.to_owned());
        Ok(Self {
            apns_key: DecodingKey::from_ec_pem(apns_pair.public_key_pem().as_bytes())
                .map_err(|_| unusable("the APNs key is not an EC key"))?,
            account_key: DecodingKey::from_rsa_pem(account_pair.public_key_pem().as_bytes())
                .map_err(|_| unusable("the service account's key is not an RSA key"))?,
            account_key_pem: account_pair.serialize_pem(),
            client_email: CLIENT_EMAIL,
            key_id,
            chain,
            server_key,
            client_root,
            files: SandboxFiles {
                apns_certificate,
                ca_pem: dir.join("ca.pem"),
                apns_key: apns_path,
                service_account,
                config: dir.join("beckon.toml"),
            },
        })
    }

    /// Writes the files that hold addresses, once these are known.
    pub(super) fn publish(&self, tls_address: SocketAddr, token_uri: &str) -> Result<(), SandboxError> {
        let account = json!({
            "type": "service_account",
            "project_id": PROJECT_ID,
            "private_key_id": "sandbox",
            "private_key": self.account_key_pem,
            "client_email": CLIENT_EMAIL,
            "client_id": "1",
            "token_uri": token_uri,
        });
        write_private(&self.files.service_account, &format!("{account:#}\n"))?;
        write(&self.files.config, &self.config(tls_address))
    }

    fn config(&self, tls_address: SocketAddr) -> String {
        let (tls_url, development_url) = (format!("https://{tls_address}"), development_url(tls_address));
        let quoted = |path: &Path| Value::from(path.to_string_lossy()).to_string();
        format!(
            "# Written by the sandbox at each start: sends pushes to it instead of Apple and Google.\n\
             \n\
             [push.apns]\n\
             key_file = {key}\n\
             key_id = \"{key_id}\"\n\
             team_id = \"{TEAM_ID}\"\n\
             base_url = \"{tls_url}\"\n\
             sandbox_base_url = \"{development_url}\"\n\
             ca_file = {ca}\n\
             \n\
             [push.fcm]\n\
             service_account_file = {account}\n\
             base_url = \"{tls_url}\"\n\
             ca_file = {ca}\n",
            key = quoted(&self.files.apns_key),
            key_id = self.key_id,
            ca = quoted(&self.files.ca_pem),
            account = quoted(&self.files.service_account),
        )
    }
}

/// The TLS listener's second name, which stands for Apple's host for development builds.
pub(super) fn development_url(tls_address: SocketAddr) -> String {
    format!("https://localhost:{}", tls_address.port())
}

/// How others reach a listener: an address for "all interfaces" is no address to connect to.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port())
    } else {
        address
    }
}

type Certificates = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn certificates(dir: &Path) -> Result<Certificates, SandboxError> {
    let (ca, server, key) = (dir.join("ca.pem"), dir.join("server.pem"), dir.join("server.key"));
    if !(ca.exists() && server.exists() && key.exists()) {
        make_certificates(&ca, &server, &key)?;
    }
    let unusable = |path: &Path, error: &dyn std::fmt::Display| {
        SandboxError::Crypto(format!("{} is not usable, delete it: {error}", path.display()))
    };
    let chain = CertificateDer::pem_file_iter(&server)
        .and_then(Iterator::collect)
        .map_err(|error| unusable(&server, &error))?;
    let key = PrivateKeyDer::from_pem_file(&key).map_err(|error| unusable(&key, &error))?;
    Ok((chain, key))
}

/// The root of those who send, and for one of them a certificate that is in `certificate_path` with its key.
fn client_certificate(root_path: &Path, certificate_path: &Path) -> Result<CertificateDer<'static>, SandboxError> {
    if !(root_path.exists() && certificate_path.exists()) {
        let crypto = |error: rcgen::Error| SandboxError::Crypto(error.to_string());
        let root = root("Beckon sandbox senders")?;
        let mut leaf = named(CertificateParams::default(), "Apple Push Services: com.example.app");
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        leaf.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(crypto)?;
        let leaf = leaf.signed_by(&key, &root).map_err(crypto)?;
        write(root_path, &root.pem())?;
        write_private(certificate_path, &(leaf.pem() + &key.serialize_pem()))?;
    }
    CertificateDer::from_pem_file(root_path)
        .map_err(|error| SandboxError::Crypto(format!("{} is not usable, delete it: {error}", root_path.display())))
}

fn named(mut params: CertificateParams, name: &str) -> CertificateParams {
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2025, 1, 1);
    params.not_after = date_time_ymd(2049, 12, 31);
    params
}

fn root(name: &str) -> Result<CertifiedIssuer<'static, KeyPair>, SandboxError> {
    let crypto = |error: rcgen::Error| SandboxError::Crypto(error.to_string());
    let mut root = named(CertificateParams::default(), name);
    root.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    root.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(root, KeyPair::generate().map_err(crypto)?).map_err(crypto)
}

/// The root's own key is forgotten at once, so that trusting `ca.pem` trusts one server only.
fn make_certificates(ca_path: &Path, server_path: &Path, key_path: &Path) -> Result<(), SandboxError> {
    let crypto = |error: rcgen::Error| SandboxError::Crypto(error.to_string());
    let root = root("Beckon sandbox root")?;
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut leaf = named(CertificateParams::new(names).map_err(crypto)?, "Beckon sandbox");
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().map_err(crypto)?;
    let leaf = leaf.signed_by(&key, &root).map_err(crypto)?;
    write(ca_path, &root.pem())?;
    write(server_path, &leaf.pem())?;
    write_private(key_path, &key.serialize_pem())
}

/// Finds `AuthKey_<key id>.p8`, or makes it.
fn apns_key(dir: &Path) -> Result<(PathBuf, String, KeyPair), SandboxError> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .map_err(|error| SandboxError::file(dir, error))?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| key_id_of(name).is_some())
        .collect();
    names.sort();
    if let Some((name, key_id)) = names.first().and_then(|name| Some((name, key_id_of(name)?))) {
        let path = dir.join(name);
        let pem = fs::read_to_string(&path).map_err(|error| SandboxError::file(&path, error))?;
        let pair = KeyPair::from_pem(&pem)
            .map_err(|error| SandboxError::Crypto(format!("{name} is not usable, delete it: {error}")))?;
        return Ok((path, key_id.to_owned(), pair));
    }
    let key_id: String = Uuid::new_v4()
        .simple()
        .to_string()
        .to_uppercase()
        .chars()
        .take(10)
        .collect();
    let path = dir.join(format!("AuthKey_{key_id}.p8"));
    let pair = KeyPair::generate().map_err(|error| SandboxError::Crypto(error.to_string()))?;
    write_private(&path, &pair.serialize_pem())?;
    Ok((path, key_id, pair))
}

fn key_id_of(name: &str) -> Option<&str> {
    name.strip_prefix("AuthKey_")?
        .strip_suffix(".p8")
        .filter(|id| !id.is_empty())
}

fn account_key(path: &Path) -> Result<KeyPair, SandboxError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return KeyPair::generate_for(&PKCS_RSA_SHA256).map_err(|error| SandboxError::Crypto(error.to_string()));
        }
        Err(error) => return Err(SandboxError::file(path, error)),
    };
    let account: Value = serde_json::from_str(&text).unwrap_or_default();
    account
        .get("private_key")
        .and_then(Value::as_str)
        .and_then(|pem| KeyPair::from_pem_and_sign_algo(pem, &PKCS_RSA_SHA256).ok())
        .ok_or_else(|| SandboxError::Crypto(format!("{} is not usable, delete it", path.display())))
}

fn write(path: &Path, text: &str) -> Result<(), SandboxError> {
    fs::write(path, text).map_err(|error| SandboxError::file(path, error))
}

/// Readable by the owner only.
fn write_private(path: &Path, text: &str) -> Result<(), SandboxError> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| SandboxError::file(path, error))
}
