//! Watch streams: which watch has heard what, and the responses that wait to be sent. It reads the store and never changes
//! it. A watch is *synced* while it hears of every commit at once; one that starts in the past, or whose stream is full,
//! *lags* and is served from the store's history at the next sync.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use shaketable_proto::etcd::v3::kv::{Event, event::EventType};
use shaketable_proto::etcd::v3::rpc::{
    ResponseHeader, WatchCreateRequest, WatchResponse, watch_create_request::FilterType,
};

use super::config::EtcdConfig;
use super::key_range::KeyRange;
use super::line::Line;
use super::store::{Change, Store};

/// The watch id of answers that belong to no watch.
const NO_WATCH: i64 = -1;

/// Names one watch stream. Never given twice, not even after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WatchStreamId(u64);

#[derive(Clone, Debug)]
pub(super) struct Watches {
    streams: BTreeMap<WatchStreamId, Stream>,
    next_stream: u64,
    limits: Limits,
    /// When each stream is due to tell progress.
    due: BTreeSet<(Duration, WatchStreamId)>,
    /// Streams that have got something to tell, or were closed, since somebody asked.
    news: BTreeSet<WatchStreamId>,
}

#[derive(Clone, Debug)]
struct Limits {
    buffer_responses: usize,
    sync_revisions_max: usize,
    fragment_bytes: usize,
    progress_interval: Duration,
    line: Line,
}

#[derive(Clone, Debug)]
struct Stream {
    outgoing: VecDeque<WatchResponse>,
    watches: BTreeMap<i64, Watch>,
    next_watch: i64,
    progress_due: Duration,
}

#[derive(Clone, Debug)]
struct Watch {
    range: KeyRange,
    /// As it was asked for.
    start_revision: i64,
    /// The first revision that it has not heard of.
    next_revision: i64,
    state: State,
    no_put: bool,
    no_delete: bool,
    prev_kv: bool,
    fragment: bool,
    progress: Progress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Synced,
    Lagging,
    /// Ended by a compaction. It keeps its id until the client cancels it.
    Compacted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Never,
    Due,
    /// An event has been sent since the last report, and says as much.
    Elided,
}

impl Watches {
    pub(super) fn new(config: &EtcdConfig) -> Self {
        let limits = Limits {
            buffer_responses: config.watch_buffer_responses.max(1),
            sync_revisions_max: config.watch_sync_revisions_max.max(1),
            fragment_bytes: config.watch_fragment_bytes,
            progress_interval: config.watch_progress_interval.max(Duration::from_millis(100)),
            line: config.line,
        };
        Self { streams: BTreeMap::new(), next_stream: 0, limits, due: BTreeSet::new(), news: BTreeSet::new() }
    }

    pub(super) fn open(&mut self, now: Duration) -> WatchStreamId {
        let id = WatchStreamId(self.next_stream);
        self.next_stream += 1;
        let progress_due = now + self.limits.progress_interval;
        let stream = Stream { outgoing: VecDeque::new(), watches: BTreeMap::new(), next_watch: 0, progress_due };
        self.streams.insert(id, stream);
        self.due.insert((progress_due, id));
        id
    }

    pub(super) fn close(&mut self, id: WatchStreamId) {
        if let Some(stream) = self.streams.remove(&id) {
            self.due.remove(&(stream.progress_due, id));
        }
    }

    pub(super) fn close_all(&mut self) {
        self.due.clear();
        self.news.extend(std::mem::take(&mut self.streams).into_keys());
    }

    /// Wakes the readers of all streams.
    pub(super) fn wake_all(&mut self) {
        self.news.extend(self.streams.keys().copied());
    }

    /// The streams that have got something to tell, or were closed, since the last call.
    pub(super) fn take_news(&mut self) -> BTreeSet<WatchStreamId> {
        std::mem::take(&mut self.news)
    }

    pub(super) fn len(&self) -> usize {
        self.streams.len()
    }

    pub(super) fn is_open(&self, id: WatchStreamId) -> bool {
        self.streams.contains_key(&id)
    }

    pub(super) fn next_response(&mut self, id: WatchStreamId) -> Option<WatchResponse> {
        self.streams.get_mut(&id)?.outgoing.pop_front()
    }

