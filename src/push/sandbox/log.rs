//! What has arrived: a bounded list of requests, accepted or not.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::broadcast;

use crate::domain::time::Timestamp;

/// Arrivals that a slow subscriber may lag behind before it loses some.
const SUBSCRIBER_LAG_MAX: usize = 4096;
/// Different provider tokens that are counted.
const PROVIDER_TOKENS_MAX: usize = 10_000;

/// Whose interface was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// Apple's.
    Apns,
    /// Google's.
    Fcm,
}

/// One request as the sandbox understood it, and what it answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Arrival {
    /// Counts all requests from 1 on.
    pub seq: u64,
    /// When, by the sandbox's clock.
    pub at: Timestamp,
    /// Whose interface.
    pub provider: Provider,
    /// HTTP status of the answer; 0: there was none, and the push was not taken. 200 with a fault: it was taken, whatever
    /// the client has heard.
    pub status: u16,
    /// The provider's word for a refusal.
    pub reason: Option<String>,
    /// The fault that it met.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// What was asked, as far as it could be read.
    #[serde(flatten)]
    pub asked: Asked,
    /// The earlier accepted request that this one replaces on the phone's screen, because token and collapse id (Android:
    /// tag) are the same.
    pub replaces: Option<u64>,
}

/// What a request asks for, as far as it can be read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// `apns-id`, given or made here.
    pub apns_id: Option<String>,
    /// FCM's name for an accepted message.
    pub name: Option<String>,
    /// The device.
    pub token: Option<String>,
    /// Bundle id.
    pub topic: Option<String>,
    /// `apns-collapse-id`, or Android's notification tag.
    pub collapse_id: Option<String>,
    /// First line.
    pub title: Option<String>,
    /// The text.
    pub body: Option<String>,
    /// Custom fields.
    pub data: Map<String, Value>,
    /// 10, 5, 1, HIGH or NORMAL.
    pub priority: Option<String>,
    /// `apns-push-type`.
    pub push_type: Option<String>,
    /// When it expires, Unix seconds.
    pub expiration: Option<i64>,
    /// The whole body. Not in the log that is served.
    #[serde(skip)]
    pub payload: Bytes,
}

/// A part of the log.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogPage {
    /// Oldest first.
    pub items: Vec<Arc<Arrival>>,
    /// `after` of the next page; none when this is the last.
    pub next_cursor: Option<u64>,
    /// Requests since the start or the last clearing, with those that no longer fit the log.
    pub total: u64,
    /// Accepted ones among them.
    pub accepted: u64,
    /// Different APNs provider tokens seen since the start.
    pub provider_tokens: usize,
    /// OAuth access tokens issued since the start.
    pub access_tokens: u64,
    /// Streams since the start that were opened beyond what the client had acknowledged as the limit.
    pub streams_beyond_limit: u64,
}

pub(super) struct Log {
    entries_max: usize,
    inner: Mutex<Inner>,
    news: broadcast::Sender<Arc<Arrival>>,
}

#[derive(Default)]
struct Inner {
    entries: VecDeque<Arc<Arrival>>,
    last_seq: u64,
    total: u64,
    accepted: u64,
    /// The accepted entry that is on the screen, by token and collapse id; only of entries still in the log.
    on_screen: HashMap<(String, String), u64>,
    provider_tokens: HashSet<String>,
    access_tokens: u64,
    streams_beyond_limit: u64,
}

