//! A simulated etcd of several members: one log, of which each member has applied as much as it has been told. Members are
//! whole state machines of their own; what they agree on, and who leads, is `consensus`, and `links` carries it over the
//! network of their hosts, so that whatever is done to hosts and links is done to the cluster. Entries lie here, in one place;
//! no host can see one before it was told its number.

mod consensus;
mod links;
mod member;
mod seat;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Notify, oneshot};

pub use member::EtcdMember;

use super::event::Occurrence;
use super::{Etcd, EtcdConfig, EtcdHandle, Refusal};
use consensus::{Consensus, Message, Standing};

/// Where members listen to each other.
const PEER_PORT: u16 = 2380;

/// Where they listen to clients.
const CLIENT_PORT: u16 = 2379;

/// A member in the list of members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherMember {
    /// Its id.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Its addresses for clients.
    pub client_urls: Vec<String>,
    /// Its addresses for other members.
    pub peer_urls: Vec<String>,
}

/// Members that outlive their servers, as [`EtcdHandle`] does. Cheap to clone.
#[derive(Clone, Debug)]
pub struct EtcdCluster {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    hosts: Vec<String>,
    handles: Vec<EtcdHandle>,
    /// Wakes each member's driver for what comes from outside of its host.
    stirred: Vec<Arc<Notify>>,
}

/// What a change does to each member's state machine; true for the member that was asked for it.
type Act = Arc<dyn Fn(&mut Etcd, Duration, bool) + Send + Sync>;

/// What is asked of the leader's state machine, and answered into a place that whoever asks knows.
type Question = Arc<dyn Fn(&mut Etcd, Duration) + Send + Sync>;

#[derive(Clone)]
struct Change {
    origin: usize,
    act: Act,
}

struct State {
    consensus: Consensus,
    members: Vec<Member>,
    changes: BTreeMap<u64, Change>,
    questions: BTreeMap<u64, Question>,
    /// The last number that was given to a change, a read or a question.
    last_number: u64,
    /// Up to which entry the truth is told.
    told: u64,
    truths: Vec<Occurrence>,
}

/// What a member knows beside its log and its state machine.
struct Member {
    started: bool,
    applied: u64,
    standing: Standing,
    /// When it learned of the leader that it has now, or had last.
    led_since: Duration,
    reads: BTreeMap<u64, oneshot::Sender<Result<(), Refusal>>>,
    /// Reads that wait until an entry is applied.
    ready: Vec<(u64, oneshot::Sender<Result<(), Refusal>>)>,
    asked: BTreeMap<u64, oneshot::Sender<()>>,
    /// What carries messages to each other member, while it runs.
    links: Vec<Option<UnboundedSender<Message>>>,
    /// Since when each of these is in touch.
    linked_since: Vec<Option<Duration>>,
}

impl EtcdCluster {
    /// An empty cluster on `hosts`, of which each is a member by that name. `config` says the rest, but for ids and addresses.
    ///
    /// # Panics
    /// When there are fewer than two hosts.
    pub fn new(hosts: &[String], config: &EtcdConfig, now: Duration) -> Self {
        assert!(hosts.len() > 1, "a cluster has two members or more");
        let consensus = Consensus::new(hosts.len(), config.lease_id_seed, config.raft_term);
        let all: Vec<OtherMember> = hosts.iter().map(|host| member_of(host, config.cluster_id)).collect();
        let etcd = |index: usize| {
            let own = all[index].clone();
            let others = all.iter().filter(|other| other.id != own.id).cloned().collect();
            let mut etcd = Etcd::new(
                EtcdConfig {
                    member_id: own.id,
                    member_name: own.name,
                    client_urls: own.client_urls,
                    peer_urls: own.peer_urls,
                    others,
                    ..config.clone()
                },
                now,
            );
            let standing = consensus.standing(index);
            etcd.stand(standing.leader.map_or(0, |leader| all[leader].id), standing.term, standing.leads);
            EtcdHandle::new(etcd)
        };
        let handles = (0..hosts.len()).map(etcd).collect();
        let members = (0..hosts.len()).map(|index| Member::new(hosts.len(), consensus.standing(index)));
        let state = State {
            members: members.collect(),
            consensus,
            changes: BTreeMap::new(),
            questions: BTreeMap::new(),
            last_number: 0,
            told: 1,
            truths: Vec::new(),
        };
        let stirred = hosts.iter().map(|_| Arc::default()).collect();
        Self { shared: Arc::new(Shared { state: Mutex::new(state), hosts: hosts.to_vec(), handles, stirred }) }
    }

