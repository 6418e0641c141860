//! What becomes of a session whose backend is gone, elsewhere or not its own; over a backend that only listens.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use shaketable_sim::run::Verdict;
use shaketable_sim::verification::{Row, Status, VerifyReport};
use shaketable_stack::plugin::{Ability, Made, Plugins, Promises};
use shaketable_stack::registry::memory::Memory;
use shaketable_stack::registry::{Node, RegisterOptions, Registry, RegistryOptions, Service};
use shaketable_stack::{Env, Error, ErrorKind};

use super::{LiveWorld, Shaken};
use crate::Interface;
use crate::backend::{Act, Backend, Untouchable, Verb};
use crate::judge::{Applicability, BackendSource, KnownFailures, Place, VerifyRequest, verify};

/// A backend that says what a test wants to hear.
#[derive(Debug)]
struct Told {
    address: String,
    held_in: Option<u64>,
    /// So many times it is ready; then it is gone.
    ready: AtomicUsize,
    acts: AtomicUsize,
}

impl Told {
    fn at(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            held_in: None,
            ready: AtomicUsize::new(usize::MAX),
            acts: AtomicUsize::new(0),
        }
    }

    fn source(self) -> Option<BackendSource> {
        Some(BackendSource::running(Arc::new(self)))
    }
}

#[async_trait]
impl Backend for Told {
    fn addresses(&self) -> Vec<String> {
        vec![self.address.clone()]
    }

    fn verbs(&self) -> BTreeSet<Verb> {
        BTreeSet::from([Verb::Restart, Verb::DeleteEntries, Verb::CountHeld])
    }

    async fn act(&self, _act: &Act) -> Result<(), String> {
        self.acts.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    async fn requests(&self) -> Result<u64, String> {
        Err("nobody counts".to_owned())
    }

    async fn held_in(&self, _namespace: &str) -> Result<Option<u64>, String> {
        Ok(self.held_in)
    }

    async fn ready(&self, _env: &Env) -> Result<(), String> {
        let left = self.ready.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map(drop).map_err(|_| "the backend has burnt down".to_owned())
    }
}

fn request(world: LiveWorld, plugin: &str, only: &[&str]) -> VerifyRequest {
    VerifyRequest {
        interface: Interface::Registry,
        plugin: plugin.to_owned(),
        beside: Vec::new(),
        place: Place::Live(world),
        levels: Vec::new(),
        only: only.iter().map(|id| (*id).to_owned()).collect(),
        known: KnownFailures::default(),
        strict: false,
        fail_fast: false,
        jobs: 1,
        check_timeout: Duration::from_secs(60),
        today: "2026-01-01".to_owned(),
        command: Vec::new(),
    }
}

fn judged(world: LiveWorld, plugins: &Plugins, plugin: &str) -> VerifyReport {
    verify(&request(world, plugin, &["REG-002"]), plugins, &mut |_| {}).unwrap()
}

/// The only row, which is an error of the world and none of the plugin.
fn error(report: &VerifyReport) -> &Row {
    assert_eq!(report.verdict(), Verdict::HarnessFailed, "{report:?}");
    let [row] = report.rows.as_slice() else { panic!("{report:?}") };
    assert_eq!(row.status, Status::Error);
    row
}

#[track_caller]
fn tells(row: &Row, what: &str) {
    let reason = row.reason.as_deref().unwrap_or_default();
    assert!(reason.contains(what), "{reason}");
}

#[test]
fn a_plugin_is_judged_where_the_backend_answers_and_nothing_is_in_the_namespace() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let backend = BackendSource::running(Arc::new(Untouchable { addresses: vec![address] }));
    let report = judged(LiveWorld::new(Some(backend)), &Plugins::reference(), "memory");
    assert_eq!((report.verdict(), report.checks()), (Verdict::Held, 1), "{report:?}");
    assert_ne!(super::unique(), super::unique());
}

#[test]
fn a_backend_that_nobody_has_started_is_an_error_of_the_world() {
    let gone = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let backend = BackendSource::running(Arc::new(Untouchable { addresses: vec![gone.clone()] }));
    let report = judged(LiveWorld::new(Some(backend)), &Plugins::reference(), "memory");
    assert_eq!(report.checks(), 0);
    tells(error(&report), &format!("no backend answers at {gone}"));
    tells(error(&report), "start it, or give the address where it listens");
}

#[test]
fn a_backend_that_cannot_be_made_is_an_error_of_the_world() {
    let backend = BackendSource::new(&[], Arc::new(|| Err("there is no program 'toyd'".to_owned())));
    let report = judged(LiveWorld::new(Some(backend)), &Plugins::reference(), "memory");
    tells(error(&report), "there is no program 'toyd'");
}

