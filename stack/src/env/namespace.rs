//! What the components of one world share: the state of `memory` plugins. Two worlds in one process share nothing.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::opaque::opaque;

/// A named place for shared state. In production it is the process; in the simulator it is the world, so that hosts share
/// a `memory` registry or broker, which is exempt from network faults.
#[derive(Clone)]
pub struct Namespace {
    name: Arc<str>,
    values: Arc<Mutex<BTreeMap<TypeId, Arc<dyn Any + Send + Sync>>>>,
    times_shared: Arc<AtomicU64>,
}

impl Namespace {
    /// An empty namespace called `name`; backends put it before the keys that tests write.
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), values: Arc::default(), times_shared: Arc::default() }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The one value of type `T` in this namespace, made by its default on the first call.
    pub fn shared<T: Any + Send + Sync + Default>(&self) -> Arc<T> {
        self.times_shared.fetch_add(1, Ordering::Relaxed);
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        let value = values.entry(TypeId::of::<T>()).or_insert_with(|| Arc::new(T::default())).clone();
        value.downcast().unwrap_or_else(|_| unreachable!("the key is the value's own type"))
    }

    /// How often somebody has asked for a value: a simulator learns from it whether hosts share memory at all.
    pub fn times_shared(&self) -> u64 {
        self.times_shared.load(Ordering::Relaxed)
    }
}

opaque!(Namespace { name });
