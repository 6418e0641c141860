//! Picks over the cache of a registry in memory, where a thread takes what it has found before: they must be those that a
//! selection would hand out. Time is paused.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::strategy::{Random, RoundRobin};
use super::{
    CachedSelector, CachedSelectorConfig, NodeSet, Outcome, SelectOptions, Selection, Selector, SelectorOptions,
};
use crate::env::{Env, testing};
use crate::registry::memory::Memory;
use crate::registry::{DeregisterOptions, Node, RegisterOptions, Registry, RegistryOptions, Service, Services};
use crate::{ErrorKind, Result};

fn node(number: usize) -> Node {
    Node { id: format!("user-{number:04}"), address: format!("10.0.0.1:{number}"), ..Node::default() }
}

fn service(numbers: impl IntoIterator<Item = usize>) -> Service {
    let nodes = numbers.into_iter().map(node).collect();
    Service { name: "user".into(), version: "1".into(), nodes, ..Service::default() }
}

/// A selector in turns over `count` nodes that it knows.
struct Bench {
    env: Env,
    registry: Arc<dyn Registry>,
    selector: CachedSelector,
}

impl Bench {
    async fn of(count: usize) -> Self {
        let env = testing::env();
        let registry: Arc<dyn Registry> = Arc::new(Memory::new(env.clone(), RegistryOptions::default()));
        let options = SelectorOptions { registry: registry.clone(), strategy: Arc::new(RoundRobin) };
        let selector = CachedSelector::new(env.clone(), "test", options, CachedSelectorConfig::default());
        registry.register(&service(0..count), RegisterOptions::default()).await.unwrap();
        selector.load("user").await.unwrap();
        Self { env, registry, selector }
    }

    fn pick(&self) -> Result<String> {
        Ok(self.selector.pick("user", &SelectOptions::default())?.expect("it was loaded").id.clone())
    }

    fn select(&self) -> String {
        let Selection::Ready(next) = self.selector.select("user", &SelectOptions::default()).unwrap() else {
            panic!("a miss")
        };
        next.node().unwrap().id.clone()
    }

    fn counts(&self, picks: usize) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        (0..picks).for_each(|_| *counts.entry(self.pick().unwrap()).or_default() += 1);
        counts
    }

    /// Registers one node and deregisters another, and waits until the cache has heard of it.
    async fn replace(&self, leaving: usize, coming: usize) {
        self.registry.register(&service([coming]), RegisterOptions::default()).await.unwrap();
        self.registry.deregister(&service([leaving]), DeregisterOptions::default()).await.unwrap();
        self.env.sleep(Duration::from_millis(1)).await;
    }

    /// On a thread of its own.
    fn elsewhere<T: Send>(&self, work: impl FnOnce(&Self) -> T + Send) -> T {
        std::thread::scope(|scope| scope.spawn(|| work(self)).join().unwrap())
    }
}

