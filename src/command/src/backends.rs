//! The kinds of backends that this program can start for `verify` and for live runs, by name. It knows no plugin.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use shaketable_conformance::backend::Backend;
use shaketable_conformance::judge::BackendMaker;
use shaketable_fixtures::backend::{EtcdBackend, started};
use shaketable_fixtures::etcd::{ADDRESS_VARIABLE, Location, Storage, locate};
use shaketable_fixtures::live::{LiveEtcd, OtherBackend, OwnServices};
use shaketable_fixtures::zookeeper::ZookeeperBackend;
use shaketable_sim::backend::{LiveBackend, LiveBackends, LiveServices};

/// What makes a backend of each kind.
#[derive(Clone)]
pub(crate) struct Backends {
    makers: BTreeMap<String, BackendMaker>,
    /// The same in containers.
    contained: BTreeMap<String, BackendMaker>,
    /// Somebody has a server of their own in the place of one of ours.
    replaced: BTreeSet<String>,
}

impl Backends {
    /// Those of which the fixtures have a real server.
    pub(crate) fn reference() -> Self {
        let mut backends = Self { makers: BTreeMap::new(), contained: BTreeMap::new(), replaced: BTreeSet::new() };
        backends.add("etcd", || started(EtcdBackend::start()));
        backends.add("zookeeper", || started(ZookeeperBackend::start()));
        backends.contained.insert("etcd".to_owned(), boxed(|| started(EtcdBackend::start_in_a_container())));
        backends
    }

    /// Adds `kind`; one of the same name is replaced.
    pub(crate) fn add<B: Backend + 'static>(
        &mut self,
        kind: &str,
        maker: impl Fn() -> Result<B, String> + Send + Sync + 'static,
    ) {
        if self.makers.insert(kind.to_owned(), boxed(maker)).is_some() {
            self.replaced.insert(kind.to_owned());
        }
    }

    /// What makes one of `kind`.
    pub(crate) fn get(&self, kind: &str) -> Option<&BackendMaker> {
        self.makers.get(kind)
    }

    /// What makes one of `kind` in a container.
    pub(crate) fn get_contained(&self, kind: &str) -> Option<&BackendMaker> {
        self.contained.get(kind)
    }

    /// The kinds that can be started in containers, in order.
    pub(crate) fn contained_kinds(&self) -> impl Iterator<Item = &str> {
        self.contained.keys().map(String::as_str)
    }

    /// The kinds, in order.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = &str> {
        self.makers.keys().map(String::as_str)
    }
}

/// An etcd of ours is watched, so that it is known what it holds; of others nobody knows.
impl LiveBackends for Backends {
    fn start(&self, kind: &str, members: u32) -> Result<Arc<dyn LiveBackend>, String> {
        if kind == "etcd" && !self.replaced.contains(kind) {
            return match locate() {
                Location::Nowhere => Err(format!(
                    "there is no etcd: {ADDRESS_VARIABLE} names none, there is no engine for containers, and none is on the \
                     PATH; install one (Debian: etcd-server), and see what 'doctor' says"
                )),
                location => Ok(Arc::new(LiveEtcd::start_with(&location, Storage::Disk, members)?)),
            };
        }
        let maker = self.get(kind).ok_or_else(|| {
            let kinds: Vec<&str> = self.kinds().collect();
            format!("this program cannot start a '{kind}'; it can start: {}", kinds.join(", "))
        })?;
        if members > 1 {
            return Err(format!("this program starts one '{kind}', and no cluster of {members}; leave 'members' out"));
        }
        Ok(Arc::new(OtherBackend::new(kind, maker()?)))
    }

    fn services(&self) -> Option<&dyn LiveServices> {
        Some(&OwnServices)
    }
}

fn boxed<B: Backend + 'static>(maker: impl Fn() -> Result<B, String> + Send + Sync + 'static) -> BackendMaker {
    Arc::new(move || maker().map(|backend| Arc::new(backend) as Arc<dyn Backend>))
}

impl fmt::Debug for Backends {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.kinds()).finish()
    }
}
