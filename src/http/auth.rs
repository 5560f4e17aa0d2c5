//! Who asks: keys and device tokens.
//!
//! A key is a random text of which only the SHA-256 is stored. A device token is signed by the installation's secret and
//! holds workspace, device and end, so that checking one needs no look-up.

use std::{collections::HashMap, sync::Arc};

use actix_web::{FromRequest, HttpRequest, dev::Payload, http::header, web};
use arc_swap::ArcSwap;
use aws_lc_rs::{digest, hmac, rand};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use tokio::sync::Mutex;

use super::{
    App,
    problem::{Code, Problem},
};
use crate::{
    domain::{
        ids::{DeviceId, WorkspaceId},
        time::{DurationMs, Timestamp},
    },
    engine::ports::{ApiKey, ControlStore, Role, StoreError},
};

/// How long a device token is good.
pub const DEVICE_TOKEN_TTL: DurationMs = DurationMs::from_secs(90 * 24 * 3600);

/// Who asks, and for which workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Tenant.
    pub workspace: WorkspaceId,
    /// Key or device.
    pub identity: Identity,
}

/// What the caller has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// A key of that role.
    Key(Role),
    /// A device's own token.
    Device(DeviceId),
}

/// Knows keys and signs device tokens.
pub struct Authority {
    store: Arc<dyn ControlStore>,
    keys: ArcSwap<HashMap<[u8; 32], ApiKey>>,
    signer: hmac::Key,
    /// One reload at a time, so that an older read never replaces a newer one.
    reloading: Mutex<()>,
}

fn sha256(text: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    hash
}

fn random_bytes() -> Result<[u8; 32], StoreError> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).map_err(|_| StoreError::Unavailable("no randomness from the system".to_owned()))?;
    Ok(bytes)
}

impl Authority {
    /// Reads the keys and the installation's secret.
    pub async fn open(store: Arc<dyn ControlStore>) -> Result<Self, StoreError> {
        let secret = store.installation_secret(random_bytes()?).await?;
        let authority = Self {
            store,
            keys: ArcSwap::default(),
            signer: hmac::Key::new(hmac::HMAC_SHA256, &secret),
            reloading: Mutex::new(()),
        };
        authority.reload().await?;
        Ok(authority)
    }

    /// Reads the keys again.
    pub async fn reload(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.reloading.lock().await;
        let keys = self.store.load_keys().await?;
        self.keys
            .store(Arc::new(keys.into_iter().map(|key| (key.hash, key)).collect()));
        Ok(())
    }

    /// All keys.
    pub fn keys(&self) -> Vec<ApiKey> {
        let mut keys: Vec<ApiKey> = self.keys.load().values().cloned().collect();
        keys.sort_by(|a, b| a.created_at.cmp(&b.created_at).then_with(|| a.id.cmp(&b.id)));
        keys
    }

    /// Makes a key; its secret, which is told this once.
    pub async fn create(
        &self,
        workspace: &WorkspaceId,
        role: Role,
        name: &str,
        now: Timestamp,
    ) -> Result<(ApiKey, String), StoreError> {
        let prefix = if role == Role::Publishable { "pk" } else { "sk" };
        let secret = format!("{prefix}_{}", URL_SAFE_NO_PAD.encode(random_bytes()?));
        let key = self.adopt(workspace, role, name, &secret, now).await?;
        Ok((key, secret))
    }

    /// Makes a key with a secret that somebody chose.
    pub async fn adopt(
        &self,
        workspace: &WorkspaceId,
        role: Role,
        name: &str,
        secret: &str,
        now: Timestamp,
    ) -> Result<ApiKey, StoreError> {
        let hash = sha256(secret);
        if let Some(known) = self.keys.load().get(&hash) {
            return Ok(known.clone());
        }
        let key = ApiKey {
            id: format!("key_{}", URL_SAFE_NO_PAD.encode(&hash[..9])),
            hash,
            workspace: workspace.clone(),
            role,
            name: name.to_owned(),
            created_at: now,
        };
        self.store.put_key(key.clone()).await?;
        self.reload().await?;
        Ok(key)
    }

    /// Removes a key; false when there was none.
    pub async fn delete(&self, workspace: &WorkspaceId, id: &str) -> Result<bool, StoreError> {
        let deleted = self.store.delete_key(workspace, id).await?;
        self.reload().await?;
        Ok(deleted)
    }

    /// A token for a device, good until the returned instant.
    pub fn device_token(&self, workspace: &WorkspaceId, device: &DeviceId, now: Timestamp) -> (String, Timestamp) {
        let expires_at = now.plus(DEVICE_TOKEN_TTL);
        let claims = postcard::to_stdvec(&(workspace, device, expires_at)).unwrap_or_default();
        let tag = hmac::sign(&self.signer, &claims);
        (
            format!(
                "dt_{}.{}",
                URL_SAFE_NO_PAD.encode(&claims),
                URL_SAFE_NO_PAD.encode(tag.as_ref())
            ),
            expires_at,
        )
    }

