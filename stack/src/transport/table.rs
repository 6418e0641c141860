//! The transports of the reference stack, by name, and what each promises.

use std::sync::Arc;

use super::grpc::GrpcTransport;
use super::http::HttpTransport;
use super::memory::MemoryTransport;
use super::{Transport, TransportOptions, config};
use crate::env::Env;
use crate::plugin::{Delivery, Made, Order, Promises, Settings, SlowConsumer, Table, TransportFactory};

/// The table of transports: `grpc`, `http` and `memory`.
pub fn reference() -> Table<TransportFactory> {
    let promises = Promises {
        delivery: Some(Delivery::ExactlyOnce),
        order: Some(Order::PerPublisher),
        slow_consumer: Some(SlowConsumer::Blocks),
        message_bytes_max: Some(TransportOptions::default().message_bytes_max),
        ..Promises::default()
    };
    let in_memory = Promises { shared_state: true, ..promises.clone() };
    let mut table = Table::new("transport");
    add(&mut table, "grpc", "a gRPC stream a socket", promises.clone(), |env, options| {
        Arc::new(GrpcTransport::new(env, options))
    });
    add(&mut table, "http", "HTTP/1.1, a POST a message", promises, |env, options| {
        Arc::new(HttpTransport::new(env, options))
    });
    add(&mut table, "memory", "queues in memory, beyond the reach of network faults", in_memory, |env, options| {
        Arc::new(MemoryTransport::new(env, options))
    });
    table
}

fn add(
    table: &mut Table<TransportFactory>,
    name: &str,
    summary: &str,
    promises: Promises,
    make: fn(Env, TransportOptions) -> Arc<dyn Transport>,
) {
    let factory = move |env: Env, settings: Settings| -> Made<Arc<dyn Transport>> {
        Box::pin(async move { Ok(make(env, config::read(settings)?)) })
    };
    table.add(name, summary, promises, Arc::new(factory));
}

#[cfg(test)]
mod tests {
    use super::reference;
    use crate::ErrorKind;
    use crate::env::testing::env;
    use crate::plugin::{Setting, Settings};

    #[tokio::test]
    async fn every_transport_reads_its_options_and_refuses_others() {
        let settings = |name: &str| Settings::new(Vec::new(), [(name.to_owned(), Setting::Integer(9))].into());
        let table = reference();
        assert_eq!(table.names().collect::<Vec<_>>(), ["grpc", "http", "memory"]);
        for plugin in table.iter() {
            let transport = (plugin.factory)(env(), settings("message_bytes_max")).await.unwrap();
            assert_eq!(transport.name(), plugin.name);
            assert_eq!(transport.options().message_bytes_max, 9);
            let error = (plugin.factory)(env(), settings("message_byte_max")).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains("did you mean 'message_bytes_max'?"), "{error}");
        }
        assert!(table.get("memory").unwrap().promises.shared_state);
        assert!(!table.get("http").unwrap().promises.shared_state);
    }
}
