//! What checking says, and that the files of this repository pass.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use shaketable_stack::plugin::{Made, Plugins, Promises, Simulatable};
use shaketable_stack::{Error, ErrorKind};

use super::check;
use crate::engine::{EngineInfo, engine, engines, live};
use crate::plan::Plan;
use crate::run::cases_of;
use crate::scenario::{Overrides, Severity, parse};

/// Tables with the names and promises of the reference stack; nothing is ever made of them.
pub(in crate::scenario) fn plugins() -> Plugins {
    fn never<T: Send + 'static>() -> Made<T> {
        Box::pin(std::future::ready(Err(Error::new(ErrorKind::Unsupported, "make"))))
    }
    macro_rules! add {
        ($table:expr, $factory:expr, $($name:literal $promises:expr),+) => {
            $($table.add($name, "", $promises, Arc::new($factory));)+
        };
    }
    let plain = Promises::default;
    let memory = || Promises { shared_state: true, ..Promises::default() };
    let etcd = Promises { backend: Some("etcd"), ..Promises::default() };
    let rabbit = Promises { simulatable: Simulatable::No("its client opens sockets by itself"), ..Promises::default() };
    let mut plugins = Plugins::empty();
    add!(plugins.transports, |_, _| never(), "memory" memory(), "http" plain(), "grpc" plain());
    add!(plugins.codecs, |_, _| never(), "protobuf" plain(), "json" plain());
    add!(plugins.registries, |_, _| never(), "memory" memory(), "cache" memory(), "etcd" etcd);
    add!(plugins.selectors, |_, _, _| never(), "random" plain(), "round_robin" plain());
    add!(plugins.brokers, |_, _, _| never(), "memory" memory(), "http" plain(), "rabbitmq" rabbit);
    add!(plugins.clients, |_, _, _| never(), "rpc" plain(), "grpc" plain());
    add!(plugins.servers, |_, _, _| never(), "rpc" plain(), "grpc" plain());
    add!(plugins.services, |_, _, _| never(), "service" plain());
    plugins
}

fn shown(text: &str, engines: &[EngineInfo]) -> String {
    let scenario = parse("churn.yaml", text).unwrap_or_else(|problems| panic!("{problems}"));
    check("churn.yaml", text, &scenario, &plugins(), &engines[0], engines).to_string()
}

/// [`changed`], for the engine that does more.
fn on_event(changes: &[(&str, &str)]) -> String {
    changed(changes).replacen("load:", "needs: { engine: event, because: it is tried }\nload:", 1)
}

/// A scenario without fault, to which `changes` are made.
fn changed(changes: &[(&str, &str)]) -> String {
    let good = "name: churn
matrix:
  registry: [memory, etcd]
services:
  user: { replicas: 3, register_ttl: 6s, register_interval: 2s }
clients:
  web: { count: 2 }
load:
  - calls: { from: web, to: user, rate: 20 }
faults:
  - { at: 5s, for: 8s, crash: { host: user } }
expect:
  nothing_hangs: { within: 5s }
";
    changes.iter().fold(good.to_owned(), |text, (old, new)| {
        assert!(text.contains(old), "{old}");
        text.replacen(old, new, 1)
    })
}

#[test]
fn a_good_one_has_no_problems() {
    assert_eq!(shown(&changed(&[]), &engines()), "");
}

#[test]
fn members_of_a_cluster_are_hosts_that_can_be_named() {
    let fault = "{ at: 5s, for: 8s, crash: { host: user } }";
    let cluster = |entry: &str| changed(&[("load:", "backends: { etcd: { members: 3 } }\nload:"), (fault, entry)]);
    for good in [
        "{ at: 5s, crash: { host: etcd-2 } }",
        "{ at: 5s, crash: { host: etcd } }",
        "{ at: 5s, backend_restart: { backend: etcd-3 } }",
        "{ at: 5s, for: 2s, leader_lost: { backend: etcd } }",
        "{ at: 5s, partition: { groups: [etcd-1, 'etcd-2, etcd-3'] } }",
    ] {
        assert_eq!(shown(&cluster(good), &engines()), "", "{good}");
    }
    for (wrong, message) in [
        ("{ at: 5s, crash: { host: etcd-4 } }", "no host and no group is called 'etcd-4'"),
        ("{ at: 5s, backend_restart: { backend: etcd-4 } }", "no member is called 'etcd-4'"),
        ("{ at: 5s, lease_lost: { host: etcd-1 } }", "'etcd-1' is a backend"),
        ("{ at: 5s, leader_lost: { backend: etcd-1 } }", "'etcd-1' is a member"),
        ("{ at: 5s, partition: { groups: [etcd-1, etcd] } }", "'etcd' is on two sides at once"),
    ] {
        let shown = shown(&cluster(wrong), &engines());
        assert!(shown.contains(message), "{wrong}:\n{shown}");
    }
}

