//! Registry `memory`: registrations in the state that the hosts of a world share. No network fault touches it. It does not
//! know which world that is.

mod state;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;

use self::state::Registered;
use self::watch::MemoryWatcher;
use super::losses::LossLog;
use super::shared::SharedBackends;
use super::{
    DeregisterOptions, GetOptions, ListOptions, Loss, RegisterOptions, Registry, RegistryOptions, Service, Services,
    WatchOptions, Watcher, records,
};
use crate::Result;
use crate::env::{Env, Instant, Task};

pub use state::State;

/// The plugin's name.
pub const NAME: &str = "memory";

/// One host's view of the shared registrations.
#[derive(Debug)]
pub struct Memory {
    env: Env,
    state: Arc<State>,
    own: Mutex<Own>,
    losses: LossLog,
    closed: AtomicBool,
}

#[derive(Debug, Default)]
struct Own {
    options: RegistryOptions,
    /// What this instance has registered, by service and node, to know what it lost.
    registered: BTreeMap<(String, String), (Instant, Option<Duration>)>,
    watchers: Vec<Weak<MemoryWatcher>>,
    expiry: Option<Task>,
}

impl Memory {
    /// Joins the state of `env`'s namespace. What expires is removed by any access, and by a task that each instance has,
    /// so that watchers hear of it in time. Call it within a runtime.
    pub fn new(env: Env, options: RegistryOptions) -> Self {
        let state = env.namespace().shared::<State>();
        env.namespace().shared::<SharedBackends>().offer(state.clone());
        let expiry = Some(env.spawn("registry-expiry", expire(env.clone(), state.clone())));
        let own = Mutex::new(Own { options, expiry, ..Own::default() });
        Self { env, state, own, losses: LossLog::default(), closed: AtomicBool::new(false) }
    }

    fn check(&self, operation: &'static str) -> Result<()> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(records::closed(operation));
        }
        records::check_secure(self.own().options.secure, operation)
    }

    /// Notes why a record that this instance had registered was not there any more.
    fn note_loss(&self, now: Instant, record: &Service, ttl: Option<Duration>, done: Registered) {
        let node = &record.nodes[0].id;
        let last = self.own().registered.insert((record.name.clone(), node.clone()), (now, ttl));
        let (Registered::Created, Some((renewed_at, ttl))) = (done, last) else { return };
        let (silent, ttl) = (now - renewed_at, ttl.map_or_else(|| "none".to_owned(), |ttl| format!("{ttl:?}")));
        let reason = format!("the backend no longer had it, {silent:.1?} after it was registered; its TTL is {ttl}");
        self.losses.lost(now, node, reason);
        self.losses.restored(node);
    }

    fn own(&self) -> MutexGuard<'_, Own> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes registrations when their time is over.
async fn expire(env: Env, state: Arc<State>) {
    loop {
        let changed = state.deadlines_changed();
        let deadline = state.next_deadline();
        let due = async {
            match deadline {
                Some(deadline) => env.clock().sleep_until(deadline).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            () = changed => {}
            () = due => state.expire(env.now()),
        }
    }
}

#[async_trait]
impl Registry for Memory {
    fn init(&self, options: RegistryOptions) -> Result<()> {
        self.own().options = options;
        Ok(())
    }

    fn options(&self) -> RegistryOptions {
        self.own().options.clone()
    }

    async fn register(&self, service: &Service, options: RegisterOptions) -> Result<()> {
        self.check("register")?;
        records::check_registration(service, options.ttl)?;
        let now = self.env.now();
        for record in records::split(service) {
            let done = self.state.register(now, record.clone(), options.ttl);
            self.note_loss(now, &record, options.ttl, done);
        }
        Ok(())
    }

    async fn deregister(&self, service: &Service, _options: DeregisterOptions) -> Result<()> {
        self.check("deregister")?;
        let now = self.env.now();
        for node in &service.nodes {
            self.own().registered.remove(&(service.name.clone(), node.id.clone()));
            self.state.deregister(now, &service.name, &node.id);
        }
        Ok(())
    }

    async fn get_service(&self, name: &str, _options: GetOptions) -> Result<Services> {
        self.check("get service")?;
        self.state.get(self.env.now(), name).ok_or_else(|| records::not_found(name))
    }

    async fn list_services(&self, _options: ListOptions) -> Result<Services> {
        self.check("list services")?;
        Ok(self.state.list(self.env.now()))
    }

    async fn watch(&self, options: WatchOptions) -> Result<Arc<dyn Watcher>> {
        self.check("watch")?;
        let watcher = Arc::new(MemoryWatcher::open(self.state.clone(), self.env.now(), options));
        let watchers = &mut self.own().watchers;
        watchers.retain(|watcher| watcher.upgrade().is_some());
        watchers.push(Arc::downgrade(&watcher));
        Ok(watcher)
    }

    fn losses(&self) -> Vec<Loss> {
        self.losses.to_vec()
    }

    async fn close(&self) -> Result<()> {
        self.closed.store(true, Ordering::Relaxed);
        let (watchers, expiry) = {
            let mut own = self.own();
            (std::mem::take(&mut own.watchers), own.expiry.take())
        };
        for watcher in watchers.iter().filter_map(Weak::upgrade) {
            watcher.stop();
        }
        if let Some(expiry) = expiry {
            expiry.abort();
            expiry.join().await;
        }
        Ok(())
    }

    fn name(&self) -> &'static str {
        NAME
    }
}
