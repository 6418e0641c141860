//! Laws of plans.

use std::time::Duration;

use proptest::prelude::*;

use super::{Plan, PlannedFault, PlannedLoad, resolve};
use crate::scenario::model::{ChurnAction, Scenario};
use crate::scenario::parse;
use crate::world::Fault;

const TEXT: &str = "
name: plan
services:
  user: { replicas: 4, register_ttl: 6s, register_interval: 2s }
clients:
  web: { count: 2 }
phases: { warmup: 4s, shake: 40s, settle: 10s }
load:
  - calls: { from: web, to: user, rate: 20 }
  - churn: { of: user, every: 1s, actions: [join, leave, flap, move, metadata, version], keep: 2 }
  - watch: { on: 'web-1, user', service: user }
faults:
  - { every: 10s, for: 8s, crash: { host: user } }
  - { between: { from: 5s, to: 20s }, for: 2s, lease_lost: { host: user } }
  - { at: 3s, for: 4s, partition: { groups: [web-1, 'user-1,user-2', etcd] } }
  - { at: 9s, for: 90s, partition: { groups: [web, user-3], one_way: true } }
  - { every: 7s, for: 1s, between: { from: 1s, to: 20s }, loss: { a: web, b: user, probability: 0.2 } }
  - { between: { from: 1s, to: 30s }, for: 1s, backend_restart: { backend: etcd } }
  - { at: 5s, reset: { a: web, b: 'user-2,user-3' } }
expect: { nothing_hangs: { within: 5s } }
";

fn scenario() -> Scenario {
    parse("plan.yaml", TEXT).unwrap_or_else(|problems| panic!("{problems}"))
}

fn plan(scenario: &Scenario, seed: u64) -> Plan {
    Plan::draw(scenario, seed, &["etcd".to_owned()]).unwrap()
}

fn of_entry(plan: &Plan, entry: usize) -> Vec<(Duration, Fault)> {
    plan.faults.iter().filter(|fault| fault.entry == entry).map(|fault| (fault.at, fault.fault.clone())).collect()
}

#[test]
fn hosts_are_services_then_clients_then_backends() {
    let plan = plan(&scenario(), 1);
    let names: Vec<_> = plan.hosts.iter().map(|host| host.name.as_str()).collect();
    assert_eq!(names, ["user-1", "user-2", "user-3", "user-4", "web-1", "web-2", "etcd"]);
    assert_eq!(resolve(&plan.hosts, "web-1, user-2,user"), ["user-1", "user-2", "user-3", "user-4", "web-1"]);
}

#[test]
fn removing_a_fault_leaves_the_others_as_they_were() {
    for seed in 0..20 {
        let whole = scenario();
        let before = plan(&whole, seed);
        for removed in 0..whole.faults.len() {
            let mut rest = whole.clone();
            rest.faults.remove(removed);
            let after = plan(&rest, seed);
            for entry in 0..rest.faults.len() {
                assert_eq!(of_entry(&after, entry), of_entry(&before, entry + usize::from(entry >= removed)));
            }
            assert_eq!(after.churn, before.churn);
        }
    }
}

#[test]
fn removing_a_load_leaves_the_others_as_they_were() {
    let mut rest = scenario();
    let before = plan(&rest, 3);
    rest.load.remove(0);
    let after = plan(&rest, 3);
    let changes = |plan: &Plan| {
        plan.churn.iter().map(|change| (change.at, change.host.clone(), change.action)).collect::<Vec<_>>()
    };
    assert_eq!(changes(&after), changes(&before));
    assert_eq!(after.faults, before.faults);
    let draws = |load: &PlannedLoad| rand::Rng::random::<u64>(&mut load.stream(3, "x"));
    let watches =
        |plan: &Plan, entry| plan.loads.iter().filter(|load| load.entry == entry).map(draws).collect::<Vec<_>>();
    assert_eq!(watches(&after, 1), watches(&before, 2));
}

#[test]
fn faults_lie_in_the_shake_phase_and_are_in_order() {
    for seed in 0..50 {
        let plan = plan(&scenario(), seed);
        assert!(plan.faults.is_sorted_by_key(|fault| fault.at));
        assert!(plan.faults.iter().all(|fault| plan.shake_at <= fault.at && fault.at < plan.heal_at));
        let ends = |fault: &&PlannedFault| matches!(fault.fault, Fault::Restart { .. });
        // Crashes at 0, 10, 20 and 30 s of 40: the end of each lies before the heal.
        assert_eq!(plan.faults.iter().filter(ends).count(), 4);
    }
}

#[test]
fn a_partition_cuts_every_pair_both_ways_or_the_first_two_one_way() {
    let plan = plan(&scenario(), 1);
    let both = of_entry(&plan, 2);
    let cuts: Vec<_> = both.iter().filter(|(_, fault)| matches!(fault, Fault::Cut { .. })).collect();
    assert_eq!((cuts.len(), both.len()), (6, 12));
    assert!(cuts.iter().all(|(at, _)| *at == Duration::from_secs(7)));
    let one_way = of_entry(&plan, 3);
    let cut = Fault::Cut { from: vec!["web-1".to_owned(), "web-2".to_owned()], to: vec!["user-3".to_owned()] };
    assert_eq!(one_way, [(Duration::from_secs(13), cut)], "its end lies past the heal, which undoes it");
}

#[test]
fn a_reset_is_done_once_between_its_two_sides() {
    let names = |names: [&str; 2]| names.map(str::to_owned).to_vec();
    let reset = Fault::Reset { a: names(["web-1", "web-2"]), b: names(["user-2", "user-3"]) };
    assert_eq!(of_entry(&plan(&scenario(), 1), 6), [(Duration::from_secs(9), reset)]);
}

