//! Values by name, as those read them who must not wait: without a lock and without counting a reference more, from a table
//! that is replaced whole. It knows nothing of what the values are.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

/// The newest table. Many may read; who changes it sees to it that nobody else does meanwhile.
#[derive(Debug)]
pub(crate) struct ByName<T> {
    table: ArcSwap<Table<T>>,
}

/// A value in a table that may have been replaced since.
#[derive(Debug)]
pub(crate) struct Held<T> {
    table: Guard<Arc<Table<T>>>,
    index: usize,
}

#[derive(Debug)]
struct Table<T> {
    /// Where each value is; shared by tables with the same names.
    indices: Arc<BTreeMap<Box<str>, usize>>,
    values: Vec<Arc<T>>,
}

impl<T> ByName<T> {
    /// The value of `name` now.
    #[inline]
    pub(crate) fn get(&self, name: &str) -> Option<Held<T>> {
        let table = self.table.load();
        let index = *table.indices.get(name)?;
        Some(Held { table, index })
    }

    /// Sets the value of `name`; answers what it was.
    pub(crate) fn set(&self, name: &str, value: T) -> Option<Arc<T>> {
        let (table, value) = (self.table.load_full(), Arc::new(value));
        let Table { indices, values } = &*table;
        let (mut indices, mut values) = (indices.clone(), values.clone());
        let before = match indices.get(name) {
            Some(index) => Some(std::mem::replace(&mut values[*index], value)),
            None => {
                Arc::make_mut(&mut indices).insert(name.into(), values.len());
                values.push(value);
                None
            }
        };
        self.table.store(Arc::new(Table { indices, values }));
        before
    }

    /// Forgets the value of `name`; answers it.
    pub(crate) fn remove(&self, name: &str) -> Option<Arc<T>> {
        let table = self.table.load_full();
        let removed = &table.values[*table.indices.get(name)?];
        self.retain(|known| known != name);
        Some(removed.clone())
    }

    /// Keeps the values of the names that `wanted` says.
    pub(crate) fn retain(&self, wanted: impl Fn(&str) -> bool) {
        let table = self.table.load_full();
        let kept = table.indices.iter().filter(|(name, _)| wanted(name));
        let (mut indices, mut values) = (BTreeMap::new(), Vec::new());
        for (name, index) in kept {
            indices.insert(name.clone(), values.len());
            values.push(table.values[*index].clone());
        }
        self.table.store(Arc::new(Table { indices: Arc::new(indices), values }));
    }

    /// Forgets all values; answers them.
    pub(crate) fn take(&self) -> Vec<Arc<T>> {
        self.table.swap(Arc::default()).values.clone()
    }
}

impl<T> Held<T> {
    /// The value, for longer.
    pub(crate) fn shared(&self) -> Arc<T> {
        self.table.values[self.index].clone()
    }
}

impl<T> Default for ByName<T> {
    fn default() -> Self {
        Self { table: ArcSwap::default() }
    }
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { indices: Arc::default(), values: Vec::new() }
    }
}

impl<T> Deref for Held<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.table.values[self.index]
    }
}

#[cfg(test)]
mod tests {
    use super::ByName;

    #[test]
    fn a_value_is_the_last_that_was_set_and_what_is_held_stays_as_it_was() {
        let table = ByName::default();
        assert!(table.get("a").is_none());
        assert!(table.set("a", 1).is_none() && table.set("b", 2).is_none());
        let held = table.get("a").unwrap();
        assert_eq!(table.set("a", 3).as_deref(), Some(&1));
        assert_eq!((*held, *table.get("a").unwrap(), *table.get("b").unwrap()), (1, 3, 2));
    }

    #[test]
    fn what_is_removed_is_gone_and_the_others_are_found() {
        let table = ByName::default();
        for (number, name) in ["b", "a", "d", "c"].into_iter().enumerate() {
            table.set(name, number);
        }
        assert_eq!(table.remove("a").as_deref(), Some(&1));
        assert!(table.remove("a").is_none() && table.get("a").is_none());
        assert_eq!(["b", "c", "d"].map(|name| *table.get(name).unwrap()), [0, 3, 2]);
        table.retain(|name| name == "d");
        assert!(table.get("b").is_none());
        assert_eq!(table.take().iter().map(|value| **value).collect::<Vec<_>>(), [2]);
        assert!(table.get("d").is_none());
    }
}
