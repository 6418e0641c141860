//! The services of the stack, by name.

use std::sync::Arc;

use super::ServiceOptions;
use super::lifecycle::Lifecycle;
use crate::Env;
use crate::plugin::{Promises, ServiceFactory, Settings, Simulatable, Table, ready};

/// The services of the stack. There are no settings: what a service is made of has its own.
pub fn reference() -> Table<ServiceFactory> {
    let mut table: Table<ServiceFactory> = Table::new("service");
    table.add(
        "service",
        "hooks around a client and a server",
        Promises { simulatable: Simulatable::Yes, ..Promises::default() },
        Arc::new(|_env: Env, options: ServiceOptions, settings: Settings| match settings.finish() {
            Ok(()) => ready(Arc::new(Lifecycle::new(options)) as _),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }),
    );
    table
}
