//! One simulated etcd, shared between its server and the world around it. Whoever changes it through a handle wakes those
//! who wait for a change. It knows no network and no clock.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use shaketable_proto::etcd::v3::rpc::WatchResponse;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use super::pace::Pace;
use super::{Etcd, Refusal, WatchStreamId};

/// A simulated etcd that outlives its server: data and leases stay here while the host is down. Cheap to clone.
#[derive(Clone, Debug)]
pub struct EtcdHandle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    member_id: u64,
    state: Mutex<State>,
    pace: Mutex<Pace>,
    leaderless: AtomicBool,
    changed: Arc<Notify>,
    lapsed: Arc<Notify>,
    requests: AtomicU64,
}

#[derive(Debug)]
struct State {
    etcd: Etcd,
    started: bool,
    /// Who reads a watch stream that has nothing to tell.
    readers: BTreeMap<WatchStreamId, Waker>,
}

impl EtcdHandle {
    /// Shares `etcd`.
    pub fn new(etcd: Etcd) -> Self {
        let member_id = etcd.member_id();
        let leaderless = etcd.leader() == 0;
        let state = Mutex::new(State { etcd, started: false, readers: BTreeMap::new() });
        Self {
            shared: Arc::new(Shared {
                member_id,
                state,
                pace: Mutex::new(Pace::EVEN),
                leaderless: AtomicBool::new(leaderless),
                changed: Arc::default(),
                lapsed: Arc::default(),
                requests: AtomicU64::new(0),
            }),
        }
    }

    /// Looks at the state machine or changes it: for requests, for fault verbs (`lose_lease`, `compact_now`, `restart`,
    /// ...), and for the truth (`take_events`). The times that are passed in must come from the clock that the server
    /// runs on. Do not call it from within.
    pub fn with<T>(&self, act: impl FnOnce(&mut Etcd) -> T) -> T {
        self.with_state(|state| act(&mut state.etcd))
    }

    /// The time by the clock that the state machine is told, when it is `host` by the clock of the server's host.
    pub fn time(&self, host: Duration) -> Duration {
        self.pace().time(host)
    }

    /// How many times as fast as the host's clock that clock runs.
    pub fn times(&self) -> NonZeroU32 {
        self.pace().times()
    }

    /// Lets that clock run so many times as fast as the host's from now on, which is `host` by the latter. Leases, whose terms
    /// are by it, end so many times sooner.
    pub fn run_times_as_fast(&self, host: Duration, times: NonZeroU32) {
        let mut pace = self.shared.pace.lock().unwrap_or_else(PoisonError::into_inner);
        *pace = pace.from(host, times);
        drop(pace);
        self.shared.changed.notify_waiters();
    }

    /// When it is `time` by that clock, by the clock of the host.
    pub(super) fn host_time(&self, time: Duration) -> Duration {
        self.pace().host_time(time)
    }

    fn pace(&self) -> Pace {
        *self.shared.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is no leader at present.
    pub(super) fn is_leaderless(&self) -> bool {
        self.shared.leaderless.load(Ordering::Relaxed)
    }

    /// The id of the member.
    pub(super) fn member_id(&self) -> u64 {
        self.shared.member_id
    }

    /// How many calls clients have begun, and messages they have sent on streams.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// A client has begun a call, or sent a message on a stream.
    pub(super) fn count_request(&self) {
        self.shared.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Starts the server: nothing for the first time, a restart from then on.
    pub(super) fn start(&self, now: Duration) {
        self.with_state(|state| {
            if state.started {
                state.etcd.restart(now);
            }
            state.started = true;
        });
    }

    /// Completes at the next change; changes from this call on count.
    pub(super) fn changed(&self) -> OwnedNotified {
        self.shared.changed.clone().notified_owned()
    }

    /// Completes when a lease ends, a leader is elected or the server restarts; from this call on it counts.
    pub(super) fn lapsed(&self) -> OwnedNotified {
        self.shared.lapsed.clone().notified_owned()
    }

    /// What waits in a watch stream; whoever asks in vain is woken when there is something.
    ///
    /// # Errors
    /// As [`Etcd::next_watch_response`].
    pub(super) fn poll_watch(
        &self,
        stream: WatchStreamId,
        context: &Context<'_>,
    ) -> Result<Option<WatchResponse>, Refusal> {
        self.with_state(|state| {
            let response = state.etcd.next_watch_response(stream)?;
            if response.is_none() {
                state.readers.insert(stream, context.waker().clone());
            }
            Ok(response)
        })
    }

    pub(super) fn close_watch_stream(&self, stream: WatchStreamId) {
        let reader = self.with_state(|state| {
            state.etcd.close_watch_stream(stream);
            state.readers.remove(&stream)
        });
        drop(reader);
    }

    fn with_state<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        // A panic elsewhere must not turn into a second one here: the state machine has no half-done states to protect.
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        let look = |etcd: &Etcd| ((etcd.pulse, etcd.next_due()), (etcd.raft_term, etcd.lapses));
        let before = look(&state.etcd);
        let result = act(&mut state);
        let after = look(&state.etcd);
        self.shared.leaderless.store(state.etcd.leader() == 0, Ordering::Relaxed);
        let news = state.etcd.watches.take_news();
        let readers: Vec<Waker> = news.iter().filter_map(|stream| state.readers.remove(stream)).collect();
        drop(state);
        readers.into_iter().for_each(Waker::wake);
        if before.0 != after.0 {
            self.shared.changed.notify_waiters();
        }
        if before.1 != after.1 {
            self.shared.lapsed.notify_waiters();
        }
        result
    }
}
