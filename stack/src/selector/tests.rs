//! The selector against a registry in memory, with paused time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::filter::{ByEndpoint, ByLabel, ByVersion};
use super::strategy::{Random, RoundRobin};
use super::table::reference;
use super::testing::TestRegistry;
use super::{Filter, Outcome, SelectOptions, Selection, Selector};
use crate::env::{Env, testing};
use crate::plugin::{Setting, Settings};
use crate::registry::memory::Memory;
use crate::registry::{DeregisterOptions, Endpoint, Node, RegisterOptions, Registry, RegistryOptions, Service};
use crate::{Error, ErrorKind, Result};

fn node(id: &str) -> Node {
    let zone = if id < "c" { "eu" } else { "us" };
    Node { id: id.into(), address: format!("{id}:80"), metadata: [("zone".to_owned(), zone.to_owned())].into() }
}

fn service(version: &str, ids: &[&str]) -> Service {
    Service {
        name: "user".into(),
        version: version.into(),
        endpoints: vec![Endpoint { name: format!("User.V{version}"), ..Endpoint::default() }],
        nodes: ids.iter().map(|id| node(id)).collect(),
        ..Service::default()
    }
}

struct Bench {
    env: Env,
    registry: Arc<TestRegistry>,
    selector: Arc<dyn Selector>,
}

async fn bench(plugin: &str, ids: &[&str]) -> Bench {
    let env = testing::env();
    let registry = TestRegistry::new(&env);
    registry.put("user", vec![service("1", ids)]);
    let factory = reference().get(plugin).unwrap().factory.clone();
    let selector = factory(env.clone(), registry.clone(), Settings::default()).await.unwrap();
    Bench { env, registry, selector }
}

impl Bench {
    fn pick_with(&self, options: &SelectOptions) -> Result<String> {
        match self.selector.select("user", options)? {
            Selection::Ready(next) => Ok(next.node()?.id.clone()),
            Selection::Miss => panic!("a miss"),
        }
    }

    fn pick(&self) -> Result<String> {
        self.pick_with(&SelectOptions::default())
    }

    /// How often each node is picked in `count` calls.
    fn counts(&self, count: usize, options: &SelectOptions) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for _ in 0..count {
            *counts.entry(self.pick_with(options).unwrap()).or_default() += 1;
        }
        counts
    }

    fn mark(&self, id: &str, outcome: Outcome, times: usize) {
        (0..times).for_each(|_| self.selector.mark("user", &node(id), outcome));
    }
}

#[track_caller]
fn assert_kind<T: std::fmt::Debug>(result: Result<T>, kind: ErrorKind) {
    assert_eq!(result.unwrap_err().kind(), kind);
}

fn filters(filters: Vec<Arc<dyn Filter>>) -> SelectOptions {
    SelectOptions { filters, strategy: None }
}

