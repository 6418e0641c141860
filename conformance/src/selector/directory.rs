//! A registry for checks of selectors and brokers: it holds what is put into it, counts what it is asked, and fails, hangs
//! or takes its time when it is told to. It is no plugin and belongs to one check.

use std::collections::BTreeMap;
use std::fmt;
use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use shaketable_stack::env::Env;
use shaketable_stack::registry::{
    Action, DeregisterOptions, Event, GetOptions, ListOptions, Node, RegisterOptions, Registry, RegistryOptions,
    Service, Services, WatchOptions, Watcher,
};
use shaketable_stack::{Error, ErrorKind, Result};
use tokio::sync::mpsc;

/// The registry.
pub(crate) struct Directory {
    shared: Arc<Shared>,
    closed: AtomicBool,
}

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// As it should.
    Works,
    /// With an error, and its watchers break.
    Fails,
    /// Never.
    Hangs,
    /// With an empty list for what it does not know, as some registries of go-micro do.
    AnswersNothing,
    /// With an error, but its watchers are told what changes.
    OnlyTells,
}

struct Shared {
    env: Env,
    state: Mutex<State>,
    lookups: AtomicUsize,
    /// Watches that were opened, or should have been.
    watches: AtomicUsize,
    in_flight: AtomicUsize,
    in_flight_max: AtomicUsize,
}

struct State {
    mood: Mood,
    takes: Duration,
    /// By name and version.
    services: BTreeMap<(String, String), Service>,
    watchers: BTreeMap<usize, (Option<String>, mpsc::UnboundedSender<Event>)>,
    watches: usize,
}

impl Directory {
    pub(crate) fn new(env: Env) -> Self {
        let state = State {
            mood: Mood::Works,
            takes: Duration::ZERO,
            services: BTreeMap::new(),
            watchers: BTreeMap::new(),
            watches: 0,
        };
        let shared = Shared {
            env,
            state: Mutex::new(state),
            lookups: AtomicUsize::new(0),
            watches: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            in_flight_max: AtomicUsize::new(0),
        };
        Self { shared: Arc::new(shared), closed: AtomicBool::new(false) }
    }

    /// Registers the nodes of `service`; those that are there are replaced.
    pub(super) fn put(&self, service: &Service) {
        let mut state = self.shared.state();
        let key = (service.name.clone(), service.version.clone());
        for node in &service.nodes {
            let of_one = Service { nodes: vec![node.clone()], ..service.clone() };
            let known =
                state.services.entry(key.clone()).or_insert_with(|| Service { nodes: Vec::new(), ..of_one.clone() });
            let place = known.nodes.iter_mut().find(|other| other.id == node.id);
            let action = match place {
                Some(place) => {
                    *place = node.clone();
                    Action::Update
                }
                None => {
                    known.nodes.push(node.clone());
                    known.nodes.sort_by(|one, other| one.id.cmp(&other.id));
                    Action::Create
                }
            };
            state.tell(action, of_one);
        }
    }

    /// Makes `service` known without any node, which a registry should not do, but some of go-micro do.
    pub(super) fn put_empty(&self, service: &Service) {
        let key = (service.name.clone(), service.version.clone());
        self.shared.state().services.insert(key, Service { nodes: Vec::new(), ..service.clone() });
    }

    /// Deregisters the node `id` of `name`.
    pub(super) fn remove(&self, name: &str, id: &str) {
        let mut state = self.shared.state();
        for service in state.take(name, id) {
            state.tell(Action::Delete, service);
        }
    }

    /// Loses the node `id` of `name`, and tells nobody.
    pub(super) fn lose(&self, name: &str, id: &str) {
        drop(self.shared.state().take(name, id));
    }

    /// Answers in another mood from now on.
    pub(crate) fn turn(&self, mood: Mood) {
        let mut state = self.shared.state();
        state.mood = mood;
        if matches!(mood, Mood::Fails | Mood::Hangs) {
            state.watchers.clear();
        }
    }

    /// Takes so long for each lookup from now on.
    pub(super) fn take_time(&self, time: Duration) {
        self.shared.state().takes = time;
    }

    /// How many lookups there were.
    pub(super) fn lookups(&self) -> usize {
        self.shared.lookups.load(Ordering::SeqCst)
    }

    /// How often it was asked for anything: lookups and watches.
    pub(super) fn requests(&self) -> usize {
        self.lookups() + self.shared.watches.load(Ordering::SeqCst)
    }

    /// How many lookups there were at the same time, at most.
    pub(super) fn in_flight_max(&self) -> usize {
        self.shared.in_flight_max.load(Ordering::SeqCst)
    }

    /// How many watchers are open.
    pub(super) fn watchers(&self) -> usize {
        self.shared.state().watchers.len()
    }

    /// Whether somebody has closed it.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a lookup.
    async fn look(&self) -> Result<()> {
        self.answer().await?;
        match self.state().mood {
            Mood::OnlyTells => Err(failed("ask the directory")),
            _ => Ok(()),
        }
    }