    /// The members, in the order of their hosts.
    pub fn members(&self) -> Vec<EtcdMember> {
        (0..self.shared.hosts.len()).map(|index| EtcdMember::new(self.shared.clone(), index)).collect()
    }

    /// The hosts, in order.
    pub fn hosts(&self) -> &[String] {
        &self.shared.hosts
    }

    /// Which member leads, as far as any knows: who leads in the newest term.
    pub fn leader(&self) -> Option<usize> {
        let state = self.shared.lock();
        let standings = (0..state.members.len()).map(|index| (state.consensus.standing(index), index));
        let leads = standings.filter(|(standing, _)| standing.leads);
        leads.max_by_key(|(standing, _)| standing.term).map(|(_, index)| index)
    }

    /// Takes what truly happened since the last call, oldest first: what was agreed on, once, and what leaders did by
    /// themselves.
    pub fn take_events(&self) -> Vec<Occurrence> {
        let mut state = self.shared.lock();
        for handle in &self.shared.handles {
            let own = handle.with(Etcd::take_events);
            state.truths.extend(own);
        }
        let mut truths = std::mem::take(&mut state.truths);
        truths.sort_by_key(|occurrence| occurrence.at);
        truths
    }

    /// Looks at the member that has applied most.
    pub fn look<T>(&self, look: impl FnOnce(&Etcd) -> T) -> T {
        let newest = {
            let state = self.shared.lock();
            (0..state.members.len()).max_by_key(|index| state.members[*index].applied).unwrap_or_default()
        };
        self.shared.handles[newest].with(|etcd| look(etcd))
    }

    /// The fault of a change that no client has asked for. It goes through the log as any other: without a leader it waits.
    pub fn inflict(&self, now: Duration, act: impl Fn(&mut Etcd, Duration) + Send + Sync + 'static) {
        let by = self.leader().unwrap_or_default();
        let mut state = self.shared.lock();
        let change = Change { origin: by, act: Arc::new(move |etcd, now, _| act(etcd, now)) };
        state.propose(by, now, change);
        drop(state);
        self.shared.stirred[by].notify_one();
    }
}

/// As etcd makes ids: any number that the name decides, but readable.
fn member_of(host: &str, cluster_id: u64) -> OtherMember {
    let id = xxhash_rust::xxh3::xxh3_64_with_seed(host.as_bytes(), cluster_id);
    OtherMember {
        id,
        name: host.to_owned(),
        client_urls: vec![format!("http://{host}:{CLIENT_PORT}")],
        peer_urls: vec![format!("http://{host}:{PEER_PORT}")],
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Answers the number of the change.
    fn propose(&mut self, member: usize, now: Duration, change: Change) -> u64 {
        let number = self.number();
        self.changes.insert(number, change);
        self.consensus.propose(member, now + member::REQUEST_TIME, number);
        number
    }

    /// Forgets what everybody has applied.
    fn forget(&mut self, index: u64, number: u64) {
        if self.members.iter().all(|member| member.applied >= index) {
            self.changes.remove(&number);
        }
    }
}

impl Member {
    fn new(members: usize, standing: Standing) -> Self {
        Self {
            started: false,
            applied: 1,
            standing,
            led_since: Duration::ZERO,
            reads: BTreeMap::new(),
            ready: Vec::new(),
            asked: BTreeMap::new(),
            links: vec![None; members],
            linked_since: vec![None; members],
        }
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("State").field("consensus", &self.consensus).finish_non_exhaustive()
    }
}
