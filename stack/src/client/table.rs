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
