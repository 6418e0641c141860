//! What somebody may pick nodes with instead. Each is written as its own users write it.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use pingora_ketama::{Bucket, Continuum};
use shaketable_stack::registry::Node;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tower::balance::p2c::Balance;
use tower::discover::Change;
use tower::load::Constant;
use tower_service::Service;

use crate::churn::Changing;
use crate::{Picks, SERVICE, node, use_it};

/// A list that is replaced whole, and a position: the least that a fair turn among threads can do.
pub(crate) struct RoundRobin {
    nodes: ArcSwap<Vec<Arc<Node>>>,
    position: AtomicUsize,
}

impl RoundRobin {
    pub(crate) fn new(nodes: &[Node]) -> Self {
        let round_robin = Self { nodes: ArcSwap::from_pointee(shared(nodes)), position: AtomicUsize::new(0) };
        for node in nodes {
            assert_eq!(*round_robin.next(), *node, "it takes them in turns");
        }
        round_robin
    }

    fn next(&self) -> Arc<Node> {
        let nodes = self.nodes.load();
        nodes[self.position.fetch_add(1, Ordering::Relaxed) % nodes.len()].clone()
    }
}

impl Picks for RoundRobin {
    fn pick(&self) {
        use_it(self.next());
    }
}

impl Changing for RoundRobin {
    fn change(&self, number: usize) {
        self.nodes.store(Arc::new(changed(&self.nodes.load(), number)));
    }

    fn state(&self, number: usize) -> (usize, bool) {
        let (nodes, id) = (self.nodes.load(), node(number).id);
        (nodes.len(), nodes.iter().any(|node| node.id == id))
    }
}

/// The same behind the service's name, as somebody has it who calls more than one service.
pub(crate) struct ByName {
    services: ArcSwap<BTreeMap<String, Arc<Turns>>>,
}

struct Turns {
    nodes: Arc<Vec<Arc<Node>>>,
    position: AtomicUsize,
}

impl ByName {
    pub(crate) fn new(nodes: &[Node]) -> Self {
        let by_name = Self { services: ArcSwap::default() };
        by_name.put(shared(nodes), 0);
        for node in nodes {
            assert_eq!(by_name.next().as_deref(), Some(node), "it takes them in turns");
        }
        by_name
    }

    fn put(&self, nodes: Vec<Arc<Node>>, position: usize) {
        let turns = Turns { nodes: Arc::new(nodes), position: AtomicUsize::new(position) };
        self.services.store(Arc::new([(SERVICE.to_owned(), Arc::new(turns))].into()));
    }

    /// All nodes.
    pub(crate) fn get(&self) -> Option<Arc<Vec<Arc<Node>>>> {
        self.services.load().get(black_box(SERVICE)).map(|turns| turns.nodes.clone())
    }

    fn next(&self) -> Option<Arc<Node>> {
        let services = self.services.load();
        let Turns { nodes, position } = &**services.get(black_box(SERVICE))?;
        Some(nodes[position.fetch_add(1, Ordering::Relaxed) % nodes.len()].clone())
    }
}

impl Picks for ByName {
    fn pick(&self) {
        use_it(self.next().expect("it was put there"));
    }
}

impl Changing for ByName {
    fn change(&self, number: usize) {
        let services = self.services.load();
        let turns = services.get(SERVICE).expect("it was put there");
        self.put(changed(&turns.nodes, number), turns.position.load(Ordering::Relaxed));
    }

    fn state(&self, number: usize) -> (usize, bool) {
        let (nodes, id) = (self.get().expect("it was put there"), node(number).id);
        (nodes.len(), nodes.iter().any(|node| node.id == id))
    }
}

/// All nodes by name, instead of one of them.
pub(crate) struct GetByName(pub(crate) ByName);

impl GetByName {
    pub(crate) fn new(nodes: &[Node]) -> Self {
        let by_name = ByName::new(nodes);
        assert_eq!(by_name.get().expect("it is there").len(), nodes.len());
        Self(by_name)
    }
}

impl Picks for GetByName {
    fn pick(&self) {
        black_box(self.0.get());
    }
}

impl Changing for GetByName {
    fn change(&self, number: usize) {
        self.0.change(number);
    }

    fn state(&self, number: usize) -> (usize, bool) {
        self.0.state(number)
    }
}

/// tower's balancer over endpoints that are always ready and equally loaded, and that it discovers. It needs `&mut self`:
/// behind a lock where several pick.
pub(crate) struct P2c {
    balance: Mutex<Balance<UnboundedReceiverStream<Discovered>, ()>>,
    discover: UnboundedSender<Discovered>,
    /// Number of the node that is replaced next.
    last: AtomicUsize,
}

type Discovered = Result<Change<usize, Constant<Endpoint, u32>>, Infallible>;

