//! Registry `etcd`: go-micro's keys and values in etcd v3, over the network of the `Env`. All nodes of one TTL share a lease,
//! all leases are renewed over one stream; what is lost is restored, and the reason kept. It does not know whether etcd is
//! real.

mod channel;
mod config;
mod encoding;
mod keeper;
mod lease;
mod lookup;
mod registration;
mod renewal;
mod requests;
mod upkeep;
mod view;
mod watch;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use async_trait::async_trait;
use etcd_client::KeyValue;

use self::channel::Links;
use self::keeper::Keeper;
pub use self::lookup::looked_up;
use self::registration::{Batch, Record};
use self::watch::EtcdWatcher;
use super::{
    DeregisterOptions, GetOptions, ListOptions, Loss, RegisterOptions, Registry, RegistryOptions, Service, Services,
    WatchOptions, Watcher, records,
};
use crate::Result;
use crate::env::{Env, Task};

/// The plugin's name.
pub const NAME: &str = "etcd";

/// A registry on etcd.
#[derive(Debug)]
pub struct Etcd {
    env: Env,
    links: Arc<Links>,
    keeper: Arc<Keeper>,
    own: Mutex<Own>,
}

#[derive(Debug, Default)]
struct Own {
    /// Renewal and restoring; started by the first registration.
    tasks: Vec<Task>,
    watchers: Vec<Weak<EtcdWatcher>>,
    /// The records of services as they were registered last, by name: who registers again has mostly changed nothing.
    split: BTreeMap<String, Split>,
    closed: bool,
}

/// A service, taken apart into its records.
#[derive(Clone, Debug)]
struct Split {
    service: Arc<Service>,
    batch: Arc<Batch>,
}

impl Split {
    fn new(service: &Service) -> Result<Self> {
        let record = |(node_id, value): (String, Vec<u8>)| Record {
            key: encoding::key(&service.name, &node_id),
            node_id,
            value: value.into(),
        };
        let batch = Batch::new(stored(service)?.into_iter().map(record).collect());
        Ok(Self { service: Arc::new(service.clone()), batch: Arc::new(batch) })
    }
}

impl Etcd {
    /// Dials nothing: the first operation does. Without addresses etcd is on this machine, port 2379.
    pub fn new(env: Env, options: RegistryOptions) -> Self {
        let links = Arc::new(Links::new(env.clone(), options));
        let keeper = Arc::new(Keeper::new(env.clone(), links.clone()));
        Self { env, links, keeper, own: Mutex::default() }
    }

    fn start(&self) -> Result<()> {
        let mut own = self.own();
        if own.closed {
            return Err(records::closed("register"));
        }
        if own.tasks.is_empty() {
            own.tasks = vec![
                self.env.spawn("etcd-renewal", renewal::renew(self.keeper.clone())),
                self.env.spawn("etcd-restore", renewal::restore(self.keeper.clone())),
            ];
        }
        Ok(())
    }

    async fn services(&self, operation: &'static str, name: Option<&str>) -> Result<Services> {
        let answer = watch::range(&self.links, operation, &encoding::prefix(name)).await?;
        Ok(looked_up(name, answer.kvs().iter().map(KeyValue::value)))
    }

    /// The records of `service`, one for each of its nodes.
    fn batch(&self, service: &Service) -> Result<Arc<Batch>> {
        let last = self.own().split.get(&service.name).cloned();
        if let Some(last) = last.filter(|last| *last.service == *service) {
            return Ok(last.batch);
        }
        let split = Split::new(service)?;
        let batch = split.batch.clone();
        self.own().split.insert(service.name.clone(), split);
        Ok(batch)
    }

    fn own(&self) -> MutexGuard<'_, Own> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Registry for Etcd {
    fn init(&self, options: RegistryOptions) -> Result<()> {
        self.links.replace_options(options);
        Ok(())
    }

    fn options(&self) -> RegistryOptions {
        self.links.options()
    }

    async fn register(&self, service: &Service, options: RegisterOptions) -> Result<()> {
        records::check_registration(service, options.ttl)?;
        self.start()?;
        let batch = self.batch(service)?;
        self.keeper.register(&batch, options.ttl).await
    }

    async fn deregister(&self, service: &Service, _options: DeregisterOptions) -> Result<()> {
        self.own().split.remove(&service.name);
        for node in &service.nodes {
            self.keeper.deregister(&encoding::key(&service.name, &node.id)).await?;
        }
        Ok(())
    }

    async fn get_service(&self, name: &str, _options: GetOptions) -> Result<Services> {
        let services = self.services("get service", Some(name)).await?;
        if services.is_empty() { Err(records::not_found(name)) } else { Ok(services) }
    }

    async fn list_services(&self, _options: ListOptions) -> Result<Services> {
        self.services("list services", None).await
    }

    async fn watch(&self, options: WatchOptions) -> Result<Arc<dyn Watcher>> {
        let watcher = Arc::new(EtcdWatcher::open(&self.env, self.links.clone(), options.service).await?);
        let mut own = self.own();
        if own.closed {
            return Err(records::closed("watch"));
        }
        own.watchers.retain(|watcher| watcher.upgrade().is_some());
        own.watchers.push(Arc::downgrade(&watcher));
        Ok(watcher)
    }

    fn losses(&self) -> Vec<Loss> {
        self.keeper.losses()
    }

    async fn close(&self) -> Result<()> {
        let (tasks, watchers) = {
            let mut own = self.own();
            own.closed = true;
            (std::mem::take(&mut own.tasks), std::mem::take(&mut own.watchers))
        };
        for watcher in watchers.iter().filter_map(Weak::upgrade) {
            watcher.stop();
        }
        for task in tasks {
            task.abort();
            task.join().await;
        }
        self.links.close();
        Ok(())
    }

    fn name(&self) -> &'static str {
        NAME
    }
}

/// What etcd holds for `service`: the id of each of its nodes, in order, and the value of its key.
///
/// # Errors
/// `InvalidInput` when it cannot be written as JSON.
pub fn stored(service: &Service) -> Result<Vec<(String, Vec<u8>)>> {
    let one = |mut record: Service| encoding::encode(&record).map(|value| (record.nodes.remove(0).id, value));
    records::split(service).map(one).collect()
}
