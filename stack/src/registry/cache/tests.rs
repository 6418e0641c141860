//! The cache over a memory registry that can be made to fail, hang and go deaf. No real time passes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use super::{Cache, CacheConfig};
use crate::env::Env;
use crate::env::testing::env;
use crate::registry::memory::{Memory, State};
use crate::registry::testing::{check, get, service, ttl};
use crate::registry::{
    DeregisterOptions, Event, GetOptions, ListOptions, RegisterOptions, Registry, RegistryOptions, Service, Services,
    WatchOptions, Watcher,
};
use crate::{Error, ErrorKind, Result};

/// A registry whose faults a test chooses.
#[derive(Debug)]
struct Moody {
    env: Env,
    inner: Memory,
    lookups: AtomicUsize,
    watches: AtomicUsize,
    fails: AtomicBool,
    /// Watches can be opened, but fail at once.
    deaf: AtomicBool,
}

impl Moody {
    fn new(env: &Env) -> Arc<Self> {
        Arc::new(Self {
            env: env.clone(),
            inner: Memory::new(env.clone(), RegistryOptions::default()),
            lookups: AtomicUsize::new(0),
            watches: AtomicUsize::new(0),
            fails: AtomicBool::new(false),
            deaf: AtomicBool::new(false),
        })
    }

    fn lookups(&self) -> usize {
        self.lookups.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Registry for Moody {
    fn init(&self, options: RegistryOptions) -> Result<()> {
        self.inner.init(options)
    }

    fn options(&self) -> RegistryOptions {
        self.inner.options()
    }

    async fn register(&self, service: &Service, options: RegisterOptions) -> Result<()> {
        self.inner.register(service, options).await
    }

    async fn deregister(&self, service: &Service, options: DeregisterOptions) -> Result<()> {
        self.inner.deregister(service, options).await
    }

    async fn get_service(&self, name: &str, options: GetOptions) -> Result<Services> {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        // A lookup takes time, and answers what was true when it began.
        let answer = self.inner.get_service(name, options).await;
        self.env.sleep(Duration::from_millis(10)).await;
        if self.fails.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Unreachable, "get service"));
        }
        answer
    }

    async fn list_services(&self, options: ListOptions) -> Result<Services> {
        self.inner.list_services(options).await
    }

    async fn watch(&self, options: WatchOptions) -> Result<Arc<dyn Watcher>> {
        self.watches.fetch_add(1, Ordering::Relaxed);
        if self.deaf.load(Ordering::Relaxed) {
            return Ok(Arc::new(Deaf));
        }
        self.inner.watch(options).await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }

    fn name(&self) -> &'static str {
        "moody"
    }
}

#[derive(Debug)]
struct Deaf;

#[async_trait]
impl Watcher for Deaf {
    async fn next(&self) -> Result<Event> {
        Err(Error::new(ErrorKind::Backend, "watch"))
    }

    fn stop(&self) {}
}

fn cache(env: &Env, inner: &Arc<Moody>) -> Cache {
    Cache::new(env.clone(), inner.clone(), CacheConfig::default())
}

async fn pause(env: &Env, milliseconds: u64) {
    env.sleep(Duration::from_millis(milliseconds)).await;
}

#[tokio::test(start_paused = true)]
async fn concurrent_misses_share_one_lookup_and_hits_are_the_answer_itself() {
    let env = env();
    let inner = Moody::new(&env);
    let cache = cache(&env, &inner);
    inner.register(&service("user", "1", &["a"]), ttl(600)).await.unwrap();
    assert!(cache.cached("user").is_none());
    let (one, two, three, ()) = tokio::join!(get(&cache, "user"), get(&cache, "user"), get(&cache, "user"), async {
        pause(&env, 9).await;
        assert_eq!(inner.lookups(), 1);
    });
    let one = one.unwrap();
    assert!(one.is_same(&two.unwrap()) && one.is_same(&three.unwrap()));
    assert!(one.is_same(&cache.cached("user").unwrap()));
    pause(&env, 30_000).await;
    assert_eq!(inner.lookups(), 2, "one for the callers, one after the watch was opened");
}

