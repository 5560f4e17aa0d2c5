//! The live stream: what happens, told to whoever listens, from any place on and with nothing left out.
//!
//! All streams of a workspace share one *feed*: a task reads the facts after the feed's place, a page at a time, and
//! hands each page to all. It is woken by commits of this process and looks by itself a little later, for what other
//! processes have committed. Somebody who joins reads from the store alone up to where the feed is, and then goes on with
//! it; a page that overlaps is cut by the order of places. So a place is all that is needed to go on, after a broken
//! connection, a crash, or with another process.
//!
//! Nothing waits for a slow listener: pages are kept for `PAGES_KEPT`, and who is farther behind is sent away with its
//! place.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{
        Notify, OwnedSemaphorePermit, Semaphore,
        broadcast::{self, error::RecvError},
        watch,
    },
    time::{Instant, sleep},
};

use super::{
    Engine, EngineError,
    ports::{FactCursor, StoreError},
};
use crate::domain::ids::WorkspaceId;

mod page;

pub use page::Page;

/// Facts read at once.
const PAGE_FACTS_MAX: usize = 128;
/// Pages that a listener may be behind.
const PAGES_KEPT: usize = 64;
/// The feeds are not read more often than this, however much is committed.
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// Limits of the streams.
#[derive(Debug, Clone, Copy)]
pub struct StreamLimits {
    /// Streams open at once.
    pub connections_max: usize,
    /// How often to say that nothing happens.
    pub heartbeat: Duration,
    /// How often to look for what nobody announced.
    pub sweep: Duration,
    /// A listener who takes nothing for this long is sent away.
    pub slow_after: Duration,
}

/// Why a stream is not opened.
#[derive(Debug, thiserror::Error)]
pub enum StreamRefused {
    /// As many are open as may be.
    #[error("as many streams are open as this server allows")]
    TooMany,
    /// The server is going down.
    #[error("the server is going down")]
    Closing,
    /// Nobody can go on from that place.
    #[error("the place is unknown, or what came after it is no longer kept")]
    PlaceGone,
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamEnd {
    /// The listener is too slow.
    Slow,
    /// The server is going down.
    Closing,
    /// The store did not answer.
    Unavailable,
    /// The key was deleted.
    KeyDeleted,
}

impl StreamEnd {
    /// The name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Closing => "shutdown",
            Self::Unavailable => "unavailable",
            Self::KeyDeleted => "key_deleted",
        }
    }
}

struct Feed {
    upto: FactCursor,
    pages: broadcast::Sender<Arc<Page>>,
}

/// All feeds and their listeners.
pub struct Streams {
    feeds: Mutex<HashMap<WorkspaceId, Feed>>,
    open: Arc<Semaphore>,
    limits: StreamLimits,
    closing: watch::Sender<bool>,
    /// Rings when something was committed.
    committed: Arc<Notify>,
}

impl Streams {
    /// No feeds yet.
    pub fn new(limits: StreamLimits, committed: Arc<Notify>) -> Self {
        Self {
            feeds: Mutex::default(),
            open: Arc::new(Semaphore::new(limits.connections_max)),
            limits,
            closing: watch::Sender::new(false),
            committed,
        }
    }

    /// Its limits.
    pub fn limits(&self) -> StreamLimits {
        self.limits
    }

    /// Something was committed beside the records.
    pub fn ring(&self) {
        self.committed.notify_one();
    }

    /// How many are open.
    pub fn open(&self) -> usize {
        self.limits.connections_max - self.open.available_permits()
    }

    /// Ends all streams, and opens none any more.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Turns true when all streams are to end.
    pub fn closing(&self) -> watch::Receiver<bool> {
        self.closing.subscribe()
    }

    fn feeds(&self) -> MutexGuard<'_, HashMap<WorkspaceId, Feed>> {
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The feed's pages after a place; a new feed begins at `end`.
    fn join(&self, workspace: &WorkspaceId, end: &FactCursor) -> (broadcast::Receiver<Arc<Page>>, FactCursor) {
        match self.feeds().entry(workspace.clone()) {
            Entry::Occupied(feed) => (feed.get().pages.subscribe(), feed.get().upto.clone()),
            Entry::Vacant(vacant) => {
                let (pages, listener) = broadcast::channel(PAGES_KEPT);
                let upto = end.clone();
                vacant.insert(Feed { upto, pages });
                (listener, end.clone())
            }
        }
    }

    /// Feeds with listeners, and where they are; the others end.
    fn listened_to(&self) -> Vec<(WorkspaceId, FactCursor)> {
        let mut feeds = self.feeds();
        feeds.retain(|_, feed| feed.pages.receiver_count() > 0);
        let places = feeds.iter();
        places
            .map(|(workspace, feed)| (workspace.clone(), feed.upto.clone()))
            .collect()
    }

    /// Hands a page to all listeners; `from` is where the feed was when it was read.
    fn hand_on(&self, workspace: &WorkspaceId, from: &FactCursor, page: Page) {
        if let Some(feed) = self.feeds().get_mut(workspace)
            && feed.upto == *from
        {
            feed.upto = page.upto.clone();
            // Without listeners it is heard by nobody, and the feed ends with the next round.
            feed.pages.send(Arc::new(page)).map(drop).unwrap_or_default();
        }
    }
}

