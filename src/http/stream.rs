//! `GET /v1/stream`: what happens, live, as server-sent events.
//!
//! Each event's `id` is its place: a client that comes back with it, as browsers do by themselves, goes on from there.
//! Heartbeats carry the place, too, so that a client whose filter lets little through does not begin far back.

use std::sync::{Arc, OnceLock};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{CACHE_CONTROL, CONTENT_TYPE},
    web::{self, Bytes},
};
use futures_util::stream;
use serde::Deserialize;
use serde_json::json;
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};

use super::{
    App,
    auth::{self, Caller},
    parameter,
    problem::{Code, Problem},
    query, resource,
};
use crate::{
    domain::{
        event::{Event, EventType},
        ids::{ExternalId, Tag, UserId},
    },
    engine::{
        ports::{FactCursor, Role, StoreError},
        streams::{Page, StreamEnd, StreamRefused, Subscription},
    },
};

/// Pages that wait for the connection.
const WAITING_PAGES_MAX: usize = 8;
/// Longest place that is looked at, in bytes.
const PLACE_BYTES_MAX: usize = 200;
/// After this a client that lost the connection may come again, in milliseconds.
const RETRY_MS: u32 = 1000;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(resource("/v1/stream").route(web::get().to(open)));
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StreamQuery {
    after: Option<String>,
    tag: Option<String>,
    external_id: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    user_id: Option<String>,
}

/// Which events a client wants. All that is given must fit.
struct Wanted {
    tag: Option<Tag>,
    external_id: Option<ExternalId>,
    kind: Option<EventType>,
    user: Option<UserId>,
}

impl Wanted {
    fn read(query: &StreamQuery) -> Result<Self, Problem> {
        let kind = |name: &str| {
            EventType::from_name(name).ok_or_else(|| {
                let names: Vec<&str> = EventType::ALL.iter().map(|kind| kind.as_str()).collect();
                format!("is not one of {}", names.join(", "))
            })
        };
        Ok(Self {
            tag: parameter("tag", query.tag.as_deref(), Tag::new)?,
            external_id: parameter("externalId", query.external_id.as_deref(), ExternalId::new)?,
            kind: parameter("type", query.kind.as_deref(), kind)?,
            user: parameter("userId", query.user_id.as_deref(), UserId::new)?,
        })
    }

    fn takes(&self, event: &Event) -> bool {
        let place = &event.geofence.id;
        self.tag.as_ref().is_none_or(|tag| *tag == place.tag)
            && self.external_id.as_ref().is_none_or(|id| *id == place.external_id)
            && self.kind.is_none_or(|kind| kind == event.kind)
            && self
                .user
                .as_ref()
                .is_none_or(|user| Some(user) == event.user_id.as_ref())
    }

    /// The page as text; `None` when nothing of it is wanted.
    fn write(&self, page: &Page) -> Option<Bytes> {
        let wanted = page.events.iter().filter(|(_, event)| self.takes(event));
        let blocks = wanted.map(|(place, event)| {
            let data = serde_json::to_string(&**event).unwrap_or_default();
            format!(
                "id: {}\nevent: {}\ndata: {data}\n\n",
                place.as_str(),
                event.kind.as_str()
            )
        });
        let text: String = blocks.collect();
        (!text.is_empty()).then(|| text.into())
    }
}

fn beat(word: &str, place: &FactCursor) -> Bytes {
    format!(": {word}\nid: {}\n\n", place.as_str()).into()
}

fn last_words(end: StreamEnd) -> Bytes {
    format!("event: end\ndata: {}\n\n", json!({"reason": end.as_str()})).into()
}

/// Where to go on. A browser that reconnects sends the header, beside the parameter that it began with.
fn read_place(request: &HttpRequest, query: &StreamQuery) -> Result<Option<FactCursor>, Problem> {
    let header = request.headers().get("Last-Event-ID");
    let header = header.map(|value| value.to_str().map_err(|_| gone())).transpose()?;
    let text = header.filter(|text| !text.is_empty()).or(query.after.as_deref());
    if text.is_some_and(|text| text.len() > PLACE_BYTES_MAX) {
        return Err(gone());
    }
    Ok(text.map(FactCursor::new))
}

