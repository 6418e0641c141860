//! The reference selector: over the registry cache, which it puts before a registry that is none. It makes no requests
//! except in `load`, and a selection that hits allocates nothing: nodes are worked out only when the registry's answer or
//! the blacklist changed. One without filters takes no lock either, as long as nothing changes and nobody fails, and where a
//! thread selects again from a service it writes to memory of its own. Filters must be pure functions of the services they are
//! given.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::blacklist::BlacklistOptions;
use super::kept::{AllKept, Kept};
use super::ready::AllReady;
use super::{Outcome, Picked, SelectOptions, Selection, Selector, SelectorOptions};
use crate::env::{Env, Random};
use crate::opaque::opaque;
use crate::registry::cache::{self, Cache, CacheConfig};
use crate::registry::{GetOptions, Node, Registry};
use crate::{Error, ErrorKind, Result};

/// What a selector keeps to for its whole life.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CachedSelectorConfig {
    /// When a node is left out, and for how long.
    pub blacklist: BlacklistOptions,
    /// The cache that is put before a registry that is none.
    pub cache: CacheConfig,
}

/// A selector over the cache of a registry; go-micro's default selector with a fair round robin and a blacklist.
pub struct CachedSelector {
    env: Env,
    name: &'static str,
    config: CachedSelectorConfig,
    /// What is in `state` as well, for who needs no lock. Changed by who has it.
    ready: AllReady,
    state: Mutex<State>,
}

struct State {
    /// With the cache as the registry.
    options: SelectorOptions,
    /// The registry that the cache was put before, or the cache that was given.
    given: Arc<dyn Registry>,
    /// The cache, where it is the selector's own.
    own_cache: Option<Arc<Cache>>,
    closed: bool,
    kept: AllKept,
    random: Random,
}

impl CachedSelector {
    /// A selector called `name`. A registry called `cache` is taken as it is; any other gets a cache before it.
    pub fn new(env: Env, name: &'static str, options: SelectorOptions, config: CachedSelectorConfig) -> Self {
        let random = env.random("selector position");
        let given = options.registry.clone();
        let mut state = State { options, given, own_cache: None, closed: false, kept: AllKept::default(), random };
        state.put_cache_before(&env, &config.cache);
        Self { env, name, config, ready: AllReady::default(), state: Mutex::new(state) }
    }

    /// Selects with the lock, and prepares that the next selection needs none.
    #[inline(never)]
    fn work_out(&self, service: &str, options: &SelectOptions) -> Result<Selection> {
        let is_plain = options.is_plain();
        let unused = if is_plain { self.ready.unused(service) } else { None };
        let mut state = self.state();
        let State { options: defaults, closed, kept, random, .. } = &mut *state;
        if *closed {
            return Err(closed_error());
        }
        let followed = if is_plain { defaults.registry.followed(service) } else { None };
        let services = followed.as_ref().map(|followed| followed.services.clone());
        let Some(services) = services.or_else(|| defaults.registry.cached(service)) else {
            return Ok(Selection::Miss);
        };
        if services.is_empty() {
            return Err(Error::new(ErrorKind::NotFound, "select").with("service", service));
        }
        let kept = match kept.services.get_mut(service) {
            Some(kept) => kept,
            None => {
                kept.make_room(self.env.now(), &self.ready);
                kept.services.entry(service.to_owned()).or_default()
            }
        };
        kept.blacklist.expire(|| self.env.now());
        if let Some(unused) = &unused {
            kept.give_back(unused);
        }
        let strategy = options.strategy.as_ref().unwrap_or(&defaults.strategy);
        let next = kept.select(service, services, &options.filters, strategy, random)?;
        if let Some(followed) = followed
            && kept.blacklist.is_empty()
        {
            kept.make_ready(service, followed, strategy, &self.ready);
        }
        Ok(Selection::Ready(next))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Selector for CachedSelector {
    fn init(&self, options: SelectorOptions) -> Result<()> {
        let mut state = self.state();
        let State { options: current, given, .. } = &mut *state;
        let same = [&*given, &current.registry].into_iter().any(|known| Arc::ptr_eq(known, &options.registry));
        current.strategy = options.strategy;
        state.kept.services.values().for_each(Kept::lock);
        if !same {
            state.given = options.registry;
            state.put_cache_before(&self.env, &self.config.cache);
            // Another registry's nodes are other nodes, whatever their ids.
            state.kept.services.clear();
            self.ready.clear();
        }
        Ok(())
    }

    fn options(&self) -> SelectorOptions {
        self.state().options.clone()
    }

    fn select(&self, service: &str, options: &SelectOptions) -> Result<Selection> {
        if options.is_plain()
            && let Some(next) = self.ready.take(service)
        {
            return Ok(Selection::Ready(next));
        }
        self.work_out(service, options)
    }

    fn pick(&self, service: &str, options: &SelectOptions) -> Result<Option<Picked>> {
        if options.is_plain()
            && let Some(picked) = self.ready.pick(service)
        {
            return picked.map(Some);
        }
        match self.work_out(service, options)? {
            Selection::Ready(next) => next.node().map(|node| Some(node.into())),
            Selection::Miss => Ok(None),
        }
    }

    async fn load(&self, service: &str) -> Result<()> {
        let registry = {
            let state = self.state();
            if state.closed {
                return Err(closed_error());
            }
            state.options.registry.clone()
        };
        registry.get_service(service, GetOptions::default()).await.map(|_| ())
    }

    fn mark(&self, service: &str, node: &Node, outcome: Outcome) {
        if outcome == Outcome::Answered && self.ready.is_innocent(service) {
            return;
        }
        let mut state = self.state();
        if state.closed {
            return;
        }
        match (state.kept.services.get_mut(service), outcome) {
            (Some(kept), Outcome::Answered) => kept.blacklist.answered(node),
            (Some(kept), Outcome::Failed) => {
                kept.lock();
                kept.blacklist.failed(node, self.env.now(), &self.config.blacklist);
            }
            (None, Outcome::Answered) => {}
            (None, Outcome::Failed) => {
                state.kept.make_room(self.env.now(), &self.ready);
                let kept = state.kept.services.entry(service.to_owned()).or_default();
                kept.blacklist.failed(node, self.env.now(), &self.config.blacklist);
            }
        }
    }

    fn reset(&self, service: &str) {
        if let Some(kept) = self.state().kept.services.get_mut(service) {
            kept.blacklist.clear();
        }
    }

    async fn close(&self) -> Result<()> {
        let own_cache = {
            let mut state = self.state();
            state.closed = true;
            state.kept.services.clear();
            self.ready.clear();
            state.own_cache.take()
        };
        match own_cache {
            Some(cache) => cache.close().await,
            None => Ok(()),
        }
    }

    fn name(&self) -> &'static str {
        self.name
    }
}

impl State {
    fn put_cache_before(&mut self, env: &Env, config: &CacheConfig) {
        if self.given.name() == cache::NAME {
            self.options.registry = self.given.clone();
            self.own_cache = None;
        } else {
            let cache = Arc::new(Cache::new(env.clone(), self.given.clone(), config.clone()));
            self.options.registry = cache.clone();
            self.own_cache = Some(cache);
        }
    }
}

fn closed_error() -> Error {
    Error::new(ErrorKind::Closed, "select")
}

opaque!(CachedSelector { name });
