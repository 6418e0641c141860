//! Hosts whose service is the user's own: who they are, what they were seen to register, and how it stands with each. It knows
//! no sockets and no faults.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use crate::backend::{Entry, LiveService};
use crate::decorate::node_of;
use crate::history::{Moment, Operation, Recorder};
use crate::scenario::model::Runs;

/// A host whose service is the user's own.
#[derive(Clone, Debug)]
pub struct OwnHost {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    host: Arc<str>,
    group: String,
    runs: Runs,
    service: Arc<dyn LiveService>,
    /// Where its service listens, as it is reached from here.
    targets: Vec<SocketAddr>,
    /// Ids of the nodes that it was seen to have registered, by key.
    nodes: Mutex<BTreeMap<String, String>>,
    stands: watch::Sender<Stands>,
    /// It speaks something of which single requests cannot be told.
    is_opaque: AtomicBool,
}

/// How it stands with a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stands {
    /// As far as we know it runs.
    Up,
    /// It executes nothing, since this moment.
    Paused(Moment),
    /// It was killed, at this moment.
    Down(Moment),
}

impl OwnHost {
    /// A replica of `group` on the host called `host`, which runs.
    ///
    /// # Errors
    /// One sentence: nobody knows its address.
    pub fn new(host: &str, group: &str, runs: &Runs, service: Arc<dyn LiveService>) -> Result<Self, String> {
        let address = service.address();
        let found = std::net::ToSocketAddrs::to_socket_addrs(&address);
        let targets: Vec<SocketAddr> =
            found.map_err(|error| format!("nobody knows the address {address} of {host}: {error}"))?.collect();
        if targets.is_empty() {
            return Err(format!("nobody knows the address {address} of {host}"));
        }
        let shared = Shared {
            host: host.into(),
            group: group.to_owned(),
            runs: runs.clone(),
            service,
            targets,
            nodes: Mutex::default(),
            stands: watch::Sender::new(Stands::Up),
            is_opaque: AtomicBool::new(false),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Its name.
    pub fn host(&self) -> &Arc<str> {
        &self.shared.host
    }

    /// The service that it is a replica of.
    pub fn group(&self) -> &str {
        &self.shared.group
    }

    /// How it comes to run.
    pub fn runs(&self) -> &Runs {
        &self.shared.runs
    }

    /// The service itself.
    pub fn service(&self) -> &Arc<dyn LiveService> {
        &self.shared.service
    }

    /// Ids of the nodes that it is seen to have registered.
    pub fn nodes(&self) -> Vec<String> {
        self.written().values().cloned().collect()
    }

    /// Whether what passes could not be told apart into requests.
    pub fn is_opaque(&self) -> bool {
        self.shared.is_opaque.load(Ordering::Relaxed)
    }

    pub(super) fn is_not_understood(&self) {
        self.shared.is_opaque.store(true, Ordering::Relaxed);
    }

    pub(super) fn targets(&self) -> &[SocketAddr] {
        &self.shared.targets
    }

    /// Whether who dials `peer` means this service, though it is not the address by which it is reached from here: one of this
    /// machine may have told any of the machine's addresses.
    pub(super) fn may_be_at(&self, peer: SocketAddr) -> bool {
        self.service().is_of_this_machine() && self.targets().iter().any(|target| target.port() == peer.port())
    }

    pub(super) fn set(&self, stands: Stands) {
        self.shared.stands.send_replace(stands);
    }

    pub(super) fn stands(&self) -> Stands {
        *self.shared.stands.borrow()
    }

    /// Completes when it is not paused.
    pub(super) async fn goes_on(&self) {
        let mut stands = self.shared.stands.subscribe();
        // The sender lives as long as this.
        let _ = stands.wait_for(|stands| !matches!(stands, Stands::Paused(_))).await;
    }

    /// Completes when it is killed.
    pub(super) async fn killed(&self) {
        let mut stands = self.shared.stands.subscribe();
        if stands.wait_for(|stands| matches!(stands, Stands::Down(_))).await.is_err() {
            std::future::pending().await
        }
    }

    /// `at`, or when it stopped before that: what it did just before may be seen only after.
    pub(super) fn latest(&self, at: Moment) -> Moment {
        match self.stands() {
            Stands::Down(since) | Stands::Paused(since) => at.min(Moment(since.0.saturating_sub(1))),
            Stands::Up => at,
        }
    }

    fn written(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.shared.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down what the registry's server was seen to hold, where it is this host's.
    pub(super) fn hear(&self, recorder: &Recorder, wall: SystemTime, at: Moment, entry: &Entry) {
        match entry {
            Entry::Gone { key } => drop(self.written().remove(key)),
            Entry::Put { key, record, altered } => {
                let Some(node) = record.nodes.first().filter(|_| record.name == self.group()) else { return };
                let port = node.address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
                let is_ours = self.targets().iter().any(|target| Some(target.port()) == port);
                if !is_ours || !self.runs().registers_itself() {
                    return;
                }
                let is_new = self.written().insert(key.clone(), node.id.clone()).as_ref() != Some(&node.id);
                if is_new || *altered {
                    let at = self.latest(at);
                    let (service, node) = (record.name.clone(), Box::new(node_of(record, node)));
                    let operation = Operation::Register { service, node, ttl: self.runs().ttl };
                    recorder.operation_at(at, self.host(), wall, operation);
                }
            }
        }
    }

    /// How long it may take to end when it is asked to.
    pub fn stops_within(&self) -> Duration {
        self.runs().stops_within()
    }
}