#[test]
fn clusters_that_there_cannot_be_are_refused() {
    let fault = "{ at: 5s, for: 8s, crash: { host: user } }";
    let with = |backends: &str| changed(&[("load:", &format!("backends: {backends}\nload:"))]);
    for (text, message, mend) in [
        (with("{ etcd: { members: 2 } }"), "a cluster of 2 members", "write 1, 3 or 5"),
        (with("{ etdc: { members: 3 } }"), "no backend is called 'etdc'", "did you mean 'etcd'?"),
        (
            with("{ etcd: { members: 3 } }").replace("[memory, etcd]", "[memory]"),
            "no plugin of this scenario",
            "choose",
        ),
        (
            changed(&[(fault, "{ at: 5s, leader_lost: { backend: etcd } }")]),
            "'etcd' has one member, which leads alone",
            "members: 3",
        ),
        (changed(&[(fault, "{ at: 5s, crash: { host: etcd-1 } }")]), "no host and no group is called 'etcd-1'", ""),
    ] {
        let shown = shown(&text, &engines());
        assert!(shown.contains(message) && shown.contains(mend), "{shown}");
    }
}

#[test]
fn members_of_a_real_cluster_are_no_hosts_and_talk_past_us() {
    let fault = "{ at: 5s, for: 8s, crash: { host: user } }";
    let cluster = |entry: &str| changed(&[("load:", "backends: { etcd: { members: 3 } }\nload:"), (fault, entry)]);
    for good in [
        "{ at: 5s, for: 2s, backend_restart: { backend: etcd-3 } }",
        "{ at: 5s, for: 2s, backend_pause: { backend: etcd } }",
        "{ at: 5s, for: 2s, leader_lost: { backend: etcd } }",
        "{ at: 5s, partition: { groups: ['etcd-1, etcd-2', user] } }",
        "{ at: 5s, partition: { groups: [etcd, 'user, web'] } }",
    ] {
        assert_eq!(shown_live(&cluster(good)), "", "{good}");
    }
    for (wrong, message, mend) in [
        ("{ at: 5s, for: 2s, crash: { host: etcd-2 } }", "'etcd-2' is a real server, and no host", "backend_restart"),
        ("{ at: 5s, restart: { host: etcd-2 } }", "'etcd-2' is a real server, and no host", "'backend_restart' with"),
        ("{ at: 5s, for: 2s, pause: { host: etcd } }", "'etcd' is a real server, and no host", "backend_pause"),
        ("{ at: 5s, skew: { host: etcd-1, by: 90s } }", "'etcd-1' is a real server, and no host", "leave it out"),
        (
            "{ at: 5s, partition: { groups: [etcd-1, 'etcd-2, user'] } }",
            "members of 'etcd' on two sides",
            "never_because",
        ),
        ("{ at: 5s, hold: { a: etcd-1, b: etcd-2 } }", "members of 'etcd' on two sides", "never_because"),
        ("{ at: 5s, latency: { a: etcd-1, b: etcd-2, latency: 1s } }", "members of 'etcd' on two", "never_because"),
        ("{ at: 5s, reset: { a: etcd-1, b: etcd-2 } }", "members of 'etcd' on two sides", "never_because"),
        ("{ at: 5s, toxic: { a: etcd-1, b: etcd-2, down: {} } }", "members of 'etcd' on two sides", "never_because"),
    ] {
        let shown = shown_live(&cluster(wrong));
        assert!(shown.contains(message) && shown.contains(mend), "{wrong}:\n{shown}");
        let left_out = cluster(wrong).replace("expect:", "live: { never_because: x }\nexpect:");
        assert_eq!(shown_live(&left_out), "", "{wrong}");
    }
}

