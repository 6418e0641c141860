//! The registries of this crate by name, with what each promises.

use std::sync::Arc;
use std::time::Duration;

use super::cache::{Cache, CacheConfig};
#[cfg(feature = "etcd")]
use super::etcd::{self, Etcd};
use super::mailbox::BUFFERED;
use super::memory::{self, Memory};
use super::{Registry, RegistryOptions, cache};
use crate::env::Env;
use crate::plugin::{Made, Promises, RegistryFactory, Settings, SlowConsumer, Table, defaults, ready};
use crate::{Error, ErrorKind, Result};

/// Timers and the world's tick may make a delete event this much later than the end of a TTL.
const TIMER_SLACK: Duration = Duration::from_millis(10);

/// etcd looks for expired leases twice a second and revokes them through its log.
#[cfg(feature = "etcd")]
const ETCD_SLACK: Duration = Duration::from_secs(1);

/// etcd's `--max-request-bytes`, if nobody has changed it.
#[cfg(feature = "etcd")]
const ETCD_REQUEST_BYTES_MAX: usize = 3 << 19;

/// `memory`, `cache` and, with the feature, `etcd`.
pub fn reference() -> Table<RegistryFactory> {
    let mut table = Table::<RegistryFactory>::new("registry");
    let slow_consumer = Some(SlowConsumer::Disconnects { buffered: BUFFERED });
    table.add(
        memory::NAME,
        "shared by the hosts of a world; no network",
        Promises {
            slow_consumer,
            ttl_granularity: Some(Duration::from_nanos(1)),
            expiry_slack: Some(TIMER_SLACK),
            shared_state: true,
            ..Promises::default()
        },
        factory(make_memory),
    );
    table.add(
        cache::NAME,
        "remembers the answers of another registry: etcd where an address is given, memory otherwise",
        Promises {
            slow_consumer,
            ttl_granularity: Some(Duration::from_secs(1)),
            // With a broken watch a dead node is found out by the next lookup only.
            expiry_slack: Some(CacheConfig::default().ttl + Duration::from_secs(1)),
            // True of what it wraps when nobody gives an address.
            shared_state: true,
            ..Promises::default()
        },
        factory(make_cache),
    );
    #[cfg(feature = "etcd")]
    table.add(
        etcd::NAME,
        "etcd v3, with go-micro's keys and values",
        Promises {
            slow_consumer,
            ttl_granularity: Some(Duration::from_secs(1)),
            expiry_slack: Some(ETCD_SLACK),
            message_bytes_max: Some(ETCD_REQUEST_BYTES_MAX),
            backend: Some("etcd"),
            ..Promises::default()
        },
        factory(make_etcd),
    );
    table
}

fn factory(make: fn(&Env, Settings) -> Result<Arc<dyn Registry>>) -> Arc<RegistryFactory> {
    Arc::new(move |env: Env, settings: Settings| -> Made<Arc<dyn Registry>> {
        match make(&env, settings) {
            Ok(registry) => ready(registry),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    })
}

fn make_memory(env: &Env, mut settings: Settings) -> Result<Arc<dyn Registry>> {
    let options = options(&mut settings)?;
    settings.finish()?;
    Ok(Arc::new(Memory::new(env.clone(), options)))
}

#[cfg(feature = "etcd")]
fn make_etcd(env: &Env, mut settings: Settings) -> Result<Arc<dyn Registry>> {
    let options = options(&mut settings)?;
    settings.finish()?;
    Ok(Arc::new(Etcd::new(env.clone(), options)))
}

fn make_cache(env: &Env, mut settings: Settings) -> Result<Arc<dyn Registry>> {
    let with_address = if settings.addresses.is_empty() { defaults::REGISTRY } else { defaults::REGISTRY_WITH_ADDRESS };
    let wrapped = settings.text("inner")?.unwrap_or_else(|| with_address.to_owned());
    let ttl = settings.duration("ttl")?;
    let options = options(&mut settings)?;
    settings.finish()?;
    let inner: Arc<dyn Registry> = match wrapped.as_str() {
        memory::NAME => Arc::new(Memory::new(env.clone(), options)),
        #[cfg(feature = "etcd")]
        etcd::NAME => Arc::new(Etcd::new(env.clone(), options)),
        other => {
            return Err(Error::new(ErrorKind::UnknownPlugin, "choose plugin")
                .detail(format!("the registry cache cannot wrap '{other}' in this build")));
        }
    };
    let defaults = CacheConfig::default();
    let config = CacheConfig { ttl: ttl.unwrap_or(defaults.ttl), closes_inner: true, ..defaults };
    Ok(Arc::new(Cache::new(env.clone(), inner, config)))
}

/// The options that every registry has.
fn options(settings: &mut Settings) -> Result<RegistryOptions> {
    let defaults = RegistryOptions::default();
    Ok(RegistryOptions {
        addresses: std::mem::take(&mut settings.addresses),
        timeout: settings.duration("timeout")?.unwrap_or(defaults.timeout),
        secure: settings.boolean("secure")?.unwrap_or(defaults.secure),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::reference;
    use crate::ErrorKind;
    use crate::env::testing::env;
    use crate::plugin::{Setting, Settings};

    fn settings(addresses: &[&str], name: &str, value: Setting) -> Settings {
        let addresses = addresses.iter().map(|&address| address.to_owned()).collect();
        Settings::new(addresses, BTreeMap::from([(name.to_owned(), value)]))
    }

    #[tokio::test(start_paused = true)]
    async fn every_registry_is_made_by_name_with_its_options_and_refuses_others() {
        for plugin in reference().iter() {
            let seconds = Setting::Duration(Duration::from_secs(2));
            let registry = (plugin.factory)(env(), settings(&[], "timeout", seconds)).await.unwrap();
            assert_eq!(registry.name(), plugin.name);
            assert_eq!(registry.options().timeout, Duration::from_secs(2));
            let refused = (plugin.factory)(env(), settings(&[], "timeuot", Setting::Bool(true))).await.unwrap_err();
            assert!(refused.to_string().contains("did you mean 'timeout'?"), "{refused}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_cache_wraps_what_it_is_told_to() {
        let make = reference().get("cache").unwrap().factory.clone();
        let refused = make(env(), settings(&[], "inner", Setting::Text("nacos".into()))).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::UnknownPlugin);
        make(env(), settings(&[], "inner", Setting::Text("memory".into()))).await.unwrap();
        let over_etcd = make(env(), settings(&["etcd:2379"], "ttl", Setting::Duration(Duration::from_secs(1)))).await;
        assert_eq!(over_etcd.is_ok(), cfg!(feature = "etcd"));
    }
}
