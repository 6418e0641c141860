//! Registry `cache`: remembers what another registry answered and keeps it true by watching. A hit is synchronous, and
//! neither allocates nor waits, not even for a lock. It knows nothing of the registry behind it but the interface.
//!
//! How old an answer can be: with a working watch, as old as an event needs to arrive; with a broken one, the TTL and one
//! lookup, as long as the registry answers lookups; while it does not, the last answer is served.

mod answers;
mod entry;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::OnceCell;

use self::answers::Answers;
use self::entry::Entry;
use self::watch::Follower;
use super::{
    DeregisterOptions, Event, Followed, Freshness, GetOptions, ListOptions, Loss, RegisterOptions, Registry,
    RegistryOptions, Service, Services, WatchOptions, Watcher, records,
};
use crate::env::{Elapsed, Env, Instant, Task};
use crate::{Error, ErrorKind, Result};

/// The plugin's name.
pub const NAME: &str = "cache";

/// How a cache behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheConfig {
    /// An answer of this age is looked up again; 1 min. A service that was not asked for meanwhile is forgotten.
    pub ttl: Duration,
    /// Up to this much is added at random to each pause before a broken watch is opened again; 100 ms.
    pub jitter_max: Duration,
    /// The longest pause between two attempts to watch or look up a service; 10 s.
    pub backoff_max: Duration,
    /// Whether closing the cache closes the registry behind it; false.
    pub closes_inner: bool,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(60),
            jitter_max: Duration::from_millis(100),
            backoff_max: Duration::from_secs(10),
            closes_inner: false,
        }
    }
}

/// A registry that remembers the answers of another.
#[derive(Debug)]
pub struct Cache {
    shared: Arc<Shared>,
}

/// What the cache and its tasks share.
#[derive(Debug)]
struct Shared {
    env: Env,
    inner: Arc<dyn Registry>,
    config: CacheConfig,
    /// What callers are answered.
    answers: Answers,
    /// What the answers are made of.
    slots: Mutex<BTreeMap<String, Slot>>,
    flights: Mutex<BTreeMap<String, Weak<Flight>>>,
    closed: AtomicBool,
}

#[derive(Debug)]
struct Slot {
    entry: Entry,
    /// Of the answer.
    freshness: Arc<Freshness>,
    /// Keeps the entry true.
    follower: Task,
}

/// A lookup that all callers share who miss meanwhile. When the one who runs it gives up, the next takes over.
type Flight = OnceCell<Result<Services, (ErrorKind, String)>>;

impl Cache {
    /// Wraps `inner`. Nothing is looked up before somebody asks.
    pub fn new(env: Env, inner: Arc<dyn Registry>, config: CacheConfig) -> Self {
        let (answers, slots, flights) = (Answers::default(), Mutex::default(), Mutex::default());
        let closed = AtomicBool::new(false);
        Self { shared: Arc::new(Shared { env, inner, config, answers, slots, flights, closed }) }
    }

    fn check(&self, operation: &'static str) -> Result<()> {
        if self.shared.closed.load(Ordering::Relaxed) {
            return Err(records::closed(operation));
        }
        Ok(())
    }

    async fn lookup(&self, name: &str) -> Result<Services> {
        let flight = self.shared.flight(name);
        match flight.get_or_init(|| self.shared.lookup(name, &flight)).await {
            Ok(services) => Ok(services.clone()),
            Err((ErrorKind::NotFound, _)) => Err(records::not_found(name)),
            Err((kind, why)) => Err(Error::new(*kind, "get service").detail(why.clone()).with("service", name)),
        }
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        // The followers hold what holds them.
        drop(self.shared.take_slots());
    }
}

impl Shared {
    /// The lookup of `name` that is under way, or a new one.
    fn flight(&self, name: &str) -> Arc<Flight> {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(name).and_then(Weak::upgrade) {
            return flight;
        }
        let flight = Arc::new(Flight::new());
        flights.insert(name.to_owned(), Arc::downgrade(&flight));
        flight
    }

    async fn lookup(self: &Arc<Self>, name: &str, flight: &Arc<Flight>) -> Result<Services, (ErrorKind, String)> {
        if let Some(services) = self.answers.get(name) {
            // A flight that ended just now has brought it.
            return Ok(services);
        }
        let asked_at = self.env.now();
        let lookup = self.inner.get_service(name, GetOptions::default());
        let answer = match self.env.timeout(self.limit(), lookup).await {
            Ok(Ok(services)) if services.is_empty() => Err((ErrorKind::NotFound, String::new())),
            Ok(Ok(services)) => Ok(services),
            Ok(Err(error)) => Err((error.kind(), error.to_string())),
            Err(Elapsed) => Err((ErrorKind::Timeout, "the registry did not answer".to_owned())),
        };
        // Whoever asks from now on asks anew: neither a miss nor a failure is remembered.
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if flights.get(name).is_some_and(|known| Weak::ptr_eq(known, &Arc::downgrade(flight))) {
            flights.remove(name);
        }
        drop(flights);
        self.settle(name, answer, asked_at)
    }

