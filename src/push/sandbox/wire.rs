//! Between TLS and HTTP/2: says on a connection what a server library would not say, and cuts it in the middle of a byte
//! stream.
//!
//! It follows the frames in both directions (RFC 9113 section 4.1), so that what it says stands between two of them, and
//! keeps the acknowledgements of its own SETTINGS from a server that never sent them.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The client's first bytes (RFC 9113 section 3.4).
const PREFACE_BYTES: usize = 24;
const HEAD_BYTES: usize = 9;
const READ_BYTES: usize = 16 * 1024;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;
const MAX_CONCURRENT_STREAMS: u16 = 3;

/// What is to be said on one connection, and what was.
#[derive(Default)]
pub(super) struct Control(Mutex<State>);

#[derive(Default)]
struct State {
    /// Whole frames that wait for a gap.
    waiting: Vec<u8>,
    /// So many bytes may still leave; then the connection is cut.
    cut_after: Option<usize>,
    /// Limits that were announced and not acknowledged yet.
    announced: VecDeque<u32>,
    /// The limit that the client has acknowledged.
    limit: Option<u32>,
    /// Streams above it are not processed: GOAWAY says so.
    last_stream: Option<u32>,
    /// The highest stream that is or was processed.
    entered: u32,
    /// Wakes the connection, which may wait for the client.
    waker: Option<Waker>,
}