#[test]
fn a_toxic_comes_and_goes_by_a_name_that_its_entry_has_wherever_it_stands() {
    let entry = "{ at: 1s, for: 2s, toxic: { a: web-1, b: etcd, direction: both, toxicity: 0.5, timeout: {} } }";
    let of_toxic = |text: &str| {
        let scenario = parse("plan.yaml", text).unwrap_or_else(|problems| panic!("{problems}"));
        let faults = plan(&scenario, 1).faults.into_iter();
        let toxics = faults.filter(|planned| matches!(planned.fault, Fault::Toxic { .. } | Fault::Antidote { .. }));
        toxics.map(|planned| (planned.at.as_secs(), planned.fault)).collect::<Vec<_>>()
    };
    let last = of_toxic(&TEXT.replace("expect:", &format!("  - {entry}\nexpect:")));
    let (a, b) = (vec!["web-1".to_owned()], vec!["etcd".to_owned()]);
    let Some((_, Fault::Toxic { toxic, .. })) = last.first() else { panic!("{last:?}") };
    assert_eq!(toxic.to_string(), format!("timeout:timeout=0,upstream,0.5,name={}", toxic.name()));
    let back = toxic.clone().directed(crate::toxic::Direction::Downstream);
    let both = [toxic, &back].map(|toxic| (a.clone(), b.clone(), toxic.clone()));
    let comes = both.clone().map(|(a, b, toxic)| (5, Fault::Toxic { a, b, toxic }));
    let goes = both.map(|(a, b, toxic)| (7, Fault::Antidote { a, b, toxic }));
    assert_eq!(last, [comes, goes].concat());
    assert_eq!(of_toxic(&TEXT.replace("faults:", &format!("faults:\n  - {entry}"))), last);
    let down = TEXT.replace("expect:", "  - { at: 1s, for: 2s, toxic: { a: web-1, b: etcd, down: {} } }\nexpect:");
    let scenario = parse("plan.yaml", &down).unwrap_or_else(|problems| panic!("{problems}"));
    let (done, undone) = (Fault::LinkDown { a: a.clone(), b: b.clone() }, Fault::LinkUp { a, b });
    assert_eq!(of_entry(&plan(&scenario, 1), 7), [(Duration::from_secs(5), done), (Duration::from_secs(7), undone)]);
}

#[test]
fn a_backend_that_a_run_lacks_is_cut_from_nobody_and_restarts_in_the_world() {
    let plan = Plan::draw(&scenario(), 1, &[]).unwrap();
    let down = Fault::BackendDown { host: "etcd".to_owned() };
    assert_eq!(of_entry(&plan, 5).first().map(|(_, fault)| fault), Some(&down));
    assert_eq!(of_entry(&plan, 2).len(), 4, "web-1 and the users are cut from each other all the same");
}

#[test]
fn entries_without_a_time_or_a_kind_are_refused() {
    for (fault, message) in [
        ("{ crash: { host: user } }", "faults[0] needs 'at', 'every', or 'between' alone"),
        ("{ at: 1s }", "faults[0] needs exactly one kind of fault"),
        ("{ every: 1us, crash: { host: user } }", "faults[0] happens too often"),
    ] {
        let text = format!("name: x\nservices: {{ user: {{ replicas: 1 }} }}\nfaults: [{fault}]\nexpect: {{}}\n");
        let error = Plan::draw(&parse("x.yaml", &text).unwrap(), 1, &[]).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

proptest! {
    #[test]
    fn churn_keeps_enough_and_joins_only_who_has_left(seed in any::<u64>()) {
        let plan = plan(&scenario(), seed);
        let mut present = std::collections::BTreeSet::from(["user-1", "user-2", "user-3", "user-4"]);
        let mut last = plan.shake_at;
        for change in &plan.churn {
            prop_assert!(last <= change.at && change.at < plan.heal_at);
            last = change.at;
            let host = change.host.as_str();
            match change.action {
                ChurnAction::Join => prop_assert!(present.insert(host)),
                ChurnAction::Leave => prop_assert!(present.remove(host)),
                _ => prop_assert!(present.contains(host)),
            }
            prop_assert!(present.len() >= 2);
            let named = matches!(change.action, ChurnAction::Metadata | ChurnAction::Version);
            prop_assert_eq!(change.detail.is_some(), named);
        }
        prop_assert!(plan.churn.len() >= 20);
    }

    #[test]
    fn arrivals_rise_and_stay_within_and_match_the_rate(seed in any::<u64>(), rate in 1.0f64..200.0) {
        let plan = plan(&scenario(), seed);
        let (from, until) = (plan.loads_at, plan.end_at);
        let times: Vec<_> = plan.loads[0].arrivals(seed, rate, from, until).collect();
        prop_assert!(times.is_sorted());
        prop_assert!(times.iter().all(|time| from <= *time && *time < until));
        let expected = rate * (until - from).as_secs_f64();
        // Nine standard deviations: no seed of a lifetime misses them.
        prop_assert!((times.len() as f64 - expected).abs() < 9.0 * expected.sqrt() + 1.0);
        let again: Vec<_> = plan.loads[0].arrivals(seed, rate, from, until).collect();
        prop_assert_eq!(&times, &again);
        let other: Vec<_> = plan.loads[1].arrivals(seed, rate, from, until).collect();
        prop_assert_ne!(times, other);
    }
}

#[test]
fn a_rate_that_is_none_gives_no_arrivals() {
    let load = plan(&scenario(), 1).loads.remove(0);
    for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(load.arrivals(1, rate, Duration::ZERO, Duration::from_secs(1)).next(), None);
    }
}
