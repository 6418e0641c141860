//! What picking a node costs: this stack's selector and registry cache beside a round robin over an `ArcSwap`, which is the
//! limit, tower's p2c balancer and pingora's ketama ring; on one thread and on two, while nothing changes and while nodes come
//! and go. A pick by each contender ends with a node of the service that it may keep, and whose address it has seen.
//!
//! Ours is `pick`, by which a client takes a node for an attempt and says the service's name; `select`, whose answer could hand
//! out more nodes, is shown beside it. tower's `Balance` is no function that picks but a service that owns its endpoints: its
//! figure is that of becoming ready and calling an endpoint that answers with itself at once, and as it needs `&mut self` it
//! stands behind a lock where two threads pick. The ring answers with an address, and a thousand nodes are too many to build it
//! anew a thousand times a second: it is changed as often as it can be.
//!
//! What nodes that come and go cost is said as the ratio of two figures, each of which is how long one thread waits for one
//! pick by the wall clock: that of a thread that picks during changes, with another beside it where two pick, and that of a
//! thread that picks alone while nothing changes. The second is the contender called quiet.

mod churn;
mod ours;
mod peers;

use std::hint::black_box;
use std::ops::Deref;

use criterion::{Criterion, criterion_group, criterion_main};
use shaketable_bench_room::{Amount, Contest, Kind, Placement, Role, Spent, side_by_side};
use shaketable_stack::registry::Node;

use churn::{Changing, while_changing};
use ours::{Getting, Ours, Selecting};
use peers::{ByName, GetByName, Ketama, P2c, RoundRobin};

/// As the program `shaketable` allocates, and the same for every contender.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The service that everybody picks nodes of.
const SERVICE: &str = "user";

/// Nodes where their number is not what is looked at.
const MANY: usize = 1_000;

/// Picks nodes, from several threads at once.
trait Picks: Sync {
    /// Picks a node and forgets it again.
    fn pick(&self);
}

/// Does with a node what everybody does who picks one.
fn use_it(node: impl Deref<Target = Node>) {
    black_box(node.address.as_str());
}

/// The node with this number.
fn node(number: usize) -> Node {
    Node {
        id: format!("{SERVICE}-{number:05}"),
        address: format!("10.0.{}.{}:{}", number / 250, number % 250 + 1, 8_080),
        metadata: [("protocol".to_owned(), "grpc".to_owned())].into(),
    }
}

/// Nodes 0 to `count`.
fn nodes(count: usize) -> Vec<Node> {
    (0..count).map(node).collect()
}

/// Every contender on one thread, by the number of nodes.
fn pick(criterion: &mut Criterion) {
    for count in [10, 100, MANY, 10_000] {
        Contest::new("selector", format!("pick/{count}"), Amount::Elements(1))
            .enter("round_robin", Role::Ours, || once(Ours::round_robin(count)))
            .enter("round_robin by select", Role::Ours, || once(Selecting(Ours::round_robin(count))))
            .enter("random", Role::Ours, || once(Ours::random(count)))
            .enter("ArcSwap round robin", Role::Limit, || once(RoundRobin::new(&nodes(count))))
            .enter("ArcSwap by name", Role::Peer, || once(ByName::new(&nodes(count))))
            .enter("tower p2c", Role::Peer, || {
                let mut p2c = P2c::new(&nodes(count));
                move || use_it(p2c.next_alone())
            })
            .enter("pingora ketama", Role::Peer, || once(Ketama::new(&nodes(count))))
            .hold(criterion);
    }
}

/// What `get_service` answers without asking a backend, beside a pick of one node.
fn get(criterion: &mut Criterion) {
    Contest::new("selector", format!("get/{MANY}"), Amount::Elements(1))
        .enter("cache", Role::Ours, || once(Getting::new(MANY)))
        .enter("ArcSwap by name", Role::Limit, || once(GetByName::new(&nodes(MANY))))
        .enter("ArcSwap round robin", Role::Peer, || once(RoundRobin::new(&nodes(MANY))))
        .hold(criterion);
}