impl Control {
    /// `streams_max` is announced at first.
    pub(super) fn new(streams_max: u32) -> Arc<Self> {
        let state = State {
            announced: VecDeque::from([streams_max]),
            ..State::default()
        };
        Arc::new(Self(Mutex::new(state)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Changes how many streams the client may have open.
    pub(super) fn announce(&self, streams_max: u32) {
        self.say(|state| {
            state.announced.push_back(streams_max);
            state.waiting.extend([0, 0, 6, SETTINGS, 0, 0, 0, 0, 0]);
            state.waiting.extend(MAX_CONCURRENT_STREAMS.to_be_bytes());
            state.waiting.extend(streams_max.to_be_bytes());
        });
    }

    /// Says GOAWAY: streams above `last_stream` are not processed, but for those that have been already.
    pub(super) fn go_away(&self, last_stream: u32) {
        self.say(|state| {
            let last_stream = last_stream.max(state.entered);
            // RFC 9113 section 6.8: it never rises.
            let last_stream = state.last_stream.map_or(last_stream, |before| before.min(last_stream));
            state.last_stream = Some(last_stream);
            state.waiting.extend([0, 0, 8, GOAWAY, 0, 0, 0, 0, 0]);
            state.waiting.extend(last_stream.to_be_bytes());
            state.waiting.extend(0_u32.to_be_bytes());
        });
    }

    /// Cuts the connection once so many more bytes have left.
    pub(super) fn cut_after(&self, bytes: usize) {
        self.say(|state| {
            let waiting = state.waiting.len();
            state.cut_after.get_or_insert(bytes + waiting);
        });
    }

    /// Whether a stream may be processed: GOAWAY has not left it out, and never will.
    pub(super) fn enters(&self, stream: u32) -> bool {
        let mut state = self.lock();
        if state.last_stream.is_some_and(|last| stream > last) {
            return false;
        }
        state.entered = state.entered.max(stream);
        true
    }

    /// How many streams the client may have open, as far as it knows.
    pub(super) fn limit(&self) -> Option<u32> {
        self.lock().limit
    }
}

/// Where in a frame a direction is.
#[derive(Default)]
struct Place {
    head: [u8; HEAD_BYTES],
    head_len: usize,
    /// Bytes of the frame's payload that are still to come.
    payload: usize,
}

impl Place {
    fn is_between_frames(&self) -> bool {
        self.head_len == 0 && self.payload == 0
    }

    /// Takes the beginning of `bytes`; gives how many belong together, and the head if one was completed.
    fn step(&mut self, bytes: &[u8]) -> (usize, Option<[u8; HEAD_BYTES]>) {
        if self.payload > 0 {
            let count = self.payload.min(bytes.len());
            self.payload -= count;
            return (count, None);
        }
        let count = (HEAD_BYTES - self.head_len).min(bytes.len());
        for (place, byte) in self.head.iter_mut().skip(self.head_len).zip(bytes.iter().take(count)) {
            *place = *byte;
        }
        self.head_len += count;
        if self.head_len < HEAD_BYTES {
            return (count, None);
        }
        self.head_len = 0;
        let [high, middle, low, ..] = self.head;
        self.payload = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        (count, Some(self.head))
    }
}

/// A connection on which [`Control`] has a say.
pub(super) struct Wire<S> {
    inner: S,
    control: Arc<Control>,
    incoming: Place,
    outgoing: Place,
    preface_left: usize,
    /// Read, and not handed on yet.
    read: VecDeque<u8>,
    /// Of the server's own SETTINGS.
    first_ack_seen: bool,
    first_settings_sent: bool,
}

impl<S> Wire<S> {
    pub(super) fn new(inner: S, control: Arc<Control>) -> Self {
        Self {
            inner,
            control,
            incoming: Place::default(),
            outgoing: Place::default(),
            preface_left: PREFACE_BYTES,
            read: VecDeque::new(),
            first_ack_seen: false,
            first_settings_sent: false,
        }
    }

    /// Keeps what the server is to see of what came.
    fn sift(&mut self, mut bytes: &[u8]) {
        let preface = self.preface_left.min(bytes.len());
        let (head, rest) = bytes.split_at(preface);
        self.read.extend(head);
        self.preface_left -= preface;
        bytes = rest;
        while !bytes.is_empty() {
            let in_head = self.incoming.payload == 0;
            let (count, head) = self.incoming.step(bytes);
            let (step, rest) = bytes.split_at(count);
            bytes = rest;
            if !in_head {
                self.read.extend(step);
            } else if let Some(head) = head
                && !self.is_hidden(head)
            {
                self.read.extend(head);
            }
        }
    }

    /// Whether the frame acknowledges what the server has not said.
    fn is_hidden(&mut self, head: [u8; HEAD_BYTES]) -> bool {
        if head[3] != SETTINGS || head[4] & ACK == 0 {
            return false;
        }
        let mut state = self.control.lock();
        if let Some(limit) = state.announced.pop_front() {
            state.limit = Some(limit);
        }
        std::mem::replace(&mut self.first_ack_seen, true)
    }

    /// The server's own SETTINGS, with the limit that is to be announced in place of its own.
    fn first_settings(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut changed = bytes.to_vec();
        let length = usize::from(*changed.get(1)?) << 8 | usize::from(*changed.get(2)?);
        let limit = self.control.lock().announced.front().copied()?;
        let settings = changed.get_mut(HEAD_BYTES..HEAD_BYTES + length)?;
        let setting = settings
            .chunks_exact_mut(6)
            .find(|setting| setting.starts_with(&MAX_CONCURRENT_STREAMS.to_be_bytes()))?;
        setting.get_mut(2..)?.copy_from_slice(&limit.to_be_bytes());
        Some(changed)
    }
}

impl<S: AsyncWrite + Unpin> Wire<S> {
    /// Writes some of `bytes`, as far as the cut allows.
    fn poll_some(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let room = self.control.lock().cut_after.unwrap_or(usize::MAX);
        if room == 0 {
            // What was written before it arrives.
            ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let bytes = bytes.get(..room).unwrap_or(bytes);
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, bytes))?;
        if let Some(left) = &mut self.control.lock().cut_after {
            *left -= written;
        }
        Poll::Ready(Ok(written))
    }

    /// Says what waits, if this is a gap between two frames.
    fn poll_say(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let waiting = self.control.lock().waiting.clone();
            let cut = self.control.lock().cut_after == Some(0);
            if (waiting.is_empty() && !cut) || !self.first_settings_sent || !self.outgoing.is_between_frames() {
                return Poll::Ready(Ok(()));
            }
            let written = ready!(self.poll_some(cx, &waiting))?;
            self.control.lock().waiting.drain(..written);
            // In the middle of it the server has to wait: the rest goes first, as this is still a gap to it.
            if self.control.lock().waiting.is_empty() {
                ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Wire<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Poll::Ready(said) = this.poll_say(cx) {
            said?;
        }
        loop {
            if !this.read.is_empty() {
                let (front, _) = this.read.as_slices();
                let count = front.len().min(out.remaining());
                out.put_slice(front.get(..count).unwrap_or_default());
                this.read.drain(..count);
                return Poll::Ready(Ok(()));
            }
            let mut space = [0; READ_BYTES];
            let mut buffer = ReadBuf::new(&mut space);
            if Pin::new(&mut this.inner).poll_read(cx, &mut buffer)?.is_pending() {
                this.control.lock().waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.sift(buffer.filled());
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.poll_say(cx))?;
        let changed = if this.first_settings_sent {
            None
        } else {
            this.first_settings(bytes)
        };
        let written = ready!(this.poll_some(cx, changed.as_deref().unwrap_or(bytes)))?;
        this.first_settings_sent = true;
        let mut passed = bytes.get(..written).unwrap_or(bytes);
        while !passed.is_empty() {
            let (count, _) = this.outgoing.step(passed);
            passed = passed.get(count..).unwrap_or_default();
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_say(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