#[test]
fn what_is_wrong_is_shown_with_place_and_mend() {
    let fault = "{ at: 5s, for: 8s, crash: { host: user } }";
    let calls = "calls: { from: web, to: user, rate: 20 }";
    let expect = "nothing_hangs: { within: 5s }";
    let cases = [
        changed(&[("[memory, etcd]", "[memry, etcd, etcd]")]),
        changed(&[("registry: [", "regstry: [")]),
        changed(&[("matrix:\n  registry: [memory, etcd]", "stack:\n  registry: ectd\n  broker: rabbitmq")]),
        changed(&[("register_interval: 2s", "register_interval: 6s"), ("replicas: 3", "replicas: 0")]),
        changed(&[("web:", "user-1:"), ("from: web", "from: user-1")]),
        changed(&[("web:", "Web:"), ("from: web", "from: Web")]),
        changed(&[("from: web, to: user", "from: wbe, to: usr")]),
        changed(&[("from: web", "from: web-3"), ("{ host: user }", "{ host: etcd }")]),
        changed(&[("rate: 20", "rate: 20, workers: 2")]),
        changed(&[("rate: 20", "rate: 9000")]),
        changed(&[("rate: 20", "rate: 0")]),
        changed(&[(", rate: 20", "")]),
        changed(&[(calls, "{ calls: { from: web, to: user, rate: 1 }, watch: { on: web } }")]),
        changed(&[(calls, "churn: { of: user, every: 1s, actions: [join], keep: 3 }")]),
        changed(&[(fault, "{ at: 5s, every: 8s, crash: { host: user } }")]),
        changed(&[(fault, "{ crash: { host: user } }")]),
        changed(&[(fault, "{ at: 30s, crash: { host: user }, pause: { host: user } }")]),
        changed(&[(fault, "{ at: 3s, pause: { host: user } }")]),
        changed(&[(fault, "{ between: { from: 9s, to: 3s }, loss: { a: web, b: 'user, web-1', probability: 1.5 } }")]),
        changed(&[(fault, "{ at: 3s, partition: { groups: [web] } }")]),
        changed(&[(fault, "{ at: 3s, partition: { groups: [web-1, web, consul], one_way: true } }")]),
        changed(&[(fault, "{ at: 3s, backend_restart: { backend: etdc } }")]),
        changed(&[("[memory, etcd]", "[memory]"), (fault, "{ at: 3s, backend_restart: { backend: etcd } }")]),
        changed(&[(fault, "{ at: 3s, for: 2s, lease_lost: { host: web } }")]),
        changed(&[(expect, "delivery: { within: 5s }\n  views_converge: { within: 15s }")]),
        changed(&[(expect, "latency: [ { phase: shaek, quantile: 99, at_most: 0s } ]")]),
        changed(&[("expect:\n  nothing_hangs: { within: 5s }", "expect: {}")]),
        changed(&[("load:", "network: { latency: { min: 9ms, max: 2ms }, tick: 0s }\nload:")]),
        changed(&[("load:", "network: { latency: { min: 1ms, max: 2ms } }\nphases: { shake: 2h }\nload:")]),
        changed(&[("load:", "network: { latency: { mean: 2ms, deviation: 1ms }, loss: 0.01 }\nload:")]),
        changed(&[("load:", "needs: { engine: evnt, because: '' }\nload:")]),
        on_event(&[(fault, "{ at: 3s, skew: { host: user, by: 0s } }")]),
        on_event(&[(fault, "{ at: 3s, link: { a: web, b: user } }")]),
        on_event(&[(fault, "{ at: 3s, link: { a: web, b: user-4, loss: 2, queue_bytes: 9 } }")]),
        on_event(&[(
            fault,
            "{ at: 3s, link: { a: web, b: user, latency: { median: 2s, p99: 1s }, bytes_per_second: 0 } }",
        )]),
        on_event(&[("load:", "network: { latency: { min: 3ms, max: 2ms }, corrupt: -1 }\nload:")]),
        changed(&[
            ("[memory, etcd]", "[memory]"),
            (calls, "watch: { on: web }"),
            (fault, "{ at: 3s, partition: { groups: [web, user] } }"),
        ]),
    ];
    let engines = ["turmoil", "event"].map(|name| engine(name).unwrap());
    let shown: Vec<_> = cases.iter().map(|text| shown(text, &engines)).collect();
    assert_eq!(shown.iter().position(String::is_empty), None, "each is wrong");
    insta::assert_snapshot!(shown.join("\n-----\n"));
    let alone = self::shown(&changed(&[(fault, "{ at: 3s, pause: { host: user } }")]), &engines[..1]);
    assert!(alone.contains("no engine of this build can"), "{alone}");
}

