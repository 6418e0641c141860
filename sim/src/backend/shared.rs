//! Registries whose state lives in the world's namespace, as a backend: no host, no address, no network fault.

use std::sync::Arc;

use shaketable_stack::env::{Instant, Namespace};
use shaketable_stack::registry::shared::{SharedBackends, Truth as Told, TruthKind};

use super::SimulatedBackend;
use crate::history::{Moment, Truth};
use crate::world::Program;

/// The shared backends of a world, as one. A registration is its own lease: its key is `<service>/<node>`.
#[derive(Debug)]
pub struct Shared {
    backends: Arc<SharedBackends>,
}

impl Shared {
    /// The backends of `namespace`, which record from now on.
    pub fn new(namespace: &Namespace) -> Self {
        let backends = namespace.shared::<SharedBackends>();
        backends.record_truth();
        Self { backends }
    }
}

/// The clocks of simulated hosts begin with the world.
fn instant(moment: Moment) -> Instant {
    Instant::from_origin(moment.since_start())
}

impl SimulatedBackend for Shared {
    fn kind(&self) -> &'static str {
        "shared"
    }

    fn address(&self) -> Option<String> {
        None
    }

    fn program(&self) -> Option<Program> {
        None
    }

    /// Every registration has its full TTL anew.
    fn restart(&self, now: Moment) {
        for backend in self.backends.all() {
            backend.restart(instant(now));
        }
    }

    fn take_truths(&self, now: Moment) -> Vec<(Moment, Truth)> {
        let mut truths = Vec::new();
        for backend in self.backends.all() {
            for told in backend.take_truth(instant(now)) {
                translate(&told, &mut truths);
            }
        }
        truths
    }

    fn lose(&self, now: Moment, nodes: &[String]) -> usize {
        let lose = |backend: &Arc<dyn shaketable_stack::registry::shared::SharedBackend>| -> usize {
            nodes.iter().map(|node| backend.lose(instant(now), node)).sum()
        };
        self.backends.all().iter().map(lose).sum()
    }
}

fn translate(told: &Told, truths: &mut Vec<(Moment, Truth)>) {
    let at = Moment::after(told.at.since_origin());
    let key = |service: &str, node: &str| format!("{service}/{node}");
    let mut add = |truth| truths.push((at, truth));
    match &told.kind {
        TruthKind::Registered { service, node, ttl_requested, ttl_granted, .. } => {
            let lease = ttl_granted.map(|_| key(service, node));
            if let (Some(lease), Some(ttl_granted)) = (&lease, ttl_granted) {
                let ttl_requested = ttl_requested.unwrap_or(*ttl_granted);
                add(Truth::Granted { lease: lease.clone(), ttl_requested, ttl_granted: *ttl_granted });
            }
            add(Truth::Put { key: key(service, node), lease, created: true, altered: true });
        }
        TruthKind::Renewed { service, node, ttl_granted } => {
            if ttl_granted.is_some() {
                add(Truth::Renewed { lease: key(service, node) });
            }
        }
        TruthKind::Changed { service, node, ttl_granted, .. } => {
            let lease = ttl_granted.map(|_| key(service, node));
            if let Some(lease) = &lease {
                add(Truth::Renewed { lease: lease.clone() });
            }
            add(Truth::Put { key: key(service, node), lease, created: false, altered: true });
        }
        TruthKind::Deregistered { service, node } => {
            add(Truth::Revoked { lease: key(service, node), keys: vec![key(service, node)] });
        }
        TruthKind::Expired { service, node } => {
            add(Truth::Expired { lease: key(service, node), keys: vec![key(service, node)] });
        }
        TruthKind::Lost { service, node } => {
            add(Truth::Lost { lease: key(service, node), keys: vec![key(service, node)] });
        }
        TruthKind::Restarted => add(Truth::Restarted),
    }
}
