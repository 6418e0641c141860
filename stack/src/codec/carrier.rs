//! What codecs share about their carrier: it is there until it is closed, and its failures are errors of the stack. Knows
//! no wire format.

use super::Carrier;
use crate::{Error, ErrorKind, Result};

/// A carrier until it is released.
pub(super) struct Open(Option<Box<dyn Carrier>>);

impl Open {
    pub(super) fn new(carrier: Box<dyn Carrier>) -> Self {
        Self(Some(carrier))
    }

    /// The carrier, or `Closed`.
    pub(super) fn get(&mut self, operation: &'static str) -> Result<&mut dyn Carrier> {
        match &mut self.0 {
            Some(carrier) => Ok(&mut **carrier),
            None => Err(Error::new(ErrorKind::Closed, operation)),
        }
    }

    /// Writes all of `bytes`.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let carrier = self.get("write message")?;
        carrier.write_all(bytes).and_then(|()| carrier.flush()).map_err(|error| failed("write message", error))
    }

    pub(super) fn close(&mut self) {
        self.0 = None;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.0.is_none()
    }
}

/// The carrier itself failed: bytes may be lost.
pub(super) fn failed(operation: &'static str, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Disconnected, operation).caused_by(error)
}

#[cfg(test)]
pub(super) mod testing {
    use std::collections::VecDeque;
    use std::io::{self, Read, Write};
    use std::sync::{Arc, Mutex};

    /// A buffer that the test keeps a handle of; reads give at most `step` bytes, so that every seam is met.
    #[derive(Clone, Default)]
    pub(crate) struct Buffer {
        bytes: Arc<Mutex<VecDeque<u8>>>,
        step: Option<usize>,
    }

    impl Buffer {
        pub(crate) fn holding(bytes: &[u8], step: usize) -> Self {
            Self { bytes: Arc::new(Mutex::new(bytes.iter().copied().collect())), step: Some(step.max(1)) }
        }

        pub(crate) fn bytes(&self) -> Vec<u8> {
            self.bytes.lock().unwrap().iter().copied().collect()
        }
    }

    impl Read for Buffer {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = buffer.len().min(self.step.unwrap_or(usize::MAX));
            self.bytes.lock().unwrap().read(&mut buffer[..length])
        }
    }

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.bytes.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
