//! Options of the transports of the reference stack: read from settings, replaced by `init`, checked before use.

use std::sync::{PoisonError, RwLock};

use super::TransportOptions;
use crate::plugin::Settings;
use crate::{Error, ErrorKind, Result};

/// Largest header section, in bytes; what a peer sends beyond is refused, so that it cannot fill the memory.
pub(super) const HEADER_BYTES_MAX: usize = 64 << 10;

/// Options that can be replaced while they are in use.
#[derive(Debug, Default)]
pub(super) struct Config(RwLock<TransportOptions>);

impl Config {
    pub(super) fn new(options: TransportOptions) -> Self {
        Self(RwLock::new(options))
    }

    pub(super) fn set(&self, options: TransportOptions) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = options;
    }

    pub(super) fn get(&self) -> TransportOptions {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The options, unless they ask for what is not there yet.
    pub(super) fn checked(&self, operation: &'static str) -> Result<TransportOptions> {
        let options = self.get();
        if options.secure {
            return Err(Error::new(ErrorKind::Unsupported, operation).detail("TLS is not there yet"));
        }
        Ok(options)
    }
}

/// Reads `codec`, `message_bytes_max`, `secure` and `timeout`.
pub(super) fn read(mut settings: Settings) -> Result<TransportOptions> {
    let defaults = TransportOptions::default();
    let options = TransportOptions {
        addresses: settings.addresses.clone(),
        codec: settings.text("codec")?,
        secure: settings.boolean("secure")?.unwrap_or(defaults.secure),
        timeout: settings.duration("timeout")?,
        message_bytes_max: settings.count("message_bytes_max")?.unwrap_or(defaults.message_bytes_max),
    };
    settings.finish()?;
    Ok(options)
}

/// Refuses a body of `length` bytes when that is beyond `max`.
pub(super) fn check_size(operation: &'static str, length: usize, max: usize) -> Result<()> {
    if length <= max {
        return Ok(());
    }
    Err(too_large(operation, max).with("bytes", length.to_string()))
}

/// A message beyond `max` bytes.
pub(super) fn too_large(operation: &'static str, max: usize) -> Error {
    Error::new(ErrorKind::TooLarge, operation).with("limit", max.to_string())
}