#[test]
fn the_files_of_this_repository_parse_check_and_can_be_planned() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let mut families: std::collections::BTreeMap<String, u32> = std::collections::BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let (file, text) = (path.display().to_string(), fs::read_to_string(&path).unwrap());
        let scenario = parse(&file, &text).unwrap_or_else(|problems| panic!("{problems}"));
        let problems = check(&file, &text, &scenario, &plugins(), &engines()[0], &engines());
        assert!(problems.is_empty(), "{problems}");
        assert_eq!(Some(scenario.name.as_str()), path.file_stem().and_then(|stem| stem.to_str()));
        let plan = Plan::draw(&scenario, 1, &["etcd".to_owned()]).unwrap();
        assert!(plan.hosts.len() <= 10 && plan.end_at.as_secs() <= 90, "{file}: too large");
        assert!(text.starts_with("# "), "{file}: tells no story");
        for family in ["registration-churn", "lease-expiry", "selector-fairness", "broker-fan-out"] {
            *families.entry(family.to_owned()).or_default() += u32::from(scenario.name.starts_with(family));
        }
    }
    assert!(families.len() == 4 && families.values().all(|count| *count >= 2), "{families:?}");
}

#[test]
fn the_large_files_have_a_thousand_hosts_and_need_an_engine_that_bears_them() {
    let text = include_str!("../../../../scenarios/large/churn-of-1000-hosts.yaml");
    let scenario = parse("large.yaml", text).unwrap_or_else(|problems| panic!("{problems}"));
    let problems = check("large.yaml", text, &scenario, &plugins(), &engines()[0], &engines());
    assert!(problems.is_empty(), "{problems}");
    let plan = Plan::draw(&scenario, 1, &["etcd".to_owned()]).unwrap();
    assert_eq!((plan.hosts.len(), plan.end_at.as_secs()), (992, 600));
    let elsewhere = text.replacen("needs:", "# needs:", 1);
    let scenario = parse("large.yaml", &elsewhere).unwrap();
    let engines = ["turmoil", "event"].map(|name| engine(name).unwrap());
    let problems = check("large.yaml", &elsewhere, &scenario, &plugins(), &engines[0], &engines);
    assert!(problems.to_string().contains("a world on engine turmoil holds at most 200"), "{problems}");
}

/// What is wrong with the file for a live run; empty when it can be made.
fn shown_live(text: &str) -> String {
    let scenario = parse("churn.yaml", text).unwrap_or_else(|problems| panic!("{problems}"));
    check("churn.yaml", text, &scenario, &plugins(), &live::info(), &engines()).to_string()
}