#[tokio::test(start_paused = true)]
async fn a_shared_lookup_survives_the_caller_who_began_it() {
    let env = env();
    let inner = Moody::new(&env);
    let cache = cache(&env, &inner);
    inner.register(&service("user", "1", &["a"]), ttl(600)).await.unwrap();
    let impatient = env.timeout(Duration::from_millis(5), get(&cache, "user"));
    let (impatient, patient) = tokio::join!(impatient, get(&cache, "user"));
    assert!(impatient.is_err());
    assert_eq!(patient.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_miss_is_not_remembered() {
    let env = env();
    let inner = Moody::new(&env);
    let cache = cache(&env, &inner);
    assert_eq!(get(&cache, "user").await.unwrap_err().kind(), ErrorKind::NotFound);
    inner.register(&service("user", "1", &["a"]), ttl(600)).await.unwrap();
    assert_eq!(get(&cache, "user").await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn every_looked_up_service_is_followed_by_events() {
    let env = env();
    let inner = Moody::new(&env);
    let cache = cache(&env, &inner);
    for name in ["user", "book", "order"] {
        inner.register(&service(name, "1", &["a"]), ttl(600)).await.unwrap();
        get(&cache, name).await.unwrap();
    }
    pause(&env, 100).await;
    let lookups = inner.lookups();
    inner.register(&service("order", "1", &["b"]), ttl(600)).await.unwrap();
    inner.register(&service("order", "2", &["a"]), ttl(600)).await.unwrap();
    pause(&env, 1).await;
    let expected = [service("order", "1", &["b"]), service("order", "2", &["a"])];
    assert_eq!(&*cache.cached("order").unwrap(), &expected);
    inner.deregister(&service("order", "1", &["b"]), DeregisterOptions::default()).await.unwrap();
    pause(&env, 1).await;
    assert_eq!(&*cache.cached("order").unwrap(), &expected[1..]);
    inner.deregister(&service("order", "2", &["a"]), DeregisterOptions::default()).await.unwrap();
    pause(&env, 1).await;
    assert!(cache.cached("order").is_none());
    assert_eq!(inner.lookups(), lookups);
    assert_eq!(get(&cache, "order").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(cache.cached("user").is_some() && cache.cached("book").is_some());
}

#[tokio::test(start_paused = true)]
async fn an_event_during_a_lookup_is_not_undone_by_its_answer() {
    let env = env();
    let inner = Moody::new(&env);
    let cache = cache(&env, &inner);
    inner.register(&service("user", "1", &["a", "b"]), ttl(600)).await.unwrap();
    get(&cache, "user").await.unwrap();
    // The second lookup is under way and has already read both nodes.
    pause(&env, 5).await;
    assert_eq!(inner.lookups(), 2);
    inner.deregister(&service("user", "1", &["a"]), DeregisterOptions::default()).await.unwrap();
    pause(&env, 20).await;
    assert_eq!(&*cache.cached("user").unwrap(), &[service("user", "1", &["b"])]);
}

#[tokio::test(start_paused = true)]
async fn an_expired_node_leaves_the_cache_at_once() {
    let env = env();
    let inner = Moody::new(&env);
    let cache = cache(&env, &inner);
    inner.register(&service("user", "1", &["a"]), ttl(5)).await.unwrap();
    inner.register(&service("user", "1", &["b"]), ttl(600)).await.unwrap();
    get(&cache, "user").await.unwrap();
    pause(&env, 5_002).await;
    assert_eq!(&*cache.cached("user").unwrap(), &[service("user", "1", &["b"])]);
}

#[tokio::test(start_paused = true)]
async fn without_a_watch_an_answer_is_looked_up_again_after_the_ttl() {
    let env = env();
    let inner = Moody::new(&env);
    let cache = cache(&env, &inner);
    inner.deaf.store(true, Ordering::Relaxed);
    inner.register(&service("user", "1", &["a"]), ttl(600)).await.unwrap();
    get(&cache, "user").await.unwrap();
    pause(&env, 59_000).await;
    inner.register(&service("user", "1", &["b"]), ttl(600)).await.unwrap();
    cache.cached("user").unwrap();
    pause(&env, 10_200).await;
    assert_eq!(&*cache.cached("user").unwrap(), &[service("user", "1", &["a", "b"])]);
    let watches = inner.watches.load(Ordering::Relaxed);
    assert!((5..20).contains(&watches), "watches are opened again, but with pauses: {watches}");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_broke_is_opened_again_and_the_gap_is_closed_by_a_lookup() {
    let env = env();
    let inner = Moody::new(&env);
    let cache = cache(&env, &inner);
    inner.deaf.store(true, Ordering::Relaxed);
    inner.register(&service("user", "1", &["a"]), ttl(600)).await.unwrap();
    get(&cache, "user").await.unwrap();
    pause(&env, 5_000).await;
    inner.register(&service("user", "1", &["b"]), ttl(600)).await.unwrap();
    inner.deaf.store(false, Ordering::Relaxed);
    pause(&env, 10_200).await;
    assert_eq!(&*cache.cached("user").unwrap(), &[service("user", "1", &["a", "b"])]);
    inner.register(&service("user", "1", &["c"]), ttl(600)).await.unwrap();
    pause(&env, 1).await;
    assert_eq!(&*cache.cached("user").unwrap(), &[service("user", "1", &["a", "b", "c"])]);
}

#[tokio::test(start_paused = true)]
async fn the_last_answer_is_served_while_the_registry_fails_and_lookups_are_few() {
    let env = env();
    let inner = Moody::new(&env);
    let cache = cache(&env, &inner);
    inner.register(&service("user", "1", &["a"]), RegisterOptions::default()).await.unwrap();
    get(&cache, "user").await.unwrap();
    pause(&env, 100).await;
    inner.fails.store(true, Ordering::Relaxed);
    let lookups = inner.lookups();
    for _ in 0..600 {
        pause(&env, 1_000).await;
        assert_eq!(cache.cached("user").unwrap().len(), 1);
        assert_eq!(get(&cache, "user").await.unwrap().len(), 1);
    }
    assert!((30..80).contains(&(inner.lookups() - lookups)), "{}", inner.lookups() - lookups);
    assert_eq!(get(&cache, "book").await.unwrap_err().kind(), ErrorKind::Unreachable);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_nobody_asks_for_is_forgotten() {
    let env = env();
    let inner = Moody::new(&env);
    let cache = cache(&env, &inner);
    inner.register(&service("user", "1", &["a"]), RegisterOptions::default()).await.unwrap();
    get(&cache, "user").await.unwrap();
    pause(&env, 130_000).await;
    assert!(cache.cached("user").is_none());
    assert_eq!(env.live_tasks().counts().get("registry-cache"), None);
    assert_eq!(get(&cache, "user").await.unwrap().len(), 1);
    assert!(cache.cached("user").is_some());
}

#[tokio::test(start_paused = true)]
async fn mass_expiry_costs_the_registry_one_lookup_for_all_callers() {
    let env = env();
    let inner = Moody::new(&env);
    let cache = cache(&env, &inner);
    inner.register(&service("user", "1", &["a", "b"]), ttl(30)).await.unwrap();
    get(&cache, "user").await.unwrap();
    pause(&env, 30_010).await;
    let lookups = inner.lookups();
    let callers = (0..100).map(|_| get(&cache, "user"));
    for answer in futures_util::future::join_all(callers).await {
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::NotFound);
    }
    assert_eq!(inner.lookups() - lookups, 1);
}

#[tokio::test(start_paused = true)]
async fn the_contract_holds_where_answers_come_from_events() {
    let env = env();
    let inner = Arc::new(Memory::new(env.clone(), RegistryOptions::default()));
    let cache = Settled { env: env.clone(), cache: Cache::new(env, inner, CacheConfig::default()) };
    check(&cache).await;
}

/// Lets events arrive before it answers, because a cache is allowed that time.
#[derive(Debug)]
struct Settled {
    env: Env,
    cache: Cache,
}

#[async_trait]
impl Registry for Settled {
    fn init(&self, options: RegistryOptions) -> Result<()> {
        self.cache.init(options)
    }

    fn options(&self) -> RegistryOptions {
        self.cache.options()
    }

    async fn register(&self, service: &Service, options: RegisterOptions) -> Result<()> {
        self.cache.register(service, options).await
    }

    async fn deregister(&self, service: &Service, options: DeregisterOptions) -> Result<()> {
        self.cache.deregister(service, options).await
    }

    async fn get_service(&self, name: &str, options: GetOptions) -> Result<Services> {
        pause(&self.env, 1).await;
        self.cache.get_service(name, options).await
    }

    async fn list_services(&self, options: ListOptions) -> Result<Services> {
        self.cache.list_services(options).await
    }

    async fn watch(&self, options: WatchOptions) -> Result<Arc<dyn Watcher>> {
        self.cache.watch(options).await
    }

    async fn close(&self) -> Result<()> {
        self.cache.close().await
    }

    fn name(&self) -> &'static str {
        self.cache.name()
    }
}

#[tokio::test(start_paused = true)]
async fn closing_and_dropping_end_every_task_and_watch() {
    let env = env();
    let state = env.namespace().shared::<State>();
    let inner = Moody::new(&env);
    inner.register(&service("user", "1", &["a"]), ttl(600)).await.unwrap();
    let closed = cache(&env, &inner);
    let dropped = cache(&env, &inner);
    for cache in [&closed, &dropped] {
        get(cache, "user").await.unwrap();
    }
    pause(&env, 1).await;
    assert_eq!(env.live_tasks().counts()["registry-cache"], 2);
    closed.close().await.unwrap();
    drop(dropped);
    pause(&env, 1).await;
    assert_eq!(env.live_tasks().counts().get("registry-cache"), None);
    assert_eq!(state.watchers(), 0);
    assert_eq!(get(&closed, "user").await.unwrap_err().kind(), ErrorKind::Closed);
    assert!(closed.cached("user").is_none());
    assert_eq!(get(&*inner, "user").await.unwrap().len(), 1, "the registry behind it is not closed");
}
