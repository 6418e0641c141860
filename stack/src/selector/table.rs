//! The selectors that come with the stack. A selector is added by adding its file and one line here.

use std::sync::Arc;

use super::strategy::{Random, RoundRobin};
use super::{BlacklistOptions, CachedSelector, CachedSelectorConfig, Selector, SelectorOptions, Strategy};
use crate::env::Env;
use crate::plugin::{Promises, SelectorFactory, Settings, Table};
use crate::registry::cache::CacheConfig;
use crate::{Error, ErrorKind, Result};

/// `random` and `round_robin`: the same selector with another default strategy. Options: `blacklist_failures` (a whole
/// number, 3), `blacklist_duration` (30s) and `cache_ttl` (1m).
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
            let config = config(settings)?;
            let options = SelectorOptions { registry, strategy: strategy(&env) };
            Ok(Arc::new(CachedSelector::new(env, name, options, config)) as Arc<dyn Selector>)
        })
    })
}

fn config(mut settings: Settings) -> Result<CachedSelectorConfig> {
    let defaults = CachedSelectorConfig::default();
    let failures = settings.count("blacklist_failures")?.unwrap_or(defaults.blacklist.failures);
    let duration = settings.duration("blacklist_duration")?.unwrap_or(defaults.blacklist.duration);
    let ttl = settings.duration("cache_ttl")?.unwrap_or(defaults.cache.ttl);
    settings.finish()?;
    for (name, is_zero) in [("blacklist_failures", failures == 0), ("cache_ttl", ttl.is_zero())] {
        if is_zero {
            return Err(Error::new(ErrorKind::InvalidInput, "read options")
                .detail(format!("option '{name}' must be more than zero")));
        }
    }
    Ok(CachedSelectorConfig {
        blacklist: BlacklistOptions { failures, duration },
        cache: CacheConfig { ttl, ..defaults.cache },
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::config;
    use crate::plugin::{Setting, Settings};

    #[test]
    fn options_become_the_configuration() {
        let second = Setting::Duration(Duration::from_secs(1));
        let values = [
            ("blacklist_failures", Setting::Integer(2)),
            ("blacklist_duration", second.clone()),
            ("cache_ttl", second),
        ];
        let values = values.map(|(name, value)| (name.to_owned(), value)).into();
        let config = config(Settings::new(Vec::new(), values)).unwrap();
        assert_eq!((config.blacklist.failures, config.blacklist.duration), (2, Duration::from_secs(1)));
        assert_eq!(config.cache.ttl, Duration::from_secs(1));
    }
}