    /// Keeps the answer of a lookup.
    fn settle(
        self: &Arc<Self>,
        name: &str,
        answer: Result<Services, (ErrorKind, String)>,
        asked_at: Instant,
    ) -> Result<Services, (ErrorKind, String)> {
        let mut slots = self.slots();
        if self.closed.load(Ordering::Relaxed) {
            return answer;
        }
        let services = answer?;
        let entry = Entry::new(services.clone(), asked_at);
        let follower = self.env.spawn("registry-cache", Follower::new(self.clone(), name.to_owned()).run());
        let freshness = self.answers.insert(name, services.clone());
        slots.insert(name.to_owned(), Slot { entry, freshness, follower });
        Ok(services)
    }

    /// When the answer for `name` is too old; `None` when there is none.
    fn stale_at(&self, name: &str) -> Option<Instant> {
        Some(self.slots().get(name)?.entry.confirmed_at() + self.config.ttl)
    }

    /// Forgets a service that was not asked for since the last call.
    fn forget_if_unused(&self, name: &str) -> ControlFlow<()> {
        if self.slots().get(name).is_some_and(|slot| slot.freshness.take_use()) {
            return ControlFlow::Continue(());
        }
        self.forget(name);
        ControlFlow::Break(())
    }

    fn replace(&self, name: &str, services: Services, asked_at: Instant) {
        if let Some(slot) = self.slots().get_mut(name) {
            slot.entry = Entry::new(services.clone(), asked_at);
            self.answers.replace(name, services, &slot.freshness);
        }
    }

    fn apply(&self, name: &str, event: &Event) -> ControlFlow<()> {
        if event.service.name != name {
            return ControlFlow::Continue(());
        }
        let now = self.env.now();
        let mut slots = self.slots();
        let Some(slot) = slots.get_mut(name) else { return ControlFlow::Break(()) };
        if slot.entry.apply(event, now) {
            self.answers.replace(name, slot.entry.answer().clone(), &slot.freshness);
            return ControlFlow::Continue(());
        }
        self.answers.remove(name);
        slots.remove(name);
        ControlFlow::Break(())
    }

    fn forget(&self, name: &str) {
        let mut slots = self.slots();
        self.answers.remove(name);
        slots.remove(name);
    }

    fn take_slots(&self) -> BTreeMap<String, Slot> {
        let mut slots = self.slots();
        self.answers.clear();
        std::mem::take(&mut *slots)
    }

    /// The longest that one request to the registry may take.
    fn limit(&self) -> Duration {
        self.inner.options().timeout
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<String, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Registry for Cache {
    fn init(&self, options: RegistryOptions) -> Result<()> {
        self.shared.inner.init(options)
    }

    fn options(&self) -> RegistryOptions {
        self.shared.inner.options()
    }

    async fn register(&self, service: &Service, options: RegisterOptions) -> Result<()> {
        self.check("register")?;
        self.shared.inner.register(service, options).await
    }

    async fn deregister(&self, service: &Service, options: DeregisterOptions) -> Result<()> {
        self.check("deregister")?;
        self.shared.inner.deregister(service, options).await
    }

    async fn get_service(&self, name: &str, _options: GetOptions) -> Result<Services> {
        self.check("get service")?;
        match self.shared.answers.get(name) {
            Some(services) => Ok(services),
            None => self.lookup(name).await,
        }
    }

    async fn list_services(&self, options: ListOptions) -> Result<Services> {
        self.check("list services")?;
        self.shared.inner.list_services(options).await
    }

    async fn watch(&self, options: WatchOptions) -> Result<Arc<dyn Watcher>> {
        self.check("watch")?;
        self.shared.inner.watch(options).await
    }

    fn cached(&self, name: &str) -> Option<Services> {
        self.shared.answers.get(name)
    }

    fn followed(&self, name: &str) -> Option<Followed> {
        self.shared.answers.follow(name)
    }

    fn losses(&self) -> Vec<Loss> {
        self.shared.inner.losses()
    }

    async fn close(&self) -> Result<()> {
        self.shared.closed.store(true, Ordering::Relaxed);
        for slot in self.shared.take_slots().into_values() {
            slot.follower.abort();
            slot.follower.join().await;
        }
        if self.shared.config.closes_inner { self.shared.inner.close().await } else { Ok(()) }
    }

    fn name(&self) -> &'static str {
        NAME
    }
}
