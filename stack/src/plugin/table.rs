//! The plugins of one interface, by name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::{Plugin, Promises};
use crate::{Error, ErrorKind, Result};

/// The candidate that `name` is most likely a slip of: at most one wrong, missing, extra or swapped letter in three.
pub fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.chars().count().div_ceil(3))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Named plugins of one interface, in the order of their names.
pub struct Table<Factory: ?Sized> {
    interface: &'static str,
    plugins: BTreeMap<String, Plugin<Factory>>,
}

impl<Factory: ?Sized> Table<Factory> {
    /// An empty table for `interface`.
    pub fn new(interface: &'static str) -> Self {
        Self { interface, plugins: BTreeMap::new() }
    }

    /// Adds a plugin; one of the same name is replaced.
    pub fn add(&mut self, name: &str, summary: &str, promises: Promises, factory: Arc<Factory>) {
        let plugin = Plugin { name: name.to_owned(), summary: summary.to_owned(), promises, factory };
        self.plugins.insert(name.to_owned(), plugin);
    }

    /// The plugin called `name`.
    ///
    /// # Errors
    /// `UnknownPlugin` that names the nearest one, or all of them.
    pub fn get(&self, name: &str) -> Result<&Plugin<Factory>> {
        self.plugins.get(name).ok_or_else(|| {
            Error::new(ErrorKind::UnknownPlugin, "choose plugin").detail(format!(
                "no {} is called '{name}'; {}",
                self.interface,
                self.mend(name)
            ))
        })
    }

    /// What to write instead of `name`.
    pub fn mend(&self, name: &str) -> String {
        match nearest(name, self.names()) {
            Some(nearest) => format!("did you mean '{nearest}'?"),
            None => format!("there are: {}", self.names().collect::<Vec<_>>().join(", ")),
        }
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.plugins.keys().map(String::as_str)
    }

    /// The plugins, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Plugin<Factory>> {
        self.plugins.values()
    }

    /// What the interface is called.
    pub fn interface(&self) -> &'static str {
        self.interface
    }
}

impl<Factory: ?Sized> Clone for Table<Factory> {
    fn clone(&self) -> Self {
        Self { interface: self.interface, plugins: self.plugins.clone() }
    }
}

impl<Factory: ?Sized> fmt::Debug for Table<Factory> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Table").field("interface", &self.interface).field("plugins", &self.plugins).finish()
    }
}
