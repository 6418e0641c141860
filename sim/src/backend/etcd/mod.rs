//! A simulated etcd: behaves like one member of etcd 3.4, or of a later line, as a pure state machine that is told the time
//! with every call. It knows no network and no task (`server` does), and where the real one differs, this one is wrong: the
//! parity tests in `fixtures` hold that. Texts and odd cases follow etcd's `mvcc`, `lease` and `etcdserver/api/v3rpc`
//! packages.

mod alarm;
mod auth;
mod cluster;
mod config;
mod election;
mod event;
mod handle;
mod key_range;
mod kv;
mod lease;
mod lease_requests;
mod line;
mod maintenance;
mod membership;
mod pace;
mod proposal;
mod refusal;
pub mod server;
mod space;
mod store;
mod streams;
#[cfg(test)]
mod tests;
mod txn;
mod watch;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use shaketable_proto::etcd::v3::kv::KeyValue;
use shaketable_proto::etcd::v3::rpc::{ResponseHeader, WatchRequest, WatchResponse, watch_request::RequestUnion};

pub use cluster::{EtcdCluster, EtcdMember, OtherMember};
pub use config::EtcdConfig;
pub use event::{DeletionCause, EtcdEvent, Occurrence};
pub use handle::EtcdHandle;
pub use lease_requests::KeepAlive;
pub use line::Line;
pub use proposal::Throttle;
pub use refusal::Refusal;
pub use watch::WatchStreamId;

use alarm::Alarms;
use election::{Leaderless, Seat};
use key_range::KeyRange;
use lease::Leases;
use store::Store;
use watch::Watches;

/// The state machine. Every call that takes `now` first does what has come due by then; time never goes backwards, an
/// earlier `now` counts as the latest one.
#[derive(Clone, Debug)]
pub struct Etcd {
    config: EtcdConfig,
    now: Duration,
    /// When the server last started; its periodic work is counted from here.
    started_at: Duration,
    store: Store,
    leases: Leases,
    /// When expired leases were last looked for.
    leases_checked_at: Duration,
    watches: Watches,
    /// When lagging watches are served next; `None` while none lags.
    sync_due: Option<Duration>,
    raft_index: u64,
    raft_term: u64,
    /// How often the server was started again.
    restarts: u64,
    leaderless: Option<Leaderless>,
    /// Since when nothing that is due is done, where its process does not execute.
    still_since: Option<Duration>,
    /// What it is to the other members; none where it is the only one.
    seat: Option<Seat>,
    throttle: Throttle,
    alarms: Alarms,
    /// The size of the database's file.
    file_bytes: u64,
    /// Moves with everything that somebody may be waiting for.
    pulse: u64,
    /// How many leases have ended.
    lapses: u64,
    occurrences: VecDeque<Occurrence>,
}

impl Etcd {
    /// Starts an empty etcd.
    pub fn new(mut config: EtcdConfig, now: Duration) -> Self {
        // Work that is due again at once would never end.
        let interval_min = Duration::from_millis(1);
        config.lease_check_interval = config.lease_check_interval.max(interval_min);
        config.watch_sync_interval = config.watch_sync_interval.max(interval_min);
        config.first_revision = config.first_revision.max(1);
        config.lease_revocations_per_check = config.lease_revocations_per_check.max(1);
        let mut etcd = Self {
            now,
            started_at: now,
            store: Store::new(&config),
            leases: Leases::new(&config),
            leases_checked_at: now,
            watches: Watches::new(&config),
            sync_due: None,
            // Where a member that has just been started stands.
            raft_index: 4,
            raft_term: config.raft_term,
            restarts: 0,
            leaderless: None,
            still_since: None,
            seat: (!config.others.is_empty()).then(Seat::default),
            throttle: Throttle::Off,
            alarms: Alarms::default(),
            file_bytes: 0,
            pulse: 0,
            lapses: 0,
            occurrences: VecDeque::new(),
            config,
        };
        etcd.grow();
        etcd
    }