#[test]
fn what_cannot_be_done_live_is_refused_and_what_a_file_says_of_live_runs_makes_sense() {
    let fault = "{ at: 5s, for: 8s, crash: { host: user } }";
    let loss = "{ at: 3s, loss: { a: web, b: user, probability: 0.1, granularity: packet } }";
    let with = |live: &str| changed(&[("load:", &format!("live: {live}\nload:"))]);
    for (text, told) in [
        (changed(&[(fault, loss)]), "a live world cannot lose single packets"),
        (changed(&[("load:", "network: { loss: 0.01 }\nload:")]), "never_because: …"),
        (with("{ slack: 10m }"), "forgives everything"),
        (with("{ leave_out: { nothing_hang: it is slow } }"), "did you mean 'nothing_hangs'?"),
        (with("{ leave_out: { nothing_hangs: '' } }"), "left out without a reason"),
        (with("{ leave_out: { nothing_hangs: it is slow } }"), "every expectation is left out"),
        (with("{ never_because: ' ' }"), "left out without a reason"),
    ] {
        let shown = shown_live(&text);
        assert!(shown.contains(told) && shown.contains("churn.yaml:"), "{told}:\n{shown}");
    }
    let wrong = parse("churn.yaml", &with("{ slak: 1s }")).unwrap_err().to_string();
    assert!(wrong.contains("did you mean 'slack'?"), "{wrong}");
    for fine in [
        changed(&[("load:", "needs: { engine: event, because: it is tried }\nload:")]),
        changed(&[(fault, "{ at: 3s, pause: { host: user } }")]),
        changed(&[("matrix:", "stack: { broker: rabbitmq }\nmatrix:")]),
        with("{ slack: 2s }"),
        changed(&[(fault, loss), ("load:", "live: { never_because: it loses nothing }\nload:")]),
    ] {
        assert_eq!(shown_live(&fine), "");
    }
}

#[test]
fn a_file_that_never_runs_live_is_left_out_with_its_reason_and_one_that_needs_an_engine_is_not() {
    let never = changed(&[("load:", "live: { never_because: it loses nothing }\nload:")]);
    let needs = changed(&[("load:", "needs: { engine: event, because: it is tried }\nload:")]);
    let load = |text: &str| {
        cases_of("churn.yaml", text, &Overrides::default(), &plugins(), &live::info())
            .unwrap_or_else(|wrong| panic!("{wrong}"))
    };
    let left_out = load(&never);
    assert!(left_out.cases.is_empty() && left_out.left_out[0].ends_with("because it loses nothing"), "{left_out:?}");
    assert_eq!(load(&needs).cases.len(), 2);
}

#[test]
fn a_backend_is_paused_asked_to_end_and_forgets_where_there_is_one() {
    let fault = "{ at: 5s, for: 8s, crash: { host: user } }";
    let cluster = |entry: &str| changed(&[("load:", "backends: { etcd: { members: 3 } }\nload:"), (fault, entry)]);
    for good in [
        "{ at: 5s, for: 3s, backend_pause: { backend: etcd } }",
        "{ at: 5s, compaction: { backend: etcd } }",
        "{ at: 5s, for: 3s, backend_restart: { backend: etcd, how: term } }",
    ] {
        let text = changed(&[(fault, good)]);
        assert_eq!((shown(&text, &engines()), shown_live(&text)), (String::new(), String::new()), "{good}");
    }
    assert_eq!(shown(&cluster("{ at: 5s, for: 3s, backend_pause: { backend: etcd-2 } }"), &engines()), "");
    let turmoil = [engine("turmoil").unwrap()];
    let paused = shown(&changed(&[(fault, "{ at: 5s, backend_pause: { backend: etcd } }")]), &turmoil);
    assert!(
        paused.contains("engine turmoil cannot pause the backend") && paused.contains("churn.yaml:11:"),
        "{paused}"
    );
    for (text, told) in [
        (changed(&[(fault, "{ at: 5s, backend_pause: { backend: etdc } }")]), "did you mean 'etcd'?"),
        (changed(&[(fault, "{ at: 5s, compaction: { backend: user } }")]), "no backend is called 'user'"),
        (changed(&[(fault, "{ at: 5s, for: 2s, compaction: { backend: etcd } }")]), "leave 'for' out"),
        (cluster("{ at: 5s, compaction: { backend: etcd-2 } }"), "write 'etcd'"),
    ] {
        let shown = shown(&text, &engines());
        assert!(shown.contains(told) && shown.contains("churn.yaml:"), "{told}:\n{shown}");
    }
    let wrong = changed(&[(fault, "{ at: 5s, backend_restart: { backend: etcd, how: gently } }")]);
    let wrong = parse("churn.yaml", &wrong).unwrap_err().to_string();
    assert!(wrong.contains("gently") && wrong.contains("churn.yaml:11:"), "{wrong}");
}

