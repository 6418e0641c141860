//! The clients of the stack, by name, and what they read from settings.

use std::sync::Arc;

use super::grpc::GrpcClient;
use super::rpc::RpcClient;
use super::{ClientOptions, ClientParts};
use crate::plugin::{ClientFactory, Promises, Settings, Simulatable, Table, ready};
use crate::{Env, Result};

/// The clients of the stack. Settings: `content_type`, `from_service` (texts), `retries`, `pool_size` (numbers),
/// `request_timeout`, `dial_timeout`, `stream_timeout`, `pool_ttl` (durations); addresses bypass the selector.
pub fn reference() -> Table<ClientFactory> {
    let mut table: Table<ClientFactory> = Table::new("client");
    let promises = || Promises { simulatable: Simulatable::Yes, ..Promises::default() };
    table.add(
        "rpc",
        "go-micro's mucp over the transport",
        promises(),
        Arc::new(|env: Env, parts: ClientParts, settings: Settings| match options(parts, settings) {
            Ok(options) => ready(Arc::new(RpcClient::new(env, options)) as _),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }),
    );
    table.add(
        "grpc",
        "gRPC on HTTP/2, paths and errors as go-micro's",
        Promises { message_bytes_max: Some(crate::grpc::MESSAGE_BYTES_MAX), ..promises() },
        Arc::new(|env: Env, parts: ClientParts, settings: Settings| match options(parts, settings) {
            Ok(options) => ready(Arc::new(GrpcClient::new(env, options)) as _),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }),
    );
    table
}

fn options(parts: ClientParts, mut settings: Settings) -> Result<ClientOptions> {
    let mut options = ClientOptions::new(parts);
    options.content_type = settings.text("content_type")?.unwrap_or(options.content_type);
    options.pool_size = settings.count("pool_size")?.unwrap_or(options.pool_size);
    options.pool_ttl = settings.duration("pool_ttl")?.unwrap_or(options.pool_ttl);
    options.from_service = settings.text("from_service")?;
    options.call.retries = settings.count("retries")?.map(|retries| u32::try_from(retries).unwrap_or(u32::MAX));
    options.call.request_timeout = settings.duration("request_timeout")?;
    options.call.dial_timeout = settings.duration("dial_timeout")?;
    options.call.stream_timeout = settings.duration("stream_timeout")?;
    options.call.addresses = std::mem::take(&mut settings.addresses);
    settings.finish()?;
    Ok(options)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::reference;
    use crate::ErrorKind;
    use crate::plugin::{Setting, Settings};
    use crate::testing::World;

    #[tokio::test(start_paused = true)]
    async fn settings_become_options_and_unknown_ones_are_refused() {
        let world = World::new();
        let parts = || world.client_options().parts;
        let table = reference();
        let names: Vec<&str> = table.names().collect();
        assert_eq!(names, ["grpc", "rpc"]);
        for name in names {
            let make = |values: Vec<(&str, Setting)>| {
                let values = values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
                let settings = Settings::new(vec!["host-1:80".to_owned()], values);
                (table.get(name).unwrap().factory)(world.client_env.clone(), parts(), settings)
            };
            let second = Setting::Duration(Duration::from_secs(1));
            let client = make(vec![
                ("retries", Setting::Integer(3)),
                ("request_timeout", second.clone()),
                ("pool_size", Setting::Integer(2)),
                ("pool_ttl", second),
            ]);
            let client = client.await.unwrap();
            let options = client.options();
            assert_eq!(client.name(), name);
            assert_eq!((options.call.retries, options.pool_size), (Some(3), 2));
            assert_eq!(options.call.request_timeout, Some(options.pool_ttl));
            assert_eq!(options.call.addresses, ["host-1:80"]);
            let refused = make(vec![("retrys", Setting::Integer(1))]).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidInput);
            assert!(refused.to_string().contains("did you mean 'retries'?"), "{refused}");
        }
    }
}