    async fn answer(&self) -> Result<()> {
        let (mood, takes) = {
            let state = self.state();
            (state.mood, state.takes)
        };
        if !takes.is_zero() {
            crate::site::takes(&self.env, takes).await;
        }
        match mood {
            Mood::Hangs => pending().await,
            Mood::Fails => Err(failed("ask the directory")),
            Mood::Works | Mood::AnswersNothing | Mood::OnlyTells => Ok(()),
        }
    }
}

impl State {
    /// Takes the node `id` out of `name`; what is left over without nodes goes, too.
    fn take(&mut self, name: &str, id: &str) -> Vec<Service> {
        let mut gone: Vec<Service> = Vec::new();
        for ((of, _), service) in &mut self.services {
            if of == name {
                let (left, kept): (Vec<Node>, Vec<Node>) = service.nodes.drain(..).partition(|node| node.id == id);
                service.nodes = kept;
                gone.extend(left.into_iter().map(|node| Service { nodes: vec![node], ..service.clone() }));
            }
        }
        self.services.retain(|_, service| !service.nodes.is_empty());
        gone
    }

    fn tell(&mut self, action: Action, service: Service) {
        self.watchers.retain(|_, (wanted, events)| {
            let concerns = wanted.as_ref().is_none_or(|wanted| *wanted == service.name);
            !concerns || events.send(Event { action, service: service.clone() }).is_ok()
        });
    }
}

fn failed(operation: &'static str) -> Error {
    Error::new(ErrorKind::Backend, operation).detail("it was told to fail")
}

/// Counts a lookup while it lasts.
struct InFlight<'a>(&'a Shared);

impl<'a> InFlight<'a> {
    fn begin(shared: &'a Shared) -> Self {
        shared.lookups.fetch_add(1, Ordering::SeqCst);
        let now = shared.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        shared.in_flight_max.fetch_max(now, Ordering::SeqCst);
        Self(shared)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Registry for Directory {
    fn init(&self, _options: RegistryOptions) -> Result<()> {
        Ok(())
    }

    fn options(&self) -> RegistryOptions {
        RegistryOptions::default()
    }

    async fn register(&self, service: &Service, _options: RegisterOptions) -> Result<()> {
        self.shared.answer().await?;
        self.put(service);
        Ok(())
    }

    async fn deregister(&self, service: &Service, _options: DeregisterOptions) -> Result<()> {
        self.shared.answer().await?;
        for node in &service.nodes {
            self.remove(&service.name, &node.id);
        }
        Ok(())
    }

    async fn get_service(&self, name: &str, _options: GetOptions) -> Result<Services> {
        let _in_flight = InFlight::begin(&self.shared);
        self.shared.look().await?;
        let state = self.shared.state();
        let services: Vec<Service> =
            state.services.iter().filter(|((of, _), _)| of == name).map(|(_, service)| service.clone()).collect();
        if services.is_empty() && state.mood != Mood::AnswersNothing {
            return Err(Error::new(ErrorKind::NotFound, "get service").with("service", name));
        }
        Ok(services.into())
    }

    async fn list_services(&self, _options: ListOptions) -> Result<Services> {
        let _in_flight = InFlight::begin(&self.shared);
        self.shared.look().await?;
        Ok(self.shared.state().services.values().cloned().collect())
    }

    async fn watch(&self, options: WatchOptions) -> Result<Arc<dyn Watcher>> {
        self.shared.watches.fetch_add(1, Ordering::SeqCst);
        self.shared.answer().await?;
        let (events, receiver) = mpsc::unbounded_channel();
        let mut state = self.shared.state();
        state.watches += 1;
        let id = state.watches;
        state.watchers.insert(id, (options.service, events));
        let events = tokio::sync::Mutex::new(receiver);
        let stopped = AtomicBool::new(false);
        Ok(Arc::new(DirectoryWatcher { id, directory: Arc::downgrade(&self.shared), events, stopped }))
    }

    async fn close(&self) -> Result<()> {
        self.closed.store(true, Ordering::SeqCst);
        self.shared.state().watchers.clear();
        Ok(())
    }

    fn name(&self) -> &'static str {
        "directory"
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Directory").field("lookups", &self.lookups()).finish_non_exhaustive()
    }
}

/// Ends when it is stopped or dropped, and breaks when the directory fails.
struct DirectoryWatcher {
    id: usize,
    directory: Weak<Shared>,
    events: tokio::sync::Mutex<mpsc::UnboundedReceiver<Event>>,
    stopped: AtomicBool,
}

#[async_trait]
impl Watcher for DirectoryWatcher {
    async fn next(&self) -> Result<Event> {
        let event = self.events.lock().await.recv().await;
        if self.stopped.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::WatcherStopped, "watch"));
        }
        event.ok_or_else(|| Error::new(ErrorKind::Backend, "watch").detail("the directory was told to fail"))
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        if let Some(directory) = self.directory.upgrade() {
            directory.state().watchers.remove(&self.id);
        }
    }
}

impl Drop for DirectoryWatcher {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for DirectoryWatcher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("DirectoryWatcher").field("id", &self.id).finish_non_exhaustive()
    }
}
