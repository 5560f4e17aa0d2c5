//! What each request is answered, faults aside.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, Version, header, request::Parts};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Desk,
    apns::{self, ConnectionToken},
    faults::{FaultRule, FaultScript, Faults},
    fcm, identity,
    log::{Asked, Provider},
    oauth,
};

const LOG_LIMIT_DEFAULT: usize = 100;
const LOG_LIMIT_MAX: usize = 10_000;

pub(super) type Reply = Response<Bytes>;

/// A push as the provider sees it: what it asks for, and what it deserves.
pub(super) struct Seen {
    pub(super) provider: Provider,
    pub(super) asked: Asked,
    pub(super) reply: Reply,
    pub(super) reason: Option<String>,
}

impl Seen {
    /// Keeps it in the log. `answered`: whether the client hears the reply; `taken`: whether the push counts although it
    /// does not.
    pub(super) fn record(self, desk: &Desk, fault: Option<&str>, answered: bool, taken: bool) -> Reply {
        let status = self.reply.status().as_u16();
        let status = if answered || (taken && status == 200) {
            status
        } else {
            0
        };
        let fault = fault.map(str::to_owned);
        desk.log
            .record(desk.clock.now(), self.provider, status, self.reason, fault, self.asked);
        self.reply
    }
}

pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Reply {
    let mut reply = Response::new(Bytes::from(serde_json::to_vec(body).unwrap_or_default()));
    *reply.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    reply.headers_mut().insert(header::CONTENT_TYPE, kind);
    reply
}

pub(super) fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Log, health, access tokens and faults; nothing when it is none of those.
pub(super) fn service(desk: &Desk, head: &Parts, body: &[u8]) -> Option<Reply> {
    let query = head.uri.query().unwrap_or_default();
    Some(match (head.uri.path(), &head.method) {
        ("/log", &Method::GET) => log_page(desk, query),
        ("/log", &Method::DELETE) => {
            desk.log.clear();
            json(StatusCode::OK, &json!({ "status": "cleared" }))
        }
        ("/livez", &Method::GET) => json(StatusCode::OK, &json!({ "status": "ok" })),
        ("/token", &Method::POST) => access_token(desk, body),
        ("/faults", method) => faults(desk, method, query, body),
        _ => return None,
    })
}

pub(super) fn not_found() -> Reply {
    json(
        StatusCode::NOT_FOUND,
        &json!({
            "error": "not_found",
            "error_description": "there are /token, /log, /faults and /livez; pushes go to the TLS listener",
        }),
    )
}

fn log_page(desk: &Desk, query: &str) -> Reply {
    let number = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value.parse())
    };
    let (after, limit) = match (number("after").transpose(), number("limit").transpose()) {
        (Ok(after), Ok(limit)) => (
            after.unwrap_or(0),
            limit.map_or(LOG_LIMIT_DEFAULT, |limit: u64| limit as usize),
        ),
        _ => {
            return json(
                StatusCode::BAD_REQUEST,
                &json!({ "error": "`after` and `limit` are numbers" }),
            );
        }
    };
    json(StatusCode::OK, &desk.log.page(after, limit.clamp(1, LOG_LIMIT_MAX)))
}

/// `PUT` plays a script from now on, `POST` adds one rule (a query), `DELETE` ends all, `GET` says how often each was met.
fn faults(desk: &Desk, method: &Method, query: &str, body: &[u8]) -> Reply {
    let refuse = |why: &str| json(StatusCode::BAD_REQUEST, &json!({ "error": why }));
    let mut faults = desk.faults.lock().unwrap_or_else(PoisonError::into_inner);
    match *method {
        Method::GET => {}
        Method::DELETE => *faults = Faults::default(),
        Method::PUT => match FaultScript::read(body) {
            Ok(script) => *faults = Faults::new(script),
            Err(why) => return refuse(&why),
        },
        Method::POST => match FaultRule::from_query(query) {
            Err(why) => return refuse(&why),
            Ok(rule) => {
                if !faults.add(rule) {
                    return refuse("there are too many rules; DELETE /faults forgets them");
                }
            }
        },
        _ => return refuse("there are GET, PUT, POST and DELETE"),
    }
    json(StatusCode::OK, &json!({ "met": faults.fired() }))
}

