//! A registry for the unit tests of selectors and brokers: a table in memory that answers at once, counts lookups and can
//! be told to fail. It says that it is a cache, so that what a test puts into it is what a selector sees. Expiry follows
//! the clock it was given.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use crate::env::{Env, Instant};
use crate::registry::{
    DeregisterOptions, GetOptions, ListOptions, Node, RegisterOptions, Registry, RegistryOptions, Service, Services,
    WatchOptions, Watcher,
};
use crate::{Error, ErrorKind, Result};

/// A service of one node, and when it runs out.
type Record = (Service, Option<Instant>);

#[derive(Debug)]
pub(crate) struct TestRegistry {
    env: Env,
    records: Mutex<BTreeMap<[String; 3], Record>>,
    cache: Mutex<BTreeMap<String, Services>>,
    /// Lookups that reached the "backend".
    pub(crate) lookups: AtomicUsize,
    /// While set, every request fails.
    pub(crate) broken: AtomicBool,
    /// While set, a registration is never answered.
    pub(crate) hanging: AtomicBool,
}

impl TestRegistry {
    pub(crate) fn new(env: &Env) -> Arc<Self> {
        Arc::new(Self {
            env: env.clone(),
            records: Mutex::default(),
            cache: Mutex::default(),
            lookups: AtomicUsize::new(0),
            broken: AtomicBool::new(false),
            hanging: AtomicBool::new(false),
        })
    }

    /// Replaces what the cache holds for `name`, as a watch event would.
    pub(crate) fn put(&self, name: &str, services: Vec<Service>) {
        self.cache.lock().unwrap().insert(name.to_owned(), services.into());
    }

    /// The nodes that are registered and have not run out, by id.
    pub(crate) fn registered(&self) -> Vec<(String, Node)> {
        let now = self.env.now();
        let records = self.records.lock().unwrap();
        let live = records.values().filter(|(_, until)| until.is_none_or(|until| now < until));
        live.map(|(service, _)| (service.version.clone(), service.nodes[0].clone())).collect()
    }

    fn check(&self) -> Result<()> {
        match self.broken.load(Ordering::SeqCst) {
            true => Err(Error::new(ErrorKind::Backend, "ask registry")),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Registry for TestRegistry {
    fn init(&self, _options: RegistryOptions) -> Result<()> {
        Ok(())
    }

    fn options(&self) -> RegistryOptions {
        RegistryOptions::default()
    }

    async fn register(&self, service: &Service, options: RegisterOptions) -> Result<()> {
        self.check()?;
        if self.hanging.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        for node in &service.nodes {
            let key = [service.name.clone(), service.version.clone(), node.id.clone()];
            let record = Service { nodes: vec![node.clone()], ..service.clone() };
            let until = options.ttl.map(|ttl| self.env.now() + ttl);
            self.records.lock().unwrap().insert(key, (record, until));
        }
        Ok(())
    }

    async fn deregister(&self, service: &Service, _options: DeregisterOptions) -> Result<()> {
        self.check()?;
        for node in &service.nodes {
            let key = [service.name.clone(), service.version.clone(), node.id.clone()];
            self.records.lock().unwrap().remove(&key);
        }
        Ok(())
    }

    async fn get_service(&self, name: &str, _options: GetOptions) -> Result<Services> {
        self.lookups.fetch_add(1, Ordering::SeqCst);
        self.check()?;
        let now = self.env.now();
        let mut services: Vec<Service> = Vec::new();
        for ([service_name, version, _], (record, until)) in &*self.records.lock().unwrap() {
            if service_name != name || until.is_some_and(|until| until <= now) {
                continue;
            }
            match services.iter_mut().find(|service| service.version == *version) {
                Some(service) => service.nodes.extend(record.nodes.iter().cloned()),
                None => services.push(record.clone()),
            }
        }
        if services.is_empty() {
            return Err(Error::new(ErrorKind::NotFound, "get service").with("service", name));
        }
        let services: Services = services.into();
        self.cache.lock().unwrap().insert(name.to_owned(), services.clone());
        Ok(services)
    }

    async fn list_services(&self, _options: ListOptions) -> Result<Services> {
        self.check()?;
        Ok(self.records.lock().unwrap().values().map(|(service, _)| service.clone()).collect())
    }

    async fn watch(&self, _options: WatchOptions) -> Result<Arc<dyn Watcher>> {
        Err(Error::new(ErrorKind::Unsupported, "watch"))
    }

    fn cached(&self, name: &str) -> Option<Services> {
        self.cache.lock().unwrap().get(name).cloned()
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }

    fn name(&self) -> &'static str {
        crate::registry::cache::NAME
    }
}