    /// Does everything that has come due by `now`: ends expired leases, serves lagging watches, tells progress.
    pub fn advance(&mut self, now: Duration) {
        if self.still_since.is_some() {
            return;
        }
        while let Some(due) = self.next_due()
            && due <= now
        {
            self.now = due.max(self.now);
            self.pulse += 1;
            if self.lease_check_due().is_some_and(|lease_check| lease_check <= due) {
                self.check_leases();
            }
            if self.sync_due.is_some_and(|sync| sync <= due) {
                self.watches.sync(&self.store, &self.header());
                self.schedule_sync();
            }
            self.watches.report_progress(self.now, &self.header());
            self.check_election();
        }
        self.now = self.now.max(now);
    }

    /// When [`Etcd::advance`] next has something to do.
    pub fn next_due(&self) -> Option<Duration> {
        let due = [self.lease_check_due(), self.sync_due, self.watches.progress_due(), self.election_due()];
        due.into_iter().flatten().min()
    }

    /// Lets its process stand still from now on, or go on, while its clock goes on all the time: what came due meanwhile is
    /// done when it goes on, before anything that was asked meanwhile is heard. Measured on etcd 3.4, 3.5 and 3.6.
    pub fn stand_still(&mut self, now: Duration, still: bool) {
        if still {
            self.advance(now);
            self.still_since.get_or_insert(self.now);
            return;
        }
        let Some(since) = self.still_since.take() else { return };
        self.pulse += 1;
        // What is overdue is done now, and not when it was due.
        self.now = self.now.max(now);
        // A timer that has gone off unheard is heard first, however often it did.
        let check = self.tick_after(since, self.config.lease_check_interval);
        if check <= self.now && self.lease_check_due().is_some() {
            self.check_leases();
        }
        self.advance(now);
    }

    /// What has happened since the last call, oldest first.
    pub fn take_events(&mut self) -> Vec<Occurrence> {
        self.occurrences.drain(..).collect()
    }

    /// Restarts the server: data is kept, watch streams are gone, every lease has its full TTL again (as on the real one,
    /// plus one election time-out). Nothing expires while it is down.
    pub fn restart(&mut self, now: Duration) {
        self.now = self.now.max(now);
        self.still_since = None;
        self.started_at = self.now;
        self.leases_checked_at = self.now;
        self.sync_due = None;
        self.watches.close_all();
        self.restarts += 1;
        self.pulse += 1;
        if self.seat.is_some() {
            // Leases live on with those who lead meanwhile, and whoever comes back knows no leader.
            return self.follow(now, 0, self.raft_term, false);
        }
        self.raft_term += 1;
        self.raft_index += 1;
        self.leaderless = None;
        let lease_extension = self.config.lease_restart_extension;
        self.leases.renew_all(self.now, lease_extension);
        self.record(EtcdEvent::Restarted { lease_extension });
    }

    /// The fault of compacting at the newest revision. Returns that revision; it may have been compacted already.
    pub fn compact_now(&mut self, now: Duration) -> i64 {
        self.advance(now);
        let revision = self.store.revision();
        if self.store.compact(revision).is_ok() {
            self.record(EtcdEvent::Compacted { revision });
        }
        revision
    }

    /// The fault of deleting a key behind its owner's back. Says whether there was one.
    pub fn delete_key(&mut self, now: Duration, key: &Bytes) -> bool {
        self.delete_keys(now, std::slice::from_ref(key)) > 0
    }

    /// The fault of deleting keys behind their owners' backs, all in one transaction. Answers how many there were.
    pub fn delete_keys(&mut self, now: Duration, keys: &[Bytes]) -> usize {
        self.advance(now);
        let mut deleted = 0;
        for key in keys {
            deleted += self.store.delete(&KeyRange::single(key)).len();
            self.leases.bind(key, 0);
        }
        self.commit(DeletionCause::Fault);
        deleted
    }

    /// Opens a watch stream.
    pub fn open_watch_stream(&mut self, now: Duration) -> WatchStreamId {
        self.advance(now);
        self.watches.open(self.now)
    }

