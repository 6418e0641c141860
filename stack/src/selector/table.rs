//! The selectors that come with the stack. A selector is added by adding its file and one line here.

use std::sync::Arc;

use super::blacklist::BlacklistOptions;
use super::strategy::{Random, RoundRobin};
use super::{CachedSelector, Selector, SelectorOptions, Strategy};
use crate::Result;
use crate::env::Env;
use crate::plugin::{Promises, SelectorFactory, Settings, Table};

/// `random` and `round_robin`: the same selector with another default strategy. Options: `blacklist_failures` (a whole
/// number, 3) and `blacklist_duration` (30s).
pub fn reference() -> Table<SelectorFactory> {
    let mut table: Table<SelectorFactory> = Table::new("selector");
    table.add(
        "random",
        "every node is as likely as any other; over the registry cache, with a blacklist",
        Promises::default(),
        factory("random", |env| Arc::new(Random::new(env.random("selector")))),
    );
    table.add(
        "round_robin",
        "one node after the other, fair across calls; over the registry cache, with a blacklist",
        Promises::default(),
        factory("round_robin", |_| Arc::new(RoundRobin)),
    );
    table
}

fn factory(name: &'static str, strategy: fn(&Env) -> Arc<dyn Strategy>) -> Arc<SelectorFactory> {
    Arc::new(move |env, registry, settings| {
        Box::pin(async move {
            let blacklist = blacklist(settings)?;
            let options = SelectorOptions { registry, strategy: strategy(&env) };
            Ok(Arc::new(CachedSelector::new(env, name, options, blacklist)) as Arc<dyn Selector>)
        })
    })
}

fn blacklist(mut settings: Settings) -> Result<BlacklistOptions> {
    let defaults = BlacklistOptions::default();
    let options = BlacklistOptions {
        failures: settings.count("blacklist_failures")?.unwrap_or(defaults.failures).max(1),
        duration: settings.duration("blacklist_duration")?.unwrap_or(defaults.duration),
    };
    settings.finish()?;
    Ok(options)
}