fn gone() -> Problem {
    let detail = "nobody can go on from there: read who is where with GET /v1/geofences/{tag}/{externalId}/users, \
                  and open the stream without Last-Event-ID and `after`";
    Problem::new(Code::CursorGone, detail)
}

async fn open(app: web::Data<App>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, Problem> {
    caller.require(Role::Viewer)?;
    let query: StreamQuery = query(&request)?;
    let wanted = Wanted::read(&query)?;
    let after = read_place(&request, &query)?;
    let engine = Arc::clone(&app.engine);
    let subscription = engine
        .listen(&caller.workspace, after)
        .await
        .map_err(|refused| match refused {
            StreamRefused::TooMany => Problem::new(Code::TooManyStreams, refused.to_string()),
            StreamRefused::Closing => Problem::new(Code::Unavailable, refused.to_string()),
            StreamRefused::PlaceGone | StreamRefused::Store(StoreError::UnknownCursor) => gone(),
            StreamRefused::Store(error) => error.into(),
        })?;
    let key = auth::bearer(&request).unwrap_or_default().to_owned();
    let (sender, receiver) = mpsc::channel(WAITING_PAGES_MAX);
    let end = Arc::new(OnceLock::new());
    let teller = Teller {
        app,
        caller,
        key,
        wanted,
        sender,
    };
    let ended = Arc::clone(&end);
    tokio::spawn(async move {
        if let Some(reason) = teller.tell(subscription).await {
            ended.get_or_init(|| reason);
        }
    });
    // What waits comes first, and then why there is no more.
    let body = stream::unfold(Some((receiver, end)), async |state| {
        let (mut receiver, end) = state?;
        match receiver.recv().await {
            Some(text) => Some((Ok::<_, std::convert::Infallible>(text), Some((receiver, end)))),
            None => Some((Ok(last_words(*end.get()?)), None)),
        }
    });
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/event-stream"))
        .insert_header((CACHE_CONTROL, "no-store"))
        .streaming(body))
}

/// Fills one connection.
struct Teller {
    app: web::Data<App>,
    caller: Caller,
    key: String,
    wanted: Wanted,
    sender: mpsc::Sender<Bytes>,
}

impl Teller {
    /// Tells what comes until the end, and why it ended; `None`: the client has gone.
    async fn tell(self, mut subscription: Subscription) -> Option<StreamEnd> {
        let streams = &self.app.engine.streams;
        let limits = streams.limits();
        let mut closing = streams.closing();
        let mut heartbeat = interval_at(Instant::now() + limits.heartbeat, limits.heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let hello = format!("retry: {RETRY_MS}\n").into_bytes();
        let mut text = Some([hello, beat("open", subscription.place()).to_vec()].concat().into());
        loop {
            if let Some(text) = text.take() {
                let sent = tokio::select! {
                    _ = closing.wait_for(|closing| *closing) => return Some(StreamEnd::Closing),
                    sent = timeout(limits.slow_after, self.sender.send(text)) => sent,
                };
                match sent {
                    Err(_) => return Some(StreamEnd::Slow),
                    Ok(Err(_)) => return None,
                    Ok(Ok(())) => {}
                }
            }
            tokio::select! {
                biased;
                _ = closing.wait_for(|closing| *closing) => return Some(StreamEnd::Closing),
                () = self.sender.closed() => return None,
                _ = heartbeat.tick() => {
                    if !self.may_listen() {
                        return Some(StreamEnd::KeyDeleted);
                    }
                    text = Some(beat("heartbeat", subscription.place()));
                }
                page = subscription.next() => match page {
                    Ok(page) => text = self.wanted.write(&page),
                    Err(end) => return Some(end),
                },
            }
        }
    }

    /// Whether the key is still what it was.
    fn may_listen(&self) -> bool {
        let now = self.app.engine.clock.now();
        self.app.authority.identify(&self.key, now).as_ref() == Some(&self.caller)
    }
}