struct Endpoint(Arc<Node>);

impl Service<()> for Endpoint {
    type Response = Arc<Node>;
    type Error = Infallible;
    type Future = Ready<Result<Arc<Node>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        ready(Ok(self.0.clone()))
    }
}

impl P2c {
    pub(crate) fn new(nodes: &[Node]) -> Self {
        let (discover, discovered) = unbounded_channel();
        let balance = Mutex::new(Balance::new(UnboundedReceiverStream::new(discovered)));
        let p2c = Self { balance, discover, last: AtomicUsize::new(nodes.len() - 1) };
        (0..nodes.len()).for_each(|number| p2c.insert(number));
        // Four draws for each node leave out one of 55, on average.
        let picked: BTreeSet<String> = (0..4 * nodes.len()).map(|_| p2c.next().id.clone()).collect();
        assert!(picked.len() > nodes.len() / 2, "it takes most of them: {} of {}", picked.len(), nodes.len());
        p2c
    }

    fn insert(&self, number: usize) {
        let inserted = Change::Insert(number, Constant::new(Endpoint(Arc::new(node(number))), 1));
        assert!(self.discover.send(Ok(inserted)).is_ok(), "the balancer listens");
    }

    /// The next node of who has the balancer for himself.
    pub(crate) fn next_alone(&mut self) -> Arc<Node> {
        picked(self.balance.get_mut().unwrap_or_else(PoisonError::into_inner))
    }

    fn next(&self) -> Arc<Node> {
        picked(&mut self.balance())
    }

    fn balance(&self) -> MutexGuard<'_, Balance<UnboundedReceiverStream<Discovered>, ()>> {
        self.balance.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The next node, once the balancer is ready.
fn picked(balance: &mut Balance<UnboundedReceiverStream<Discovered>, ()>) -> Arc<Node> {
    let ready = balance.poll_ready(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(ready, Poll::Ready(Ok(()))), "its endpoints are always ready");
    balance.call(()).now_or_never().expect("endpoints answer at once").expect("an answer")
}

impl Picks for P2c {
    fn pick(&self) {
        use_it(self.next());
    }
}

impl Changing for P2c {
    fn change(&self, number: usize) {
        let leaving = self.last.swap(number, Ordering::Relaxed);
        self.insert(number);
        assert!(self.discover.send(Ok(Change::Remove(leaving))).is_ok(), "the balancer listens");
    }

    fn state(&self, number: usize) -> (usize, bool) {
        let (mut balance, id) = (self.balance(), node(number).id);
        let seen = (0..100 * balance.len()).any(|_| picked(&mut balance).id == id);
        (balance.len(), seen)
    }
}

/// pingora's consistent hashing, asked with another key each time.
pub(crate) struct Ketama {
    ring: ArcSwap<Ring>,
    key: AtomicU64,
}

struct Ring {
    nodes: Vec<Arc<Node>>,
    continuum: Continuum,
}

impl Ketama {
    pub(crate) fn new(nodes: &[Node]) -> Self {
        let ketama = Self { ring: ArcSwap::from_pointee(Ring::new(shared(nodes))), key: AtomicU64::new(0) };
        for _ in 0..nodes.len() {
            let address = ketama.next().to_string();
            assert!(nodes.iter().any(|node| node.address == address), "{address} is a node's");
        }
        ketama
    }

    fn next(&self) -> SocketAddr {
        let key = self.key.fetch_add(1, Ordering::Relaxed).to_le_bytes();
        self.ring.load().continuum.node(&key).expect("the ring is not empty")
    }
}

impl Ring {
    fn new(nodes: Vec<Arc<Node>>) -> Self {
        let buckets = nodes.iter().map(|node| Bucket::new(node.address.parse().expect("an address"), 1));
        let continuum = Continuum::new(&buckets.collect::<Vec<_>>());
        Self { nodes, continuum }
    }
}

impl Picks for Ketama {
    fn pick(&self) {
        black_box(self.next());
    }
}

impl Changing for Ketama {
    fn change(&self, number: usize) {
        self.ring.store(Arc::new(Ring::new(changed(&self.ring.load().nodes, number))));
    }

    fn state(&self, number: usize) -> (usize, bool) {
        let (ring, id) = (self.ring.load(), node(number).id);
        (ring.nodes.len(), ring.nodes.iter().any(|node| node.id == id))
    }
}

fn shared(nodes: &[Node]) -> Vec<Arc<Node>> {
    nodes.iter().cloned().map(Arc::new).collect()
}

/// `nodes` with another last one.
fn changed(nodes: &[Arc<Node>], number: usize) -> Vec<Arc<Node>> {
    let mut nodes = nodes.to_vec();
    nodes.pop();
    nodes.push(Arc::new(node(number)));
    nodes
}