    /// Adds a watch, or answers at once that it cannot be.
    pub(super) fn create(
        &mut self,
        id: WatchStreamId,
        store: &Store,
        header: ResponseHeader,
        request: WatchCreateRequest,
    ) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let mut response = WatchResponse { header: Some(header), created: true, ..WatchResponse::default() };
        match stream.add(store, request, self.limits.line) {
            Ok(watch) => response.watch_id = watch,
            Err(reason) => {
                response.watch_id = NO_WATCH;
                response.canceled = true;
                response.cancel_reason = reason.into();
            }
        }
        stream.outgoing.push_back(response);
        self.news.insert(id);
    }

    /// Ends a watch; says nothing about one that there is not.
    pub(super) fn cancel(&mut self, id: WatchStreamId, header: ResponseHeader, watch_id: i64) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.watches.remove(&watch_id).is_some() {
            let header = Some(header);
            stream.outgoing.push_back(WatchResponse { header, watch_id, canceled: true, ..WatchResponse::default() });
            self.news.insert(id);
        }
    }

    /// Tells the present revision for the whole stream; like etcd 3.4 also while watches lag, see
    /// [`Line::tells_progress_in_order`].
    pub(super) fn progress(&mut self, id: WatchStreamId, header: ResponseHeader) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if self.limits.line.tells_progress_in_order() && !stream.is_told_up_to(header.revision) {
            return;
        }
        stream.outgoing.push_back(WatchResponse {
            header: Some(header),
            watch_id: NO_WATCH,
            ..WatchResponse::default()
        });
        self.news.insert(id);
    }

    /// Tells every synced watch of one commit.
    pub(super) fn notify(&mut self, store: &Store, header: &ResponseHeader, changes: &[Change]) {
        let revision = header.revision;
        for (stream_id, stream) in &mut self.streams {
            for (id, watch) in &mut stream.watches {
                if watch.state != State::Synced || watch.next_revision > revision {
                    continue;
                }
                if !changes.iter().any(|change| watch.range.contains(&change.kv.key)) {
                    continue;
                }
                if stream.outgoing.len() >= self.limits.buffer_responses {
                    watch.state = State::Lagging;
                    watch.next_revision = revision;
                    continue;
                }
                watch.send(*id, store, header, changes.iter(), &self.limits, &mut stream.outgoing);
                self.news.insert(*stream_id);
            }
        }
    }

    pub(super) fn any_lags(&self) -> bool {
        self.streams.values().flat_map(|stream| stream.watches.values()).any(|watch| watch.state == State::Lagging)
    }

    /// Serves lagging watches from the store's history, and ends those whose history is compacted.
    pub(super) fn sync(&mut self, store: &Store, header: &ResponseHeader) {
        for (stream_id, stream) in &mut self.streams {
            for (id, watch) in &mut stream.watches {
                if watch.state == State::Lagging && stream.outgoing.len() < self.limits.buffer_responses {
                    watch.catch_up(*id, store, header, &self.limits, &mut stream.outgoing);
                    self.news.insert(*stream_id);
                }
            }
        }
    }

    /// When the next stream is due to tell progress.
    pub(super) fn progress_due(&self) -> Option<Duration> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Tells progress on the streams that are due by `now`.
    pub(super) fn report_progress(&mut self, now: Duration, header: &ResponseHeader) {
        while let Some((due, stream_id)) = self.due.first().copied().filter(|(due, _)| *due <= now) {
            self.due.remove(&(due, stream_id));
            let Some(stream) = self.streams.get_mut(&stream_id) else { continue };
            stream.progress_due = now + self.limits.progress_interval;
            self.due.insert((stream.progress_due, stream_id));
            for (id, watch) in &mut stream.watches {
                if watch.progress == Progress::Due
                    && watch.state == State::Synced
                    && stream.outgoing.len() < self.limits.buffer_responses
                {
                    let header = Some(*header);
                    stream.outgoing.push_back(WatchResponse { header, watch_id: *id, ..WatchResponse::default() });
                    self.news.insert(stream_id);
                }
                if watch.progress == Progress::Elided {
                    watch.progress = Progress::Due;
                }
            }
        }
    }
}

impl Stream {
    /// Whether there are watches, and all have been told everything.
    fn is_told_up_to(&self, revision: i64) -> bool {
        let is_told = |watch: &Watch| watch.state == State::Synced && watch.start_revision <= revision;
        !self.watches.is_empty() && self.watches.values().all(is_told)
    }

    fn add(&mut self, store: &Store, request: WatchCreateRequest, line: Line) -> Result<i64, &'static str> {
        if request.start_revision < 0 && line.refuses_negative_starts() {
            return Err("etcdserver: mvcc: required revision has been compacted");
        }
        // No key is the smallest key.
        let key = if request.key.is_empty() { Bytes::from_static(&[0]) } else { request.key };
        let range = KeyRange::new(&key, &request.range_end);
        if range.is_void() {
            return Err("mvcc: watcher range is empty");
        }
        let id = if request.watch_id == 0 {
            while self.watches.contains_key(&self.next_watch) {
                self.next_watch += 1;
            }
            self.next_watch += 1;
            self.next_watch - 1
        } else if self.watches.contains_key(&request.watch_id) {
            return Err("mvcc: duplicate watch ID provided on the WatchStream");
        } else {
            request.watch_id
        };
        let newest = store.revision();
        let start = if request.start_revision == 0 { newest + 1 } else { request.start_revision };
        let watch = Watch {
            range,
            start_revision: request.start_revision,
            next_revision: start,
            state: if start > newest { State::Synced } else { State::Lagging },
            no_put: request.filters.contains(&(FilterType::Noput as i32)),
            no_delete: request.filters.contains(&(FilterType::Nodelete as i32)),
            prev_kv: request.prev_kv,
            fragment: request.fragment,
            progress: if request.progress_notify { Progress::Due } else { Progress::Never },
        };
        self.watches.insert(id, watch);
        Ok(id)
    }
}