#[test]
fn a_backend_that_ends_meanwhile_is_not_held_against_the_plugin() {
    let mut plugins = Plugins::reference();
    let refuse = |_, _| -> Made<Arc<dyn Registry>> {
        Box::pin(async { Err(Error::new(ErrorKind::Backend, "connect to the backend")) })
    };
    plugins.registries.add("refusing", "", Promises::default(), Arc::new(refuse));
    let ready_for = |times| Told { ready: AtomicUsize::new(times), ..Told::at("127.0.0.1:1") };
    let report = judged(LiveWorld::new(ready_for(1).source()), &plugins, "refusing");
    let row = error(&report);
    tells(row, "the backend has burnt down; before that: expected");
    assert_eq!(row.checks, 1);
    let report = judged(LiveWorld::new(ready_for(2).source()), &plugins, "refusing");
    assert_eq!(report.verdict(), Verdict::Violated, "with a backend that works it is the plugin's doing");
}

#[test]
fn a_namespace_that_is_not_empty_is_refused() {
    let full = Told { held_in: Some(2), ..Told::at("127.0.0.1:1") };
    let world = LiveWorld { namespace: Some("taken-".to_owned()), ..LiveWorld::new(full.source()) };
    let report = judged(world, &Plugins::reference(), "memory");
    assert_eq!(report.checks(), 0);
    tells(error(&report), "the namespace 'taken-' is not empty: the backend holds 2 things in it");

    for (lacks, name, known) in [
        (&[][..], "taken-by-somebody", true),
        (&[][..], "somebody-taken-", false),
        (&[Ability::List][..], "taken-reg-002-user", true),
        (&[Ability::List][..], "taken-by-somebody", false),
    ] {
        let mut plugins = Plugins::reference();
        let make = move |env, _| -> Made<Arc<dyn Registry>> {
            Box::pin(async move {
                let memory = Memory::new(env, RegistryOptions::default());
                let node = Node { id: "1".to_owned(), address: "10.0.0.1:1".to_owned(), ..Node::default() };
                let service = Service { name: name.to_owned(), nodes: vec![node], ..Service::default() };
                memory.register(&service, RegisterOptions::default()).await?;
                Ok(Arc::new(memory) as Arc<dyn Registry>)
            })
        };
        plugins.registries.add("full", "", Promises { lacks, ..Promises::default() }, Arc::new(make));
        let world = LiveWorld { namespace: Some("taken-".to_owned()), ..LiveWorld::new(None) };
        let report = judged(world, &plugins, "full");
        if known {
            tells(error(&report), &format!("the plugin knows the service '{name}'"));
        } else {
            assert_eq!(report.verdict(), Verdict::Held, "{name}: {report:?}");
        }
    }
}

#[tokio::test]
async fn nothing_is_done_to_a_backend_that_is_not_on_loopback() {
    for (address, shaken) in [("127.0.0.1:2379", true), ("10.0.0.1:2379", false)] {
        let world = LiveWorld::new(Told::at(address).source());
        let suite = request(world, "memory", &["REG-055"]).suite(&Plugins::reference()).unwrap();
        match &suite.rows[0].1 {
            Applicability::Applies => assert!(shaken, "{address}"),
            Applicability::Not(why) => {
                assert!(!shaken && why.contains("the backend at 10.0.0.1:2379 is not on loopback"), "{why}");
            }
        }
        let told = Arc::new(Told::at(address));
        let acted = Shaken::new(told.clone()).act(&Act::Stop).await;
        assert_eq!((acted.is_ok(), told.acts.load(Ordering::SeqCst)), (shaken, usize::from(shaken)), "{acted:?}");
        // Counting does nothing to it.
        assert_eq!(Told::at(address).source().unwrap().refusal(Verb::CountHeld), None);
    }
}

#[test]
fn what_applies_is_known_before_the_backend_is_made() {
    let backend = BackendSource::new(&[Verb::DeleteEntries], Arc::new(|| panic!("a listing has made the backend")));
    let world = LiveWorld::new(Some(backend));
    let suite = request(world, "memory", &[]).suite(&Plugins::reference()).unwrap();
    let row = |id: &str| suite.rows.iter().find(|(requirement, _)| requirement.id == id).map(|(_, row)| row.clone());
    assert_eq!(row("REG-055"), Some(Applicability::Applies));
    let Some(Applicability::Not(why)) = row("REG-054") else { panic!("nobody said that leases can be taken") };
    assert!(why.contains("nobody can take leases"), "{why}");
}
