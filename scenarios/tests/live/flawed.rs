//! Plugins with a flaw, live on a real etcd: each makes the expectation that it must break the first that is named, and the
//! plugin that it is made of holds in its place. The oracles are the simulator's; what they judge was read from a real server.

use std::sync::Arc;

use async_trait::async_trait;
use libtest_mimic::{Failed, Trial};
use shaketable_fixtures::faulty;
use shaketable_reports::Palette;
use shaketable_reports::terminal::render;
use shaketable_sim::engine::live;
use shaketable_sim::run::{Case, SweepReport, Verdict, cases_of};
use shaketable_sim::scenario::Overrides;
use shaketable_stack::Result;
use shaketable_stack::env::Env;
use shaketable_stack::plugin::{Made, Plugins};
use shaketable_stack::registry::{
    DeregisterOptions, GetOptions, ListOptions, Loss, RegisterOptions, Registry, RegistryOptions, Service, Services,
    WatchOptions, Watcher,
};

use super::{held, run, trial};

/// A flaw: what is chosen, what the sound plugin is called, what happens, and what must be named first.
struct Flaw {
    interface: &'static str,
    plugin: &'static str,
    sound: &'static str,
    trips: &'static str,
    scenario: &'static str,
}

const FLAWS: [Flaw; 5] = [
    Flaw {
        interface: "registry",
        plugin: "etcd-watch-dies",
        sound: "etcd",
        trips: "watch_order",
        scenario: "
load:
  - watch: { on: web, service: user }
  - churn: { of: user, every: 1500ms, actions: [join, leave], keep: 1 }
faults:
  - { at: 1s, for: 4s, partition: { groups: [web, etcd] } }
expect:
  watch_order: { within: 2s }
  nothing_hangs: { within: 8s }
",
    },
    Flaw {
        interface: "registry",
        plugin: "etcd-watch-skips-gap",
        sound: "etcd",
        trips: "watch_order",
        scenario: "
load:
  - watch: { on: web, service: user }
  - churn: { of: user, every: 1500ms, actions: [join, leave], keep: 1 }
faults:
  - { at: 1s, for: 5s, partition: { groups: [web, etcd] } }
  - { at: 4s, compaction: { backend: etcd } }
  - { at: 5s, reset: { a: web, b: etcd } }
expect:
  watch_order: { within: 2s }
  nothing_hangs: { within: 8s }
",
    },
    Flaw {
        interface: "registry",
        plugin: "etcd-asks-for-half",
        sound: "etcd",
        trips: "lease_expiry",
        scenario: "
load:
  - watch: { on: web, service: user }
faults:
  - { at: 1s, crash: { host: user } }
expect:
  lease_expiry: { late: 2s, at_least: 1 }
  nothing_hangs: { within: 8s }
",
    },
    Flaw {
        interface: "selector",
        plugin: "random-never-asks-again",
        sound: "random",
        trips: "no_stale_calls",
        scenario: "
load:
  - calls: { from: web, to: user, rate: 10, timeout: 1s, idempotent: true }
  - churn: { of: user, every: 1500ms, actions: [join, leave, move], keep: 1 }
expect:
  no_stale_calls: { within: 1s }
  nothing_hangs: { within: 8s }
",
    },
    Flaw {
        interface: "selector",
        plugin: "round-robin-restarts",
        sound: "round_robin",
        trips: "selector_fairness",
        scenario: "
load:
  - calls: { from: web, to: user, rate: 40, timeout: 1s }
expect:
  selector_fairness: {}
  nothing_hangs: { within: 8s }
",
    },
];

const STAGE: &str = "name: flawed
stack: { registry: etcd }
services:
  user: { replicas: 3, register_ttl: 6s, register_interval: 2s }
clients:
  web: { count: 2 }
phases: { warmup: 3s, shake: 14s, settle: 4s }";

pub(crate) fn trials() -> Vec<Trial> {
    let both = |flaw: &'static Flaw| {
        let trips = trial(&format!("first_named::{}::{}", flaw.trips, flaw.plugin), |etcd| {
            tripped(flaw, &run(&case(flaw, flaw.plugin)?, &plugins(), etcd))
        });
        let holds = trial(&format!("reference_holds::{}::{}", flaw.trips, flaw.plugin), |etcd| {
            let case = case(flaw, flaw.sound)?;
            held(&|| run(&case, &plugins(), etcd.clone()))
        });
        [trips, holds]
    };
    FLAWS.iter().flat_map(both).collect()
}

fn case(flaw: &Flaw, plugin: &str) -> std::result::Result<Case, Failed> {
    let text = format!("{STAGE}{}", flaw.scenario);
    let set: Overrides = format!("{}={plugin}", flaw.interface).parse()?;
    let loaded = cases_of("flawed.yaml", &text, &set, &plugins(), &live::info());
    Ok(loaded.map_err(|problems| problems.to_string())?.cases.remove(0))
}

fn plugins() -> Plugins {
    let mut plugins = faulty::plugins();
    add_half(&mut plugins);
    plugins
}

fn tripped(flaw: &Flaw, report: &SweepReport) -> std::result::Result<(), Failed> {
    let first = report.cases[0].verdicts.iter().find(|verdict| verdict.verdict == Verdict::Violated);
    let text = render(report, std::time::Duration::ZERO, Palette::PLAIN);
    if first.map(|verdict| verdict.oracle.as_str()) != Some(flaw.trips) {
        return Err(format!("{} should be named first:\n{text}", flaw.trips).into());
    }
    if text.contains("\n  replay:") || !text.contains("--world live --seed 0") {
        return Err(format!("the report should say how a live run is made once more, and no replay:\n{text}").into());
    }
    Ok(())
}

/// `etcd`, whose registrations live half as long as was asked for.
fn add_half(plugins: &mut Plugins) {
    let Ok(etcd) = plugins.registries.get("etcd").cloned() else { return };
    let make = etcd.factory.clone();
    let factory = move |env: Env, settings| {
        let made = make(env, settings);
        let half: Made<Arc<dyn Registry>> =
            Box::pin(async move { Ok(Arc::new(Half(made.await?)) as Arc<dyn Registry>) });
        half
    };
    plugins.registries.add("etcd-asks-for-half", "asks for half the time", etcd.promises, Arc::new(factory));
}

#[derive(Debug)]
struct Half(Arc<dyn Registry>);

#[async_trait]
impl Registry for Half {
    fn init(&self, options: RegistryOptions) -> Result<()> {
        self.0.init(options)
    }

    fn options(&self) -> RegistryOptions {
        self.0.options()
    }

    async fn register(&self, service: &Service, options: RegisterOptions) -> Result<()> {
        self.0.register(service, RegisterOptions { ttl: options.ttl.map(|ttl| ttl / 2) }).await
    }

    async fn deregister(&self, service: &Service, options: DeregisterOptions) -> Result<()> {
        self.0.deregister(service, options).await
    }

    async fn get_service(&self, name: &str, options: GetOptions) -> Result<Services> {
        self.0.get_service(name, options).await
    }

    async fn list_services(&self, options: ListOptions) -> Result<Services> {
        self.0.list_services(options).await
    }

    async fn watch(&self, options: WatchOptions) -> Result<Arc<dyn Watcher>> {
        self.0.watch(options).await
    }

    fn losses(&self) -> Vec<Loss> {
        self.0.losses()
    }

    async fn close(&self) -> Result<()> {
        self.0.close().await
    }

    fn name(&self) -> &'static str {
        "etcd"
    }
}
