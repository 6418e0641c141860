//! The kinds of backends that this program can start for `verify`, by name. It knows no plugin.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use shaketable_conformance::backend::Backend;
use shaketable_conformance::judge::BackendMaker;
use shaketable_fixtures::backend::{EtcdBackend, started};
use shaketable_fixtures::zookeeper::ZookeeperBackend;

/// What makes a backend of each kind.
#[derive(Clone)]
pub(crate) struct Backends {
    makers: BTreeMap<String, BackendMaker>,
}

impl Backends {
    /// Those of which the fixtures have a real server.
    pub(crate) fn reference() -> Self {
        let mut backends = Self { makers: BTreeMap::new() };
        backends.add("etcd", || started(EtcdBackend::start()));
        backends.add("zookeeper", || started(ZookeeperBackend::start()));
        backends
    }

    /// Adds `kind`; one of the same name is replaced.
    pub(crate) fn add<B: Backend + 'static>(
        &mut self,
        kind: &str,
        maker: impl Fn() -> Result<B, String> + Send + Sync + 'static,
    ) {
        let maker = move || maker().map(|backend| Arc::new(backend) as Arc<dyn Backend>);
        self.makers.insert(kind.to_owned(), Arc::new(maker));
    }

    /// What makes one of `kind`.
    pub(crate) fn get(&self, kind: &str) -> Option<&BackendMaker> {
        self.makers.get(kind)
    }

    /// The kinds, in order.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = &str> {
        self.makers.keys().map(String::as_str)
    }
}

impl fmt::Debug for Backends {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.kinds()).finish()
    }
}