/// One listener of a feed.
pub struct Subscription {
    engine: Arc<Engine>,
    workspace: WorkspaceId,
    /// Everything up to here was given out.
    place: FactCursor,
    pages: broadcast::Receiver<Arc<Page>>,
    /// Where the feed was when it was joined, while the store is read up to there.
    catches_up_to: Option<FactCursor>,
    /// Whether the feed itself was heard since.
    heard_feed: bool,
    _counted: OwnedSemaphorePermit,
}

impl Subscription {
    /// Everything up to there was given out.
    pub fn place(&self) -> &FactCursor {
        &self.place
    }

    /// Waits for what comes next. May be dropped while it waits.
    pub async fn next(&mut self) -> Result<Arc<Page>, StreamEnd> {
        loop {
            let page = match self.catches_up_to.clone() {
                Some(feed) => self.read_up_to(feed).await.map_err(|error| {
                    tracing::warn!(%error, "a stream ends; its client may come again");
                    StreamEnd::Unavailable
                })?,
                None => self.hear().await?,
            };
            if let Some(page) = page {
                self.place = page.upto.clone();
                return Ok(page);
            }
        }
    }

    /// A page from the store; `None`: it has reached the feed.
    async fn read_up_to(&mut self, feed: FactCursor) -> Result<Option<Arc<Page>>, EngineError> {
        let hot = &self.engine.store.hot;
        if hot.is_later(&feed, &self.place)? {
            let found = self
                .engine
                .read_facts(&self.workspace, Some(&self.place), PAGE_FACTS_MAX)
                .await?;
            if let Some(page) = self.engine.page(&self.workspace, found).await? {
                return Ok(Some(Arc::new(page)));
            }
            self.place = feed;
        }
        self.catches_up_to = None;
        self.heard_feed = false;
        Ok(None)
    }

    /// A page from the feed; `None`: it has nothing new, or must be joined anew.
    async fn hear(&mut self) -> Result<Option<Arc<Page>>, StreamEnd> {
        let page = match self.pages.recv().await {
            Ok(page) => page,
            Err(RecvError::Closed) => return Err(StreamEnd::Closing),
            // The feed went on for too long while the store was read: once more, from here.
            Err(RecvError::Lagged(_)) if !self.heard_feed => {
                let (pages, feed) = self.engine.streams.join(&self.workspace, &self.place);
                self.pages = pages;
                self.catches_up_to = Some(feed);
                return Ok(None);
            }
            Err(RecvError::Lagged(_)) => return Err(StreamEnd::Slow),
        };
        self.heard_feed = true;
        let is_new = |place: &FactCursor| {
            let later = self.engine.store.hot.is_later(place, &self.place);
            later.map_err(|_| StreamEnd::Unavailable)
        };
        if !is_new(&page.upto)? {
            return Ok(None);
        }
        let Some((first, _)) = page.events.first() else {
            return Ok(Some(page));
        };
        if is_new(first)? {
            return Ok(Some(page));
        }
        let mut events = Vec::new();
        for (place, event) in &page.events {
            if is_new(place)? {
                events.push((place.clone(), Arc::clone(event)));
            }
        }
        let upto = page.upto.clone();
        Ok(Some(Arc::new(Page { events, upto })))
    }
}

impl Engine {
    /// Listens to a workspace from a place on; `None`: from now on.
    pub async fn listen(
        self: Arc<Self>,
        workspace: &WorkspaceId,
        after: Option<FactCursor>,
    ) -> Result<Subscription, StreamRefused> {
        if *self.streams.closing.borrow() {
            return Err(StreamRefused::Closing);
        }
        let open = Arc::clone(&self.streams.open);
        let counted = open.try_acquire_owned().map_err(|_| StreamRefused::TooMany)?;
        let hot = &self.store.hot;
        if let Some(after) = &after
            && !hot.leads_on(workspace, after).await?
        {
            return Err(StreamRefused::PlaceGone);
        }
        let end = hot.facts_end(workspace).await?;
        let (pages, feed) = self.streams.join(workspace, &end);
        Ok(Subscription {
            place: after.unwrap_or(end),
            workspace: workspace.clone(),
            pages,
            catches_up_to: Some(feed),
            heard_feed: false,
            _counted: counted,
            engine: self,
        })
    }

    /// Feeds the streams until `stop` turns true.
    pub async fn feed_streams(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let begun = Instant::now();
            if self.feed_once().await {
                continue;
            }
            tokio::select! {
                () = self.streams.committed.notified() => {}
                () = sleep(self.streams.limits.sweep) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            tokio::time::sleep_until(begun + PAUSE_MIN).await;
        }
    }

    /// Reads one page for each feed; whether any may have more.
    async fn feed_once(&self) -> bool {
        let mut has_more = false;
        for (workspace, from) in self.streams.listened_to() {
            match self.feed_page(&workspace, &from).await {
                Ok(full) => has_more |= full,
                // The other workspaces go on.
                Err(error) => tracing::warn!(%workspace, %error, "the streams wait; trying again"),
            }
        }
        has_more
    }

    /// Reads one page for a feed; whether it was full.
    async fn feed_page(&self, workspace: &WorkspaceId, from: &FactCursor) -> Result<bool, EngineError> {
        let found = self.read_facts(workspace, Some(from), PAGE_FACTS_MAX).await?;
        let full = found.is_full;
        if let Some(page) = self.page(workspace, found).await? {
            self.streams.hand_on(workspace, from, page);
        }
        Ok(full)
    }
}