#[tokio::test(start_paused = true)]
async fn picks_are_in_turns_to_one_whether_a_thread_takes_one_turn_at_once_or_several() {
    for nodes in [1, 2, 5, 127, 128, 300, 1_500] {
        let bench = Bench::of(nodes).await;
        for picks in [1, 7, nodes, 2 * nodes + 1] {
            let counts = bench.counts(picks);
            let most = picks.div_ceil(nodes);
            assert!(counts.values().all(|count| (most - 1..=most).contains(count)), "{nodes} nodes, {picks} picks");
            // A further turn ends the last round, so that the next count begins with the first one.
            (0..(nodes - picks % nodes) % nodes).for_each(|_| drop(bench.pick()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn picks_and_selections_take_turns_together() {
    let bench = Bench::of(3).await;
    for _ in 0..5 {
        let mut round = [bench.pick().unwrap(), bench.select(), bench.pick().unwrap()];
        round.sort();
        assert_eq!(round, ["user-0000", "user-0001", "user-0002"]);
    }
}

#[tokio::test(start_paused = true)]
async fn turns_that_were_taken_at_once_and_not_used_are_given_back_when_nodes_change() {
    let bench = Bench::of(500).await;
    let mut counts = BTreeMap::<String, usize>::new();
    for round in 0..300 {
        for (id, count) in bench.counts(3) {
            *counts.entry(id).or_default() += count;
        }
        bench.replace(499 + round, 500 + round).await;
    }
    let stayed = || (0..499).map(|number| counts.get(&node(number).id).copied().unwrap_or(0));
    let (least, most) = (stayed().min().unwrap(), stayed().max().unwrap());
    assert!(most - least <= 1, "{least} to {most} picks of nodes that stayed");
}

#[tokio::test(start_paused = true)]
async fn threads_that_pick_at_once_reach_every_node_as_often_but_for_their_last_turns() {
    let (bench, threads, picks) = (Bench::of(640).await, 4, 6_400);
    let barrier = std::sync::Barrier::new(threads);
    let one = || {
        barrier.wait();
        bench.counts(picks)
    };
    let counts = std::thread::scope(|scope| {
        let started: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        started.into_iter().map(|thread| thread.join().unwrap()).fold(
            BTreeMap::<String, usize>::new(),
            |mut all, one| {
                one.into_iter().for_each(|(id, count)| *all.entry(id).or_default() += count);
                all
            },
        )
    });
    let mean = threads * picks / 640;
    assert_eq!((counts.len(), counts.values().sum::<usize>()), (640, threads * picks));
    assert!(counts.values().all(|count| count.abs_diff(mean) <= 1 + threads), "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_left_out_by_a_thread_that_has_picked_before_and_comes_back_when_its_time_is_over() {
    let bench = Bench::of(2).await;
    let here = || bench.counts(4).into_keys().collect::<Vec<_>>();
    let (ask, asked) = std::sync::mpsc::channel();
    let (tell, told) = std::sync::mpsc::channel();
    let mark = |number, outcome, times: usize| {
        (0..times).for_each(|_| bench.selector.mark("user", &node(number), outcome));
    };
    std::thread::scope(|scope| {
        // This thread has no paused clock: it may not be the one that sees that time is over.
        scope.spawn(|| asked.into_iter().for_each(|()| tell.send(bench.counts(4).into_keys().collect()).unwrap()));
        let there = || -> Vec<String> {
            ask.send(()).unwrap();
            told.recv().unwrap()
        };
        assert_eq!((here().len(), there().len()), (2, 2), "both threads have what they pick from");
        mark(0, Outcome::Failed, 3);
        assert_eq!((there(), here()), (vec!["user-0001".to_owned()], vec!["user-0001".to_owned()]));
        mark(0, Outcome::Answered, 1);
        assert_eq!((here().len(), there().len()), (2, 2));
        mark(1, Outcome::Failed, 3);
        assert_eq!((there(), here()), (vec!["user-0000".to_owned()], vec!["user-0000".to_owned()]));
        drop(ask);
    });
    bench.env.sleep(Duration::from_secs(30)).await;
    assert_eq!(here().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn nodes_that_change_are_seen_by_a_thread_that_has_picked_before() {
    let bench = Bench::of(2).await;
    assert_eq!(bench.counts(2).len(), 2);
    bench.replace(1, 2).await;
    assert_eq!(bench.counts(4).into_keys().collect::<Vec<_>>(), ["user-0000", "user-0002"]);
    assert_eq!(bench.elsewhere(|bench| bench.counts(4).len()), 2);
    for number in [0, 2] {
        bench.registry.deregister(&service([number]), DeregisterOptions::default()).await.unwrap();
    }
    bench.env.sleep(Duration::from_millis(1)).await;
    assert!(bench.selector.pick("user", &SelectOptions::default()).unwrap().is_none(), "nobody is there: a miss");
}

#[tokio::test(start_paused = true)]
async fn new_options_and_the_end_are_seen_by_a_thread_that_has_picked_before() {
    let bench = Bench::of(3).await;
    let options = |strategy| SelectorOptions { strategy, ..bench.selector.options() };
    let is_in_turns = || (0..20).all(|_| bench.counts(3).len() == 3);
    assert!(is_in_turns());
    bench.selector.init(options(Arc::new(Random::new(bench.env.random("test"))))).unwrap();
    assert!(!is_in_turns());
    bench.selector.init(options(Arc::new(RoundRobin))).unwrap();
    assert!(is_in_turns());
    let other: Arc<dyn Registry> = Arc::new(Memory::new(testing::env(), RegistryOptions::default()));
    bench.selector.init(SelectorOptions { registry: other, strategy: Arc::new(RoundRobin) }).unwrap();
    assert!(bench.selector.pick("user", &SelectOptions::default()).unwrap().is_none(), "another registry, other nodes");
    bench.selector.close().await.unwrap();
    assert_eq!(bench.pick().unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_picked_stays_what_it_was_when_everything_else_is_gone() {
    let bench = Bench::of(1).await;
    bench.pick().unwrap();
    let picked = bench.selector.pick("user", &SelectOptions::default()).unwrap().unwrap();
    let again = picked.clone();
    drop(bench);
    assert_eq!((&*picked, &*again), (&node(0), &node(0)));
}

#[test]
fn nodes_that_stay_are_shared_with_the_set_before() {
    let services = |numbers: Vec<usize>| Services::from(vec![service(numbers)]);
    let before = NodeSet::of("user", &services((0..100).collect()));
    let coming = services((0..50).chain([1_000]).chain(52..100).collect());
    let after = NodeSet::after(&before, "user", &coming);
    let ids = |set: &NodeSet| set.nodes.iter().map(|node| node.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&after), ids(&NodeSet::of("user", &coming)));
    let shared = after.nodes.iter().filter(|node| before.nodes.iter().any(|known| Arc::ptr_eq(known, node))).count();
    assert_eq!(shared, 98, "all but the one that came");
    let moved = Node { address: "elsewhere:1".into(), ..node(7) };
    let changed = Service { nodes: vec![moved.clone()], ..service([]) };
    assert_eq!(*NodeSet::after(&before, "user", &vec![changed].into()).nodes[0], moved);
}
