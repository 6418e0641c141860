//! The memory registry beyond the contract: expiry, sharing, faults and the truth about them. No real time passes.

use std::time::Duration;

use super::{Memory, State};
use crate::env::testing::{Hosts, env};
use crate::env::{Env, Instant};
use crate::registry::shared::{SharedBackend, Truth, TruthKind};
use crate::registry::testing::{check, created, deleted, get, service, ttl, watch};
use crate::registry::{DeregisterOptions, GetOptions, ListOptions, RegisterOptions, Registry, RegistryOptions};
use crate::{Error, ErrorKind};

fn memory(env: &Env) -> Memory {
    Memory::new(env.clone(), RegistryOptions::default())
}

fn second(seconds: u64) -> Instant {
    Instant::from_origin(Duration::from_secs(seconds))
}

#[tokio::test(start_paused = true)]
async fn it_keeps_the_contract() {
    check(&memory(&env())).await;
}

#[tokio::test(start_paused = true)]
async fn hosts_of_one_world_share_registrations_and_worlds_do_not() {
    let hosts = Hosts::default();
    let (one, two) = (memory(&hosts.host(1)), memory(&hosts.host(2)));
    one.register(&service("user", "1", &["a"]), ttl(60)).await.unwrap();
    assert_eq!(get(&two, "user").await.unwrap().len(), 1);
    two.deregister(&service("user", "1", &["a"]), DeregisterOptions::default()).await.unwrap();
    assert_eq!(get(&one, "user").await.unwrap_err().kind(), ErrorKind::NotFound);
    one.register(&service("user", "1", &["a"]), ttl(60)).await.unwrap();
    assert_eq!(get(&memory(&env()), "user").await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn an_expired_node_is_deleted_when_its_time_is_over_and_its_sibling_lives() {
    let env = env();
    let registry = memory(&env);
    let watcher = watch(&registry, None).await;
    registry.register(&service("user", "1", &["a", "b"]), ttl(10)).await.unwrap();
    env.sleep(Duration::from_secs(6)).await;
    registry.register(&service("user", "1", &["b"]), ttl(10)).await.unwrap();
    for node in ["a", "b"] {
        assert_eq!(watcher.next().await.unwrap(), created(service("user", "1", &[node])));
    }
    for (node, at) in [("a", 10), ("b", 16)] {
        assert_eq!(watcher.next().await.unwrap(), deleted(service("user", "1", &[node])));
        assert!(env.now() - second(at) <= Duration::from_millis(1), "{:?}", env.now());
    }
    assert_eq!(get(&registry, "user").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(registry.list_services(ListOptions::default()).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_lookup_at_the_deadline_finds_nothing_even_before_any_task_has_run() {
    let state = State::default();
    state.register(second(0), service("user", "1", &["a"]), Some(Duration::from_secs(5)));
    assert!(state.get(second(4), "user").is_some());
    assert!(state.get(second(5), "user").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_registration_without_ttl_stays() {
    let env = env();
    let registry = memory(&env);
    registry.register(&service("user", "1", &["a"]), RegisterOptions::default()).await.unwrap();
    env.sleep(Duration::from_secs(86_400)).await;
    assert_eq!(get(&registry, "user").await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_made_once_for_each_change() {
    let registry = memory(&env());
    registry.register(&service("user", "1", &["a"]), ttl(60)).await.unwrap();
    let answer = get(&registry, "user").await.unwrap();
    registry.register(&service("user", "1", &["a"]), ttl(60)).await.unwrap();
    assert!(answer.is_same(&get(&registry, "user").await.unwrap()), "a renewal changes no answer");
    registry.register(&service("user", "1", &["b"]), ttl(60)).await.unwrap();
    assert!(!answer.is_same(&get(&registry, "user").await.unwrap()));
}

#[tokio::test(start_paused = true)]
async fn a_lost_registration_is_restored_by_the_next_register_and_explained() {
    let env = env();
    let registry = memory(&env);
    let state = env.namespace().shared::<State>();
    let watcher = watch(&registry, None).await;
    let user = service("user", "1", &["a"]);
    registry.register(&user, ttl(10)).await.unwrap();
    assert_eq!(state.lose(env.now(), "a"), 1);
    assert_eq!(state.lose(env.now(), "a"), 0);
    assert_eq!(get(&registry, "user").await.unwrap_err().kind(), ErrorKind::NotFound);
    registry.register(&user, ttl(10)).await.unwrap();
    for event in [created(user.clone()), deleted(user.clone()), created(user.clone())] {
        assert_eq!(watcher.next().await.unwrap(), event);
    }
    env.sleep(Duration::from_millis(17_200)).await;
    registry.register(&user, ttl(10)).await.unwrap();
    let reasons: Vec<_> = registry.losses().into_iter().map(|loss| (loss.reason, loss.restored)).collect();
    let told = |silent: &str| {
        (format!("the backend no longer had it, {silent} after it was registered; its TTL is 10s"), true)
    };
    assert_eq!(reasons, [told("0.0ns"), told("17.2s")]);
}

#[tokio::test(start_paused = true)]
async fn a_backend_restart_grants_every_ttl_anew() {
    let env = env();
    let registry = memory(&env);
    let state = env.namespace().shared::<State>();
    registry.register(&service("user", "1", &["a"]), ttl(10)).await.unwrap();
    env.sleep(Duration::from_secs(7)).await;
    state.restart(env.now());
    env.sleep(Duration::from_millis(9_990)).await;
    assert_eq!(get(&registry, "user").await.unwrap().len(), 1);
    env.sleep(Duration::from_millis(20)).await;
    assert_eq!(get(&registry, "user").await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn the_truth_is_recorded_on_demand_with_the_moment_of_expiry() {
    let state = State::default();
    let ttl = Some(Duration::from_secs(5));
    state.register(second(0), service("book", "1", &["x"]), ttl);
    assert!(state.take_truth(second(0)).is_empty(), "nobody asked");
    state.record_truth(true);
    state.register(second(1), service("user", "1", &["a"]), ttl);
    state.register(second(2), service("user", "1", &["a"]), ttl);
    state.register(second(3), service("user", "2", &["a"]), ttl);
    state.lose(second(4), "x");
    state.restart(second(5));
    let (service_name, node) = (String::from("user"), String::from("a"));
    let truth = |at, kind| Truth { at: second(at), kind };
    assert_eq!(
        state.take_truth(second(20)),
        [
            truth(
                1,
                TruthKind::Registered {
                    service: service_name.clone(),
                    node: node.clone(),
                    version: "1".into(),
                    ttl_requested: ttl,
                    ttl_granted: ttl
                }
            ),
            truth(2, TruthKind::Renewed { service: service_name.clone(), node: node.clone(), ttl_granted: ttl }),
            truth(
                3,
                TruthKind::Changed {
                    service: service_name.clone(),
                    node: node.clone(),
                    version: "2".into(),
                    ttl_granted: ttl
                }
            ),
            truth(4, TruthKind::Lost { service: "book".into(), node: "x".into() }),
            truth(5, TruthKind::Restarted),
            truth(10, TruthKind::Expired { service: service_name, node }),
        ]
    );
    assert!(state.take_truth(second(20)).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_lagging_clock_does_not_turn_time_back() {
    let state = State::default();
    state.record_truth(true);
    state.expire(second(10));
    state.register(second(3), service("user", "1", &["a"]), Some(Duration::from_secs(5)));
    assert!(state.get(second(14), "user").is_some());
    assert_eq!(state.take_truth(second(15))[1].at, second(15));
}

#[tokio::test(start_paused = true)]
async fn watching_and_closing_leave_nothing_behind() {
    let env = env();
    let registry = memory(&env);
    let state = env.namespace().shared::<State>();
    for _ in 0..1000 {
        watch(&registry, Some("nobody")).await.stop();
    }
    assert_eq!(state.watchers(), 0);
    let watcher = watch(&registry, None).await;
    assert_eq!(env.live_tasks().total(), 1);
    registry.close().await.unwrap();
    assert_eq!(env.live_tasks().total(), 0);
    assert_eq!(watcher.next().await.unwrap_err().kind(), ErrorKind::WatcherStopped);
    let closed = |result: Result<(), Error>| assert_eq!(result.unwrap_err().kind(), ErrorKind::Closed);
    closed(registry.register(&service("user", "1", &["a"]), ttl(1)).await);
    closed(registry.get_service("user", GetOptions::default()).await.map(drop));
    registry.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn encryption_is_refused_not_ignored() {
    let registry = memory(&env());
    registry.init(RegistryOptions { secure: true, ..RegistryOptions::default() }).unwrap();
    assert_eq!(get(&registry, "user").await.unwrap_err().kind(), ErrorKind::Unsupported);
}