    /// Takes one request on a watch stream; the answers wait in [`Etcd::next_watch_response`].
    ///
    /// # Errors
    /// [`Refusal::Stopped`] when the server has restarted since the stream was opened.
    pub fn watch(&mut self, now: Duration, stream: WatchStreamId, request: WatchRequest) -> Result<(), Refusal> {
        self.advance(now);
        if !self.watches.is_open(stream) {
            return Err(Refusal::Stopped);
        }
        self.pulse += 1;
        let header = self.header();
        match request.request_union {
            Some(RequestUnion::CreateRequest(create)) => {
                self.watches.create(stream, &self.store, header, create);
                self.schedule_sync();
            }
            Some(RequestUnion::CancelRequest(cancel)) => self.watches.cancel(stream, header, cancel.watch_id),
            Some(RequestUnion::ProgressRequest(_)) => self.watches.progress(stream, header),
            None => {}
        }
        Ok(())
    }

    /// Takes the next response that waits in a watch stream.
    ///
    /// # Errors
    /// [`Refusal::Stopped`] when the server has restarted since the stream was opened.
    pub fn next_watch_response(&mut self, stream: WatchStreamId) -> Result<Option<WatchResponse>, Refusal> {
        if self.watches.is_open(stream) { Ok(self.watches.next_response(stream)) } else { Err(Refusal::Stopped) }
    }

    /// Closes a watch stream with all that waits in it.
    pub fn close_watch_stream(&mut self, stream: WatchStreamId) {
        self.watches.close(stream);
    }

    /// Counts the restarts of the server, so that a stream can tell that it belongs to an earlier one.
    pub fn restarts(&self) -> u64 {
        self.restarts
    }

    /// How many watch streams are open.
    pub fn watch_streams(&self) -> usize {
        self.watches.len()
    }

    /// The newest revision.
    pub fn revision(&self) -> i64 {
        self.store.revision()
    }

    /// The newest revision at which history was forgotten; none where all of it is kept.
    pub fn compact_revision(&self) -> Option<i64> {
        Some(self.store.compacted()).filter(|revision| *revision >= 0)
    }

    /// A key as it is now, without any request being made.
    pub fn peek(&self, key: &[u8]) -> Option<&KeyValue> {
        self.store.get(key)
    }

    /// The keys that there are now, in order, without any request being made.
    pub fn keys(&self) -> impl Iterator<Item = &Bytes> {
        self.store.keys()
    }

    fn header(&self) -> ResponseHeader {
        ResponseHeader {
            cluster_id: self.config.cluster_id,
            member_id: self.config.member_id,
            revision: self.store.revision(),
            raft_term: self.raft_term,
        }
    }

    fn record(&mut self, event: EtcdEvent) {
        self.occurrences.push_back(Occurrence { at: self.now, event });
    }

    /// Makes the open transaction visible, and tells everybody.
    fn commit(&mut self, cause: DeletionCause) {
        let changes = self.store.commit();
        if changes.is_empty() {
            return;
        }
        self.pulse += 1;
        self.grow();
        for change in &changes {
            let (key, revision) = (change.kv.key.clone(), change.kv.mod_revision);
            self.record(if change.deleted {
                EtcdEvent::KeyDeleted { key, revision, cause }
            } else {
                let before = self.store.get_at(&key, revision - 1);
                EtcdEvent::KeyPut {
                    value: change.kv.value.clone(),
                    lease: change.kv.lease,
                    created: change.kv.create_revision == revision,
                    altered: before.is_none_or(|before| before.value != change.kv.value),
                    revision,
                    key,
                }
            });
        }
        self.watches.notify(&self.store, &self.header(), &changes);
        self.schedule_sync();
    }

    /// Plans the next sync where a watch lags.
    fn schedule_sync(&mut self) {
        if !self.watches.any_lags() {
            self.sync_due = None;
        } else if self.sync_due.is_none_or(|due| due <= self.now) {
            self.sync_due = Some(self.tick_after(self.now, self.config.watch_sync_interval));
        }
    }

    /// The first multiple of `interval` since the start that comes after `time`.
    fn tick_after(&self, time: Duration, interval: Duration) -> Duration {
        let ticks = time.saturating_sub(self.started_at).as_nanos() / interval.as_nanos() + 1;
        let nanos = interval.as_nanos().saturating_mul(ticks);
        self.started_at.saturating_add(Duration::from_nanos_u128(nanos))
    }
}