impl Log {
    pub(super) fn new(entries_max: usize) -> Self {
        Self {
            entries_max: entries_max.max(1),
            inner: Mutex::default(),
            news: broadcast::Sender::new(SUBSCRIBER_LAG_MAX),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Arc<Arrival>> {
        self.news.subscribe()
    }

    pub(super) fn record(
        &self,
        at: Timestamp,
        provider: Provider,
        status: u16,
        reason: Option<String>,
        fault: Option<String>,
        asked: Asked,
    ) -> Arc<Arrival> {
        let mut inner = self.lock();
        inner.last_seq += 1;
        inner.total += 1;
        let seq = inner.last_seq;
        let mut replaces = None;
        if status == 200 {
            inner.accepted += 1;
            if let (Some(token), Some(collapse_id)) = (&asked.token, &asked.collapse_id) {
                replaces = inner.on_screen.insert((token.clone(), collapse_id.clone()), seq);
            }
        }
        let arrival = Arc::new(Arrival {
            seq,
            at,
            provider,
            status,
            reason,
            fault,
            asked,
            replaces,
        });
        inner.entries.push_back(Arc::clone(&arrival));
        if inner.entries.len() > self.entries_max {
            inner.drop_oldest();
        }
        // Under the lock, so that subscribers see the order of the log. An error means that nobody listens.
        drop(self.news.send(Arc::clone(&arrival)));
        arrival
    }

    pub(super) fn page(&self, after: u64, limit: usize) -> LogPage {
        let inner = self.lock();
        let first = inner.entries.front().map_or(0, |entry| entry.seq);
        // Numbers in the log have no gaps.
        let skip = usize::try_from((after + 1).saturating_sub(first)).unwrap_or(usize::MAX);
        let items: Vec<_> = inner.entries.iter().skip(skip).take(limit).cloned().collect();
        let last = items.last().map(|entry| entry.seq);
        LogPage {
            next_cursor: last.filter(|seq| *seq < inner.last_seq),
            items,
            total: inner.total,
            accepted: inner.accepted,
            provider_tokens: inner.provider_tokens.len(),
            access_tokens: inner.access_tokens,
            streams_beyond_limit: inner.streams_beyond_limit,
        }
    }

    pub(super) fn all(&self) -> Vec<Arc<Arrival>> {
        self.lock().entries.iter().cloned().collect()
    }

    /// Forgets all entries; numbers go on.
    pub(super) fn clear(&self) {
        let mut inner = self.lock();
        inner.entries.clear();
        inner.on_screen.clear();
        inner.total = 0;
        inner.accepted = 0;
    }

    pub(super) fn provider_token_seen(&self, token: &str) {
        let mut inner = self.lock();
        if inner.provider_tokens.len() < PROVIDER_TOKENS_MAX && !inner.provider_tokens.contains(token) {
            inner.provider_tokens.insert(token.to_owned());
        }
    }

    pub(super) fn stream_beyond_limit(&self) {
        self.lock().streams_beyond_limit += 1;
    }

    pub(super) fn access_token_issued(&self) {
        self.lock().access_tokens += 1;
    }
}

impl Inner {
    fn drop_oldest(&mut self) {
        let Some(oldest) = self.entries.pop_front() else { return };
        if let (Some(token), Some(collapse_id)) = (&oldest.asked.token, &oldest.asked.collapse_id) {
            let key = (token.clone(), collapse_id.clone());
            if self.on_screen.get(&key) == Some(&oldest.seq) {
                self.on_screen.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(token: &str, collapse_id: &str) -> Asked {
        Asked {
            token: Some(token.to_owned()),
            collapse_id: Some(collapse_id.to_owned()),
            ..Asked::default()
        }
    }

    fn record(log: &Log, status: u16, token: &str, collapse_id: &str) -> Option<u64> {
        log.record(
            Timestamp(0),
            Provider::Apns,
            status,
            None,
            None,
            asked(token, collapse_id),
        )
        .replaces
    }

    #[test]
    fn only_an_accepted_push_with_token_and_collapse_id_in_common_is_replaced() {
        let log = Log::new(10);
        assert_eq!(record(&log, 503, "a", "1"), None);
        assert_eq!(record(&log, 200, "a", "1"), None, "the refused one is on no screen");
        assert_eq!(record(&log, 200, "b", "1"), None);
        assert_eq!(record(&log, 200, "a", "2"), None);
        assert_eq!(record(&log, 200, "a", "1"), Some(2));
        assert_eq!(record(&log, 200, "a", "1"), Some(5));
    }

    #[test]
    fn the_log_is_bounded_and_still_counts_all() {
        let log = Log::new(3);
        for n in 0..10 {
            record(&log, 200, "a", &n.to_string());
        }
        let page = log.page(0, 100);
        assert_eq!(page.items.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [8, 9, 10]);
        assert_eq!((page.total, page.accepted, page.next_cursor), (10, 10, None));
        assert_eq!(log.lock().on_screen.len(), 3);
    }

    #[test]
    fn pages_go_on_where_the_last_one_ended() {
        let log = Log::new(10);
        for n in 0..5 {
            record(&log, 200, "a", &n.to_string());
        }
        let seqs = |page: &LogPage| page.items.iter().map(|entry| entry.seq).collect::<Vec<_>>();
        let first = log.page(0, 2);
        assert_eq!((seqs(&first), first.next_cursor), (vec![1, 2], Some(2)));
        let rest = log.page(2, 10);
        assert_eq!((seqs(&rest), rest.next_cursor), (vec![3, 4, 5], None));
        assert!(log.page(99, 10).items.is_empty());
        log.clear();
        record(&log, 200, "a", "x");
        assert_eq!(seqs(&log.page(5, 10)), [6]);
        assert_eq!(log.page(0, 10).total, 1);
    }

    #[test]
    fn an_entry_is_flat_json() {
        let log = Log::new(10);
        log.record(Timestamp(0), Provider::Fcm, 200, None, None, asked("a", "t"));
        let json = serde_json::to_value(log.page(0, 1)).unwrap();
        assert_eq!(json["items"][0]["provider"], "fcm");
        assert_eq!(json["items"][0]["collapseId"], "t");
        assert_eq!(json["items"][0]["replaces"], Value::Null);
        let back: Arrival = serde_json::from_value(json["items"][0].clone()).unwrap();
        assert_eq!(back, *log.all()[0]);
    }
}
