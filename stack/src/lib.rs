//! The reference stack: the eight interfaces of a go-micro service (transport, codec, registry, selector, broker, client,
//! server, service), their implementations, and the tables in which implementations are named. It does not know that it
//! is being simulated: everything outside is reached through the [`env::Env`] that a component is given.

#![forbid(unsafe_code)]

pub mod broker;
pub mod client;
pub mod codec;
pub mod env;
pub mod error;
pub mod grpc;
pub mod metadata;
mod opaque;
pub mod plugin;
mod recent;
pub mod registry;
pub mod selector;
pub mod server;
pub mod service;
mod table;
#[cfg(test)]
mod testing;
pub mod transport;

pub use env::Env;
pub use error::{Error, ErrorKind, Result};