/// On two threads, each on a core of its own where there are two. The figure is what a pick takes as one thread sees it.
fn two_threads(criterion: &mut Criterion) {
    Contest::new("selector", format!("two-threads/{MANY}"), Amount::Elements(1))
        .on(Placement::CoreEach, Kind::InProcess)
        .enter_timed("round_robin", Role::Ours, || on_threads(2, Ours::round_robin(MANY)))
        .enter_timed("random", Role::Ours, || on_threads(2, Ours::random(MANY)))
        .enter_timed("ArcSwap round robin", Role::Limit, || on_threads(2, RoundRobin::new(&nodes(MANY))))
        .enter_timed("ArcSwap by name", Role::Peer, || on_threads(2, ByName::new(&nodes(MANY))))
        .enter_timed("tower p2c", Role::Peer, || on_threads(2, P2c::new(&nodes(MANY))))
        .enter_timed("pingora ketama", Role::Peer, || on_threads(2, Ketama::new(&nodes(MANY))))
        .hold(criterion);
}

/// While a node comes or goes every millisecond; one thread picks, or two. CPU time is that of the changes, too.
fn churn(criterion: &mut Criterion) {
    for threads in [1, 2] {
        Contest::new("selector", format!("churn/{threads}-threads-{MANY}"), Amount::Elements(1))
            .on(Placement::CoreEach, Kind::InProcess)
            .enter_timed("round_robin", Role::Ours, move || churning(threads, Ours::round_robin(MANY)))
            .enter_timed("random", Role::Ours, move || churning(threads, Ours::random(MANY)))
            .enter_timed("round_robin, quiet, one thread", Role::Peer, || on_threads(1, Ours::round_robin(MANY)))
            .enter_timed("random, quiet, one thread", Role::Peer, || on_threads(1, Ours::random(MANY)))
            .enter_timed("ArcSwap round robin", Role::Limit, move || churning(threads, RoundRobin::new(&nodes(MANY))))
            .enter_timed("ArcSwap by name", Role::Peer, move || churning(threads, ByName::new(&nodes(MANY))))
            .enter_timed("tower p2c", Role::Peer, move || churning(threads, P2c::new(&nodes(MANY))))
            .enter_timed("pingora ketama", Role::Peer, move || churning(threads, Ketama::new(&nodes(MANY))))
            .hold(criterion);
    }
}

/// The same of `get_service`.
fn get_during_churn(criterion: &mut Criterion) {
    for threads in [1, 2] {
        Contest::new("selector", format!("get-churn/{threads}-threads-{MANY}"), Amount::Elements(1))
            .on(Placement::CoreEach, Kind::InProcess)
            .enter_timed("cache", Role::Ours, move || churning(threads, Getting::new(MANY)))
            .enter_timed("cache, quiet, one thread", Role::Peer, || on_threads(1, Getting::new(MANY)))
            .enter_timed("ArcSwap by name", Role::Limit, move || churning(threads, GetByName::new(&nodes(MANY))))
            .hold(criterion);
    }
}

/// One pick.
fn once(picks: impl Picks) -> impl FnMut() {
    move || picks.pick()
}

/// So many picks on each of `threads`; what they take together is that of one pick, as a caller on one of them waits for it.
fn on_threads(threads: usize, picks: impl Picks) -> impl FnMut(u64) -> Spent {
    move |times| side_by_side(threads, |_| some(&picks, times))
}

fn churning(threads: usize, picks: impl Picks + Changing) -> impl FnMut(u64) -> Spent {
    let mut made = 0;
    move |times| while_changing(&picks, &mut made, || side_by_side(threads, |_| some(&picks, times)))
}

fn some(picks: &impl Picks, times: u64) {
    (0..times).for_each(|_| picks.pick());
}

criterion_group!(benches, pick, get, two_threads, churn, get_during_churn);
criterion_main!(benches);
