//! The servers of the stack, by name, and what they read from settings.

use std::sync::Arc;

use super::{ServerOptions, ServerParts};
use crate::plugin::{Promises, ServerFactory, Settings, Simulatable, Table, ready};
use crate::{Env, Error, ErrorKind, Result};

/// The servers of the stack. Settings: `name`, `version`, `id`, `address`, `advertise` (texts), `register_ttl`,
/// `register_interval`, `drain_timeout` (durations).
pub fn reference() -> Table<ServerFactory> {
    let mut table: Table<ServerFactory> = Table::new("server");
    let promises = || Promises { simulatable: Simulatable::Yes, ..Promises::default() };
    table.add(
        "rpc",
        "go-micro's mucp over the transport",
        promises(),
        Arc::new(|env: Env, parts: ServerParts, settings: Settings| match options(&env, parts, settings) {
            Ok(options) => ready(super::rpc::server(env, options)),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }),
    );
    table.add(
        "grpc",
        "gRPC on HTTP/2, paths and errors as go-micro's",
        Promises { message_bytes_max: Some(crate::grpc::MESSAGE_BYTES_MAX), ..promises() },
        Arc::new(|env: Env, parts: ServerParts, settings: Settings| match options(&env, parts, settings) {
            Ok(options) => ready(super::grpc::server(env, options)),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }),
    );
    table
}

fn options(env: &Env, parts: ServerParts, mut settings: Settings) -> Result<ServerOptions> {
    let mut options = ServerOptions::new(parts, String::new());
    options.id = settings.text("id")?.unwrap_or_else(|| env.random("server id").uuid());
    options.name = settings.text("name")?.unwrap_or(options.name);
    options.version = settings.text("version")?.unwrap_or(options.version);
    options.address = settings.text("address")?.unwrap_or(options.address);
    options.advertise = settings.text("advertise")?;
    options.register_ttl = settings.duration("register_ttl")?.unwrap_or(options.register_ttl);
    options.register_interval = settings.duration("register_interval")?.unwrap_or(options.register_interval);
    options.drain_timeout = settings.duration("drain_timeout")?.unwrap_or(options.drain_timeout);
    if !settings.addresses.is_empty() {
        return Err(Error::new(ErrorKind::InvalidInput, "read options")
            .detail("a server has no backend: write where it listens as the option 'address'"));
    }
    settings.finish()?;
    Ok(options)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::reference;
    use crate::plugin::{Setting, Settings};
    use crate::testing::World;

    #[tokio::test(start_paused = true)]
    async fn settings_become_options_and_unknown_ones_are_refused() {
        let world = World::new();
        let table = reference();
        for name in ["grpc", "rpc"] {
            let make = |setting: &str, value| {
                let settings = Settings::new(Vec::new(), [(setting.to_owned(), value)].into());
                let parts = world.server_options().parts;
                (table.get(name).unwrap().factory)(world.server_env.clone(), parts, settings)
            };
            let server = make("register_interval", Setting::Duration(Duration::from_secs(1))).await.unwrap();
            let options = server.options();
            assert_eq!(server.name(), name);
            assert_eq!(options.register_interval, Duration::from_secs(1));
            assert_eq!((options.register_ttl, options.id.len()), (Duration::from_secs(90), 36));
            let refused = make("register_til", Setting::Integer(1)).await.unwrap_err();
            assert!(refused.to_string().contains("did you mean 'register_ttl'?"), "{refused}");
        }
    }
}
