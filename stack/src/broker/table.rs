//! The brokers that come with the stack. A broker is added by adding its folder and one line here.

use std::sync::Arc;
use std::time::Duration;

use super::Broker;
use super::http::{HttpBroker, HttpBrokerConfig, MESSAGE_BYTES_MAX};
use super::memory::MemoryBroker;
use crate::plugin::{BrokerFactory, Delivery, Order, Promises, Settings, SlowConsumer, Table};
use crate::{Error, ErrorKind, Result};

/// `http` (listens at the first address, or a free port; options `register_ttl`, `register_interval`, `request_timeout`)
/// and `memory` (no options).
pub fn reference() -> Table<BrokerFactory> {
    let mut table: Table<BrokerFactory> = Table::new("broker");
    table.add(
        "http",
        "posts to every subscriber in the registry, on go-micro's wire; at most once",
        Promises {
            delivery: Some(Delivery::AtMostOnce),
            order: Some(Order::PerPublisher),
            slow_consumer: Some(SlowConsumer::Blocks),
            message_bytes_max: Some(MESSAGE_BYTES_MAX),
            ..Promises::default()
        },
        Arc::new(|env, registry, settings| {
            Box::pin(async move {
                let addresses = settings.addresses.clone();
                let config = config(settings)?;
                Ok(Arc::new(HttpBroker::new(env, registry, addresses, config)) as Arc<dyn Broker>)
            })
        }),
    );
    table.add(
        "memory",
        "topics in memory, shared by all hosts of a world",
        Promises {
            delivery: Some(Delivery::ExactlyOnce),
            order: Some(Order::PerPublisher),
            slow_consumer: Some(SlowConsumer::Blocks),
            shared_state: true,
            ..Promises::default()
        },
        Arc::new(|env, _registry, settings| {
            Box::pin(async move {
                settings.finish()?;
                Ok(Arc::new(MemoryBroker::new(env)) as Arc<dyn Broker>)
            })
        }),
    );
    table
}

fn config(mut settings: Settings) -> Result<HttpBrokerConfig> {
    let defaults = HttpBrokerConfig::default();
    let config = HttpBrokerConfig {
        register_ttl: settings.duration("register_ttl")?.unwrap_or(defaults.register_ttl),
        register_interval: settings.duration("register_interval")?.unwrap_or(defaults.register_interval),
        request_timeout: settings.duration("request_timeout")?.unwrap_or(defaults.request_timeout),
    };
    settings.finish()?;
    if !(Duration::from_nanos(1)..config.register_ttl).contains(&config.register_interval) {
        return Err(Error::new(ErrorKind::InvalidInput, "read options")
            .detail("option 'register_interval' must be more than zero and less than 'register_ttl'"));
    }
    Ok(config)
}