impl Watch {
    fn catch_up(
        &mut self,
        id: i64,
        store: &Store,
        header: &ResponseHeader,
        limits: &Limits,
        outgoing: &mut VecDeque<WatchResponse>,
    ) {
        if self.next_revision < store.compacted() {
            self.state = State::Compacted;
            // etcd leaves the revision of this header at 0.
            let header = Some(ResponseHeader { revision: 0, ..*header });
            let compact_revision = store.compacted();
            outgoing.push_back(WatchResponse {
                header,
                watch_id: id,
                // It concludes this from the number, so that who was ended by a compaction at revision 0 is not told
                // (`server/etcdserver/api/v3rpc/watch.go`, `sendLoop`).
                canceled: compact_revision != 0,
                compact_revision,
                ..WatchResponse::default()
            });
            return;
        }
        if self.next_revision < 0 {
            // As bytes, by which etcd looks for it, a negative revision comes after all others.
            self.next_revision = store.revision() + 1;
            self.state = State::Synced;
            return;
        }
        let mut batch = Vec::new();
        let mut revisions = 0;
        let mut last = None;
        let mut more = None;
        for change in store.since(self.next_revision).filter(|change| self.range.contains(&change.kv.key)) {
            if last != Some(change.kv.mod_revision) {
                if revisions == limits.sync_revisions_max {
                    more = Some(change.kv.mod_revision);
                    break;
                }
                revisions += 1;
                last = Some(change.kv.mod_revision);
            }
            batch.push(change);
        }
        self.send(id, store, header, batch.into_iter(), limits, outgoing);
        match more {
            Some(revision) => self.next_revision = revision,
            None => {
                self.next_revision = store.revision() + 1;
                self.state = State::Synced;
            }
        }
    }

    fn send<'a>(
        &mut self,
        id: i64,
        store: &Store,
        header: &ResponseHeader,
        changes: impl Iterator<Item = &'a Change>,
        limits: &Limits,
        outgoing: &mut VecDeque<WatchResponse>,
    ) {
        let wanted = changes.filter(|change| {
            let filtered = if change.deleted { self.no_delete } else { self.no_put };
            !filtered && self.range.contains(&change.kv.key)
        });
        let events: Vec<Event> = wanted.map(|change| event(store, change, self.prev_kv)).collect();
        if events.is_empty() {
            return;
        }
        if self.progress == Progress::Due {
            self.progress = Progress::Elided;
        }
        let response = WatchResponse { header: Some(*header), watch_id: id, events, ..WatchResponse::default() };
        if self.fragment {
            split(response, limits.fragment_bytes, outgoing);
        } else {
            outgoing.push_back(response);
        }
    }
}

fn event(store: &Store, change: &Change, prev_kv: bool) -> Event {
    let created = !change.deleted && change.kv.create_revision == change.kv.mod_revision;
    let prev_kv =
        if prev_kv && !created { store.get_at(&change.kv.key, change.kv.mod_revision - 1).cloned() } else { None };
    let r#type = if change.deleted { EventType::Delete } else { EventType::Put };
    Event { r#type: r#type.into(), kv: Some(change.kv.clone()), prev_kv }
}

/// Splits a response into parts below `bytes_max`, each with at least one event; all but the last are marked.
fn split(response: WatchResponse, bytes_max: usize, outgoing: &mut VecDeque<WatchResponse>) {
    if response.encoded_len() < bytes_max || response.events.len() < 2 {
        outgoing.push_back(response);
        return;
    }
    let empty = WatchResponse { fragment: true, events: Vec::new(), ..response.clone() };
    let mut part = empty.clone();
    for event in response.events {
        part.events.push(event);
        if part.events.len() > 1
            && part.encoded_len() >= bytes_max
            && let Some(event) = part.events.pop()
        {
            outgoing.push_back(std::mem::replace(&mut part, empty.clone()));
            part.events.push(event);
        }
    }
    part.fragment = false;
    outgoing.push_back(part);
}