#[test]
fn a_toxic_runs_live_and_in_the_simulator_it_is_told_what_to_write_instead() {
    let fault = "{ at: 5s, for: 8s, crash: { host: user } }";
    let with = |toxic: &str| changed(&[(fault, &format!("{{ at: 3s, for: 2s, toxic: {toxic} }}"))]);
    let good = [
        ("{ a: web, b: user, latency: { latency: 1s, jitter: 20ms } }", "write 'latency: { a, b, latency }' for it"),
        ("{ a: web, b: etcd, direction: both, bandwidth: { rate: 10 } }", "bytes_per_second }' for it"),
        ("{ a: web, b: user, direction: upstream, timeout: { timeout: 1s } }", "write 'hold: { a, b }' for it"),
        ("{ a: web, b: user, toxicity: 0.5, reset_peer: {} }", "write 'reset: { a, b }' for it"),
        ("{ a: web, b: user, slicer: { average_size: 9, delay: 70us } }", "leaves the file to live runs"),
        ("{ a: web, b: user, slow_close: { delay: 1s } }", "leaves the file to live runs"),
        ("{ a: web, b: user, limit_data: { bytes: 100 } }", "leaves the file to live runs"),
        ("{ a: web, b: user, down: {} }", "and 'partition' for it"),
    ];
    for (toxic, mend) in good {
        let text = with(toxic);
        assert_eq!(shown_live(&text), "", "{toxic}");
        let simulated = shown(&text, &engines());
        let refused = simulated.contains("cannot put toxics on connections") && simulated.contains("churn.yaml:11:");
        assert!(refused && simulated.contains(mend), "{simulated}");
        let left = text.replacen("load:", "needs: { engine: live, because: it has toxics }\nload:", 1);
        assert_eq!(shown(&left, &engines()), "");
        let loaded = cases_of("churn.yaml", &left, &Overrides::default(), &plugins(), &engines()[0]).unwrap();
        assert!(
            loaded.cases.is_empty() && loaded.left_out[0].contains("it needs engine live"),
            "{:?}",
            loaded.left_out
        );
    }
    for (toxic, told) in [
        ("{ a: web, b: user }", "a toxic without a kind"),
        ("{ a: web, b: user, down: {}, limit_data: { bytes: 1 } }", "a toxic of more than one kind"),
        ("{ a: web, b: user, down: {}, toxicity: 0.5 }", "leave 'toxicity' out"),
        ("{ a: web, b: user, toxicity: 1.5, timeout: {} }", "1.5 is not between 0 and 1"),
        ("{ a: web, b: user, toxicity: 0, timeout: {} }", "acts on no connection"),
        ("{ a: web, b: 'user, web-1', timeout: {} }", "'web-1' is on two sides at once"),
        ("{ a: web, b: usre, timeout: {} }", "did you mean 'user'?"),
        ("{ a: web, b: user, slicer: { average_size: 0 } }", "the least is 1"),
        ("{ a: web, b: user, latency: { latency: 1us } }", "no whole number of ms"),
    ] {
        let shown = shown_live(&with(toxic));
        assert!(shown.contains(told) && shown.contains("churn.yaml:11:"), "{told}:\n{shown}");
    }
    for (toxic, told) in [
        ("{ a: web, b: user, latncy: { latency: 1s } }", "did you mean 'latency'?"),
        ("{ a: web, b: user, timeout: { timeout: 5 } }", "it has no unit"),
        ("{ a: web, b: user, direction: sideways, timeout: {} }", "sideways"),
    ] {
        let wrong = parse("churn.yaml", &with(toxic)).unwrap_err().to_string();
        assert!(wrong.contains(told) && wrong.contains("churn.yaml:11:"), "{told}:\n{wrong}");
    }
}

#[test]
fn warnings_alone_leave_the_file_usable() {
    let text = changed(&[("[memory, etcd]", "[memory, memory, etcd]")]);
    let scenario = parse("churn.yaml", &text).unwrap();
    let problems = check("churn.yaml", &text, &scenario, &plugins(), &engines()[0], &engines());
    assert!(!problems.has_errors());
    assert_eq!(problems.iter().map(|problem| problem.severity).collect::<Vec<_>>(), [Severity::Warning]);
}