fn access_token(desk: &Desk, form: &[u8]) -> Reply {
    let now = desk.clock.now();
    if let Err(refusal) = oauth::check(&String::from_utf8_lossy(form), &desk.account, now) {
        return json(StatusCode::BAD_REQUEST, &refusal.body());
    }
    let mut tokens = desk.access_tokens.lock().unwrap_or_else(PoisonError::into_inner);
    desk.log.access_token_issued();
    json(StatusCode::OK, &tokens.issue(now))
}

/// A push to either provider.
pub(super) fn push(
    desk: &Desk,
    token: &Mutex<ConnectionToken>,
    has_certificate: bool,
    head: &Parts,
    body: &[u8],
) -> Seen {
    if head.uri.path().starts_with("/v1/projects/") {
        fcm_push(desk, head, body)
    } else {
        apns_push(desk, token, has_certificate, head, body)
    }
}

fn apns_push(desk: &Desk, token: &Mutex<ConnectionToken>, has_certificate: bool, head: &Parts, body: &[u8]) -> Seen {
    let parts = apns::Parts {
        method: &head.method,
        path: head.uri.path(),
        headers: &head.headers,
        has_certificate,
        body,
    };
    let asked = apns::read(&parts);
    let verdict = if head.version == Version::HTTP_2 {
        let mut token = token.lock().unwrap_or_else(PoisonError::into_inner);
        let verdict = apns::check(&parts, &desk.rules, &mut token, desk.clock.now());
        if let Some(token) = token.current() {
            desk.log.provider_token_seen(token);
        }
        verdict
    } else {
        Err(apns::Refusal::not_http2())
    };
    let mut reply = match &verdict {
        Ok(()) => Response::new(Bytes::new()),
        Err(refusal) => json(status(refusal.status), &refusal.body()),
    };
    if let Some(id) = asked.apns_id.as_deref().and_then(|id| HeaderValue::from_str(id).ok()) {
        reply.headers_mut().insert("apns-id", id);
    }
    Seen {
        provider: Provider::Apns,
        asked,
        reply,
        reason: verdict.err().map(|refusal| refusal.reason.to_owned()),
    }
}

fn fcm_push(desk: &Desk, head: &Parts, body: &[u8]) -> Seen {
    let mut asked = fcm::read(body, desk.clock.now());
    let verdict = fcm_access(desk, head).and_then(|()| fcm::check(body, &desk.rules.unregistered));
    let (reply, reason) = match verdict {
        Ok(()) => {
            let name = format!("projects/{}/messages/{}", identity::PROJECT_ID, Uuid::new_v4().simple());
            let reply = json(StatusCode::OK, &json!({ "name": name }));
            asked.name = Some(name);
            (reply, None)
        }
        Err(refusal) => {
            let body: Value = refusal.body();
            (json(status(refusal.status), &body), Some(refusal.reason().to_owned()))
        }
    };
    Seen {
        provider: Provider::Fcm,
        asked,
        reply,
        reason,
    }
}

fn fcm_access(desk: &Desk, head: &Parts) -> Result<(), fcm::Refusal> {
    let rest = head.uri.path().strip_prefix("/v1/projects/").unwrap_or_default();
    let Some(("messages:send", project)) = rest.split_once('/').map(|(project, action)| (action, project)) else {
        return Err(fcm::Refusal::not_found());
    };
    if head.method != Method::POST {
        return Err(fcm::Refusal::not_found());
    }
    let authorization = head.headers.get(header::AUTHORIZATION);
    let bearer = authorization
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    let tokens = desk.access_tokens.lock().unwrap_or_else(PoisonError::into_inner);
    if !bearer.is_some_and(|token| tokens.is_valid(token, desk.clock.now())) {
        return Err(fcm::Refusal::unauthenticated());
    }
    if project != identity::PROJECT_ID {
        return Err(fcm::Refusal::other_project());
    }
    Ok(())
}