#[track_caller]
fn assert_fair(counts: &BTreeMap<String, usize>, ids: &[&str]) {
    assert_eq!(counts.keys().map(String::as_str).collect::<Vec<_>>(), ids);
    let (least, most) = (counts.values().min().unwrap(), counts.values().max().unwrap());
    assert!(most - least <= 1, "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_was_never_looked_up_is_a_miss_until_it_is_loaded() {
    let bench = bench("random", &["a"]).await;
    let select = |name: &str| bench.selector.select(name, &SelectOptions::default());
    assert!(matches!(select("post").unwrap(), Selection::Miss));
    assert_kind(bench.selector.load("post").await, ErrorKind::NotFound);
    let post = Service { name: "post".into(), ..service("1", &["p"]) };
    bench.registry.register(&post, RegisterOptions::default()).await.unwrap();
    bench.selector.load("post").await.unwrap();
    let Selection::Ready(next) = select("post").unwrap() else { panic!("a miss") };
    assert_eq!(next.node().unwrap().id, "p");
    assert_eq!(bench.registry.lookups.load(Ordering::SeqCst), 2, "selecting asks no backend");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_the_cache_knows_to_be_absent_is_not_found() {
    let bench = bench("random", &["a"]).await;
    bench.registry.put("user", Vec::new());
    assert_kind(bench.pick(), ErrorKind::NotFound);
    bench.registry.put("user", vec![service("1", &[])]);
    assert_kind(bench.pick(), ErrorKind::NoneAvailable);
}

#[tokio::test(start_paused = true)]
async fn round_robin_is_exact_across_calls_whatever_their_number() {
    for count in 1..=25 {
        let ids = ["a", "b", "c", "d", "e"];
        let bench = bench("round_robin", &ids).await;
        let counts = bench.counts(count, &SelectOptions::default());
        assert_fair(&counts, &counts.keys().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(counts.len(), count.min(5));
    }
}

#[tokio::test(start_paused = true)]
async fn one_selection_goes_on_where_the_last_one_stopped_also_for_retries() {
    let bench = bench("round_robin", &["a", "b", "c"]).await;
    let mut picked = Vec::new();
    for _ in 0..4 {
        let Selection::Ready(next) = bench.selector.select("user", &SelectOptions::default()).unwrap() else {
            panic!("a miss")
        };
        picked.push(next.node().unwrap().id.clone());
        picked.push(next.node().unwrap().id.clone());
    }
    for window in picked.windows(3) {
        let mut window = window.to_vec();
        window.sort();
        assert_eq!(window, ["a", "b", "c"], "{picked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_combination_of_filters_has_a_position_of_its_own() {
    let bench = bench("round_robin", &["a", "b", "c"]).await;
    let eu = filters(vec![Arc::new(ByLabel::new("zone", "eu"))]);
    let mut all = BTreeMap::<String, usize>::new();
    let mut filtered = BTreeMap::<String, usize>::new();
    for round in 0..30 {
        *all.entry(bench.pick().unwrap()).or_default() += 1;
        *filtered.entry(bench.pick_with(&eu).unwrap()).or_default() += 1;
        if round % 2 == 0 {
            // The same filter made anew goes on at the same position.
            let anew = filters(vec![Arc::new(ByLabel::new("zone", "eu"))]);
            *filtered.entry(bench.pick_with(&anew).unwrap()).or_default() += 1;
        }
    }
    assert_fair(&all, &["a", "b", "c"]);
    assert_fair(&filtered, &["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn filters_are_applied_in_order_and_leave_none_available_when_nothing_is_left() {
    let bench = bench("random", &["a"]).await;
    bench.registry.put("user", vec![service("1", &["a", "c"]), service("2", &["b", "d"])]);
    let pick = |chosen: Vec<Arc<dyn Filter>>| bench.counts(50, &filters(chosen)).into_keys().collect::<Vec<String>>();
    assert_eq!(pick(vec![Arc::new(ByVersion::new("2"))]), ["b", "d"]);
    assert_eq!(pick(vec![Arc::new(ByEndpoint::new("User.V1"))]), ["a", "c"]);
    assert_eq!(pick(vec![Arc::new(ByLabel::new("zone", "us")), Arc::new(ByVersion::new("1"))]), ["c"]);
    let error = bench.pick_with(&filters(vec![Arc::new(ByVersion::new("3"))])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoneAvailable);
    assert_eq!(
        error.to_string(),
        "select: none available (service user, filters [ByVersion { version: \"3\" }], nodes 4)"
    );
}

#[tokio::test(start_paused = true)]
async fn nodes_are_worked_out_anew_only_when_the_registry_answers_otherwise() {
    let bench = bench("random", &["a", "b"]).await;
    let zone = filters(vec![Arc::new(ByLabel::new("zone", "eu"))]);
    let set = |options: &SelectOptions| match bench.selector.select("user", options).unwrap() {
        Selection::Ready(next) => next.set().unwrap().clone(),
        Selection::Miss => panic!("a miss"),
    };
    for options in [&SelectOptions::default(), &zone] {
        let first = set(options);
        assert!(Arc::ptr_eq(&first, &set(options)));
        bench.registry.put("user", vec![service("1", &["a", "b", "c"])]);
        let second = set(options);
        assert!(!Arc::ptr_eq(&first, &second));
        assert!(Arc::ptr_eq(&second, &set(options)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_filter_that_only_code_can_say_does_not_get_the_nodes_of_another() {
    #[derive(Debug)]
    struct Only(&'static str);
    impl Filter for Only {
        fn apply(&self, services: &[Service]) -> Vec<Service> {
            let nodes = services.iter().flat_map(|service| &service.nodes).filter(|node| node.id == self.0);
            vec![Service { nodes: nodes.cloned().collect(), ..services[0].clone() }]
        }
    }
    let bench = bench("random", &["a", "b"]).await;
    for id in ["a", "b", "a"] {
        assert_eq!(bench.pick_with(&filters(vec![Arc::new(Only(id))])).unwrap(), id);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_may_bring_its_own_strategy_and_does_not_move_the_selectors_position() {
    let bench = bench("round_robin", &["a", "b", "c"]).await;
    let random: Arc<dyn super::Strategy> = Arc::new(Random::new(bench.env.random("test")));
    let options = SelectOptions { strategy: Some(random), ..SelectOptions::default() };
    let mut counts = BTreeMap::<String, usize>::new();
    for _ in 0..30 {
        bench.pick_with(&options).unwrap();
        *counts.entry(bench.pick().unwrap()).or_default() += 1;
    }
    assert!(counts.values().all(|count| *count == 10), "{counts:?}");
    let random = self::bench("random", &["a", "b", "c"]).await;
    let options = SelectOptions { strategy: Some(Arc::new(RoundRobin)), ..SelectOptions::default() };
    assert!(random.counts(30, &options).values().all(|count| *count == 10));
}

#[tokio::test(start_paused = true)]
async fn three_failures_skip_a_node_for_thirty_seconds_and_further_failures_renew() {
    let bench = bench("random", &["a", "b"]).await;
    bench.mark("a", Outcome::Failed, 2);
    assert_eq!(bench.counts(100, &SelectOptions::default()).len(), 2);
    bench.mark("a", Outcome::Failed, 1);
    assert_eq!(bench.counts(100, &SelectOptions::default()).into_keys().collect::<Vec<_>>(), ["b"]);
    tokio::time::advance(Duration::from_secs(29)).await;
    bench.mark("a", Outcome::Failed, 1);
    tokio::time::advance(Duration::from_millis(29_999)).await;
    assert_eq!(bench.counts(100, &SelectOptions::default()).len(), 1);
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(bench.counts(100, &SelectOptions::default()).len(), 2);
    bench.mark("a", Outcome::Failed, 2);
    assert_eq!(bench.counts(100, &SelectOptions::default()).len(), 2, "expiry starts the count anew");
}

#[tokio::test(start_paused = true)]
async fn an_answer_or_a_reset_clears_and_application_errors_never_count() {
    let bench = bench("random", &["a", "b"]).await;
    for kind in [ErrorKind::Remote, ErrorKind::InvalidMessage, ErrorKind::Internal] {
        let outcome = Outcome::of(Err(&Error::new(kind, "call")));
        bench.mark("a", outcome, 10);
        bench.mark("b", outcome, 10);
    }
    assert_eq!(bench.counts(100, &SelectOptions::default()).len(), 2);
    bench.mark("a", Outcome::of(Err(&Error::new(ErrorKind::Timeout, "call"))), 3);
    assert_eq!(bench.counts(100, &SelectOptions::default()).len(), 1);
    bench.mark("a", Outcome::Answered, 1);
    assert_eq!(bench.counts(100, &SelectOptions::default()).len(), 2);
    bench.mark("a", Outcome::Failed, 3);
    bench.mark("b", Outcome::Failed, 3);
    assert_kind(bench.pick(), ErrorKind::NoneAvailable);
    bench.selector.reset("post");
    assert_kind(bench.pick(), ErrorKind::NoneAvailable);
    bench.selector.reset("user");
    assert_eq!(bench.counts(100, &SelectOptions::default()).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn nodes_that_come_and_go_do_not_disturb_the_turns_of_those_that_stay() {
    for calls_between in 1..=7 {
        let bench = bench("round_robin", &["a", "b", "c", "d"]).await;
        let mut counts = BTreeMap::<String, usize>::new();
        for round in 0..60 {
            for (id, count) in bench.counts(calls_between, &SelectOptions::default()) {
                *counts.entry(id).or_default() += count;
            }
            match round % 4 {
                0 => bench.mark("b", Outcome::Failed, 3),
                1 => bench.registry.put("user", vec![service("1", &["a", "b", "c"])]),
                2 => bench.mark("b", Outcome::Answered, 1),
                _ => bench.registry.put("user", vec![service("1", &["a", "b", "c", "d"])]),
            }
            let (a, c) = (counts.get("a").copied().unwrap_or(0), counts.get("c").copied().unwrap_or(0));
            assert!(a.abs_diff(c) <= 1, "{calls_between} calls between changes: {counts:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_marked_stays_when_a_banned_node_vanishes_for_a_moment() {
    let bench = bench("random", &["a", "b"]).await;
    bench.mark("a", Outcome::Failed, 3);
    bench.registry.put("user", vec![service("1", &["b"])]);
    bench.pick().unwrap();
    bench.registry.put("user", vec![service("1", &["a", "b"])]);
    assert_eq!(bench.counts(50, &SelectOptions::default()).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn after_close_everything_answers_closed() {
    let bench = bench("random", &["a"]).await;
    bench.selector.close().await.unwrap();
    bench.selector.close().await.unwrap();
    assert_kind(bench.pick(), ErrorKind::Closed);
    assert_kind(bench.selector.load("user").await, ErrorKind::Closed);
    bench.mark("a", Outcome::Failed, 3);
}

#[tokio::test(start_paused = true)]
async fn init_replaces_registry_and_strategy() {
    let bench = bench("random", &["a"]).await;
    let other = TestRegistry::new(&bench.env);
    other.put("user", vec![service("1", &["x"])]);
    let mut options = bench.selector.options();
    options.registry = other;
    options.strategy = Arc::new(RoundRobin);
    bench.selector.init(options).unwrap();
    assert_eq!(bench.pick().unwrap(), "x");
    assert_eq!(bench.selector.options().strategy.name(), "round_robin");
}

#[tokio::test(start_paused = true)]
async fn options_are_read_and_unknown_ones_refused() {
    let env = testing::env();
    let registry = TestRegistry::new(&env);
    registry.put("user", vec![service("1", &["a", "b"])]);
    let table = reference();
    let make = |values: &[(&str, Setting)]| {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let factory = table.get("random").unwrap().factory.clone();
        factory(env.clone(), registry.clone(), Settings::new(Vec::new(), values))
    };
    let selector = make(&[("blacklist_failures", Setting::Integer(1))]).await.unwrap();
    selector.mark("user", &node("a"), Outcome::Failed);
    for _ in 0..20 {
        let Selection::Ready(next) = selector.select("user", &SelectOptions::default()).unwrap() else {
            panic!("a miss")
        };
        assert_eq!(next.node().unwrap().id, "b");
    }
    assert_kind(make(&[("blacklist_failures", Setting::Integer(0))]).await, ErrorKind::InvalidInput);
    let error = make(&[("blacklist_failure", Setting::Integer(1))]).await.unwrap_err();
    assert!(error.to_string().contains("did you mean 'blacklist_failures'?"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_is_no_cache_gets_one_which_ends_with_the_selector() {
    let env = testing::env();
    let memory: Arc<dyn Registry> = Arc::new(Memory::new(env.clone(), RegistryOptions::default()));
    let tasks = env.live_tasks().counts();
    let factory = reference().get("round_robin").unwrap().factory.clone();
    let selector = factory(env.clone(), memory.clone(), Settings::default()).await.unwrap();
    let bench = Bench { env: env.clone(), registry: TestRegistry::new(&env), selector };
    assert_eq!(bench.selector.options().registry.name(), "cache");
    memory.register(&service("1", &["a", "b"]), RegisterOptions::default()).await.unwrap();
    let select = || bench.selector.select("user", &SelectOptions::default());
    assert!(matches!(select().unwrap(), Selection::Miss));
    bench.selector.load("user").await.unwrap();
    assert_fair(&bench.counts(7, &SelectOptions::default()), &["a", "b"]);

    // What the registry's watch tells is selected from without a further lookup.
    memory.register(&service("2", &["c"]), RegisterOptions::default()).await.unwrap();
    memory.deregister(&service("1", &["a"]), DeregisterOptions::default()).await.unwrap();
    env.sleep(Duration::from_secs(1)).await;
    assert_fair(&bench.counts(9, &SelectOptions::default()), &["b", "c"]);

    // Giving back the selector's own options keeps its cache; a cache that is given is not wrapped.
    bench.selector.init(bench.selector.options()).unwrap();
    assert_fair(&bench.counts(9, &SelectOptions::default()), &["b", "c"]);
    bench.selector.close().await.unwrap();
    env.sleep(Duration::from_secs(1)).await;
    assert_eq!(env.live_tasks().counts(), tasks);
    memory.register(&service("1", &["a"]), RegisterOptions::default()).await.unwrap();
}