    fn check_device_token(&self, token: &str, now: Timestamp) -> Option<Caller> {
        let (claims, tag) = token.strip_prefix("dt_")?.split_once('.')?;
        let (claims, tag) = (URL_SAFE_NO_PAD.decode(claims).ok()?, URL_SAFE_NO_PAD.decode(tag).ok()?);
        hmac::verify(&self.signer, &claims, &tag).ok()?;
        let (workspace, device, expires_at): (WorkspaceId, DeviceId, Timestamp) = postcard::from_bytes(&claims).ok()?;
        (now < expires_at).then_some(Caller {
            workspace,
            identity: Identity::Device(device),
        })
    }

    /// Whose bearer token it is.
    pub fn identify(&self, token: &str, now: Timestamp) -> Option<Caller> {
        if token.starts_with("dt_") {
            return self.check_device_token(token, now);
        }
        let keys = self.keys.load();
        let key = keys.get(&sha256(token))?;
        Some(Caller {
            workspace: key.workspace.clone(),
            identity: Identity::Key(key.role),
        })
    }
}

impl Caller {
    /// Refuses callers whose key has less than this role.
    pub fn require(&self, least: Role) -> Result<(), Problem> {
        match &self.identity {
            Identity::Key(role) if *role >= least => Ok(()),
            Identity::Key(role) => Err(Problem::new(
                Code::NotAllowed,
                format!("this needs a secret key of role {least:?} or higher, yours is {role:?}").to_lowercase(),
            )),
            Identity::Device(_) => Err(Problem::new(
                Code::NotAllowed,
                "this needs a secret key, not a device token".to_owned(),
            )),
        }
    }

    /// Whether the caller is a server of the owner.
    pub fn has_secret_key(&self) -> bool {
        matches!(&self.identity, Identity::Key(role) if *role >= Role::Marketer)
    }
}

/// What stands behind a scheme in the `Authorization` header.
fn credentials<'a>(request: &'a HttpRequest, scheme: &str) -> Option<&'a str> {
    let header = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (given, credentials) = header.split_once(' ')?;
    given.eq_ignore_ascii_case(scheme).then_some(credentials.trim())
}

/// The bearer token of a request.
pub(super) fn bearer(request: &HttpRequest) -> Option<&str> {
    credentials(request, "bearer")
}

/// The server, once everything is loaded.
fn started_app(request: &HttpRequest) -> Result<&web::Data<App>, Problem> {
    let app = request
        .app_data::<web::Data<App>>()
        .ok_or_else(|| Problem::new(Code::Internal, "the server is not set up"))?;
    if app.lifecycle.is_started() {
        return Ok(app);
    }
    Err(Problem::new(
        Code::Unavailable,
        "geofences and campaigns are being loaded",
    ))
}

/// Who asks with a name and a key by HTTP Basic authentication, for apps that know nothing else.
#[derive(Debug)]
pub struct NamedCaller {
    /// The user name. Nobody has checked it: who has the key may use any.
    pub name: String,
    /// Whose key the password is.
    pub caller: Caller,
}

impl FromRequest for NamedCaller {
    type Error = Problem;
    type Future = std::future::Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let identify = || {
            let app = started_app(request)?;
            let decoded = credentials(request, "basic").and_then(|text| STANDARD.decode(text).ok());
            let text = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
            let Some((name, key)) = text.as_deref().and_then(|text| text.split_once(':')) else {
                return Err(Problem::new(
                    Code::KeyMissing,
                    "set a user name, and a publishable key as the password (`Authorization: Basic`)",
                ));
            };
            let caller = app.authority.identify(key, app.engine.clock.now());
            let caller =
                caller.ok_or_else(|| Problem::new(Code::KeyInvalid, "the password is no key of this server"))?;
            Ok(Self {
                name: name.to_owned(),
                caller,
            })
        };
        std::future::ready(identify())
    }
}

impl FromRequest for Caller {
    type Error = Problem;
    type Future = std::future::Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let identify = || {
            let app = started_app(request)?;
            let Some(token) = bearer(request) else {
                return Err(Problem::new(
                    Code::KeyMissing,
                    "send `Authorization: Bearer` with a key or device token",
                ));
            };
            app.authority
                .identify(token, app.engine.clock.now())
                .ok_or_else(|| Problem::new(Code::KeyInvalid, "the key is unknown or the device token has expired"))
        };
        std::future::ready(identify())
    }
}
