//! The public API: one file a resource. Parses at the door; inside there are only validated types.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use actix_web::{HttpRequest, HttpResponse, web};

use crate::{
    domain::{
        ids::{CauseId, IdError},
        time::DurationMs,
    },
    engine::{Engine, ports::WebhookSender},
};

pub mod auth;
mod body;
mod campaigns;
mod check_ins;
mod code_pools;
mod dead_letters;
mod decisions;
mod deliveries;
mod devices;
mod events;
mod geofence_sets;
mod geofence_versions;
mod geofences;
mod keys;
mod offers;
mod ops;
mod owntracks;
mod pages;
pub mod problem;
mod redemptions;
mod settings;
mod stream;
mod topics;
pub mod uploads;
mod users;
mod webhooks;
mod who_is_here;

use auth::Authority;
use problem::{Code, Problem};

/// What requests may be.
#[derive(Debug, Clone, Copy)]
pub struct HttpLimits {
    /// Largest JSON body.
    pub body_bytes_max: usize,
    /// Largest geofence file.
    pub file_bytes_max: u64,
    /// Most check-ins in one request.
    pub check_ins_max: usize,
    /// How far in the future a check-in's time may be.
    pub future_max: DurationMs,
    /// Pushes of one workspace in a minute, where it has no limit of its own; 0: no limit.
    pub workspace_per_minute_max: u32,
}

/// How far the server is with starting and stopping.
#[derive(Debug, Default)]
pub struct Lifecycle {
    started: AtomicBool,
    stopping: AtomicBool,
}

impl Lifecycle {
    /// Everything is loaded.
    pub fn set_started(&self) {
        self.started.store(true, Ordering::Release);
    }

    /// No new work, please.
    pub fn set_stopping(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Whether everything is loaded.
    pub fn is_started(&self) -> bool {
        self.started.load(Ordering::Acquire)
    }

    /// Whether it is going down.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}

/// What every handler shares.
pub struct App {
    /// The use cases.
    pub engine: Arc<Engine>,
    /// Keys and tokens.
    pub authority: Authority,
    /// Limits.
    pub limits: HttpLimits,
    /// Uploads: where they wait to be read, and how many may.
    pub uploads: uploads::Uploads,
    /// Starting, running or stopping.
    pub lifecycle: Arc<Lifecycle>,
    /// Calls the owner's systems.
    pub webhooks: Arc<dyn WebhookSender>,
    /// Whether pushes can be sent, by provider: name and what is missing.
    pub providers: Vec<(&'static str, Option<String>)>,
}

/// Puts all routes in place.
pub fn routes(config: &mut web::ServiceConfig) {
    check_ins::routes(config);
    devices::routes(config);
    users::routes(config);
    topics::routes(config);
    events::routes(config);
    geofence_sets::routes(config);
    geofence_versions::routes(config);
    geofences::routes(config);
    who_is_here::routes(config);
    stream::routes(config);
    owntracks::routes(config);
    campaigns::routes(config);
    code_pools::routes(config);
    offers::routes(config);
    redemptions::routes(config);
    dead_letters::routes(config);
    decisions::routes(config);
    deliveries::routes(config);
    keys::routes(config);
    settings::routes(config);
    webhooks::routes(config);
    ops::routes(config);
    config.default_service(web::to(not_found));
}

async fn not_found(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let path = request.path().chars().take(200).collect::<String>();
    Err(Problem::new(
        Code::NotFound,
        format!("{} {path} does not exist", request.method()),
    ))
}

async fn method_not_allowed(request: HttpRequest) -> Result<HttpResponse, Problem> {
    Err(Problem::new(
        Code::MethodNotAllowed,
        format!("{} is not done on this path", request.method()),
    ))
}

/// A resource whose other methods are refused with a problem.
fn resource(path: &str) -> actix_web::Resource {
    web::resource(path).default_service(web::to(method_not_allowed))
}

/// A name from the path.
fn path_id<'a, T>(what: &str, text: &'a str, make: impl FnOnce(&'a str) -> Result<T, IdError>) -> Result<T, Problem> {
    make(text).map_err(|error| Problem::new(Code::PathInvalid, format!("{what} {error}")))
}

/// A query parameter's value, if it is given.
fn parameter<'a, T, E: std::fmt::Display>(
    name: &str,
    text: Option<&'a str>,
    parse: impl FnOnce(&'a str) -> Result<T, E>,
) -> Result<Option<T>, Problem> {
    text.map(|text| parse(text).map_err(|error| Problem::new(Code::ParameterInvalid, format!("`{name}`: {error}"))))
        .transpose()
}

/// A name for an input that came without one; it can't be sent again as the same.
fn made_up_id() -> Result<CauseId, Problem> {
    let name = uuid::Uuid::now_v7().to_string();
    CauseId::new(name).map_err(|error| Problem::new(Code::Internal, error.to_string()))
}

/// Does `work` to its end, also when the client goes away meanwhile: half of a change is worse than one unasked for.
async fn to_its_end<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T, Problem> {
    tokio::spawn(work)
        .await
        .map_err(|error| Problem::new(Code::Internal, error.to_string()))
}

/// Does what takes longer than a moment beside the threads that answer.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Problem::new(Code::Internal, error.to_string()))
}

/// The query string as `T`.
fn query<T: serde::de::DeserializeOwned>(request: &HttpRequest) -> Result<T, Problem> {
    web::Query::<T>::from_query(request.query_string())
        .map(web::Query::into_inner)
        .map_err(|error| Problem::new(Code::ParameterInvalid, error.to_string()))
}
