//! Bodies behind `dyn`: a value that every codec can encode and decode.

use std::any::Any;
use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, ErrorKind, Result};

/// A request, response or event body. Implemented for every protobuf message that serde knows too, and for [`Frame`].
pub trait Payload: Any + Send + Sync + fmt::Debug {
    /// The protobuf bytes.
    fn to_protobuf(&self) -> Vec<u8>;

    /// The protobuf bytes behind `free` bytes of zero, where a carrier puts what comes before a body: in one piece of memory
    /// where the type can do that.
    fn to_protobuf_behind(&self, free: usize) -> Vec<u8> {
        behind(free, &self.to_protobuf())
    }

    /// Replaces the value by what the protobuf `bytes` say; what an error leaves of it is of no use.
    fn read_protobuf(&mut self, bytes: &[u8]) -> Result<()>;

    /// The JSON text.
    fn to_json(&self) -> Result<Vec<u8>>;

    /// Replaces the value by what the JSON `bytes` say.
    fn read_json(&mut self, bytes: &[u8]) -> Result<()>;

    /// The bytes of a [`Frame`], which bypasses any codec.
    fn as_frame(&self) -> Option<&Bytes> {
        None
    }

    /// For a caller who knows the type.
    fn as_any(&self) -> &dyn Any;

    /// For a caller who knows the type.
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

impl<T> Payload for T
where
    T: prost::Message + fmt::Debug + Default + Serialize + DeserializeOwned + 'static,
{
    fn to_protobuf(&self) -> Vec<u8> {
        self.encode_to_vec()
    }

    fn to_protobuf_behind(&self, free: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(free + self.encoded_len());
        bytes.resize(free, 0);
        match self.encode(&mut bytes) {
            Ok(()) => bytes,
            // A vector grows as it is asked to.
            Err(error) => unreachable!("{error}"),
        }
    }

    fn read_protobuf(&mut self, mut bytes: &[u8]) -> Result<()> {
        // In its place: a message that is decoded beside it would have to be moved here. By reference, as prost's own `decode`
        // does: for bytes by value the compiler would make all of it a second time.
        self.clear();
        self.merge(&mut bytes).map_err(|error| {
            self.clear();
            Error::new(ErrorKind::InvalidMessage, "decode protobuf").caused_by(error)
        })
    }

    fn to_json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|error| Error::new(ErrorKind::InvalidMessage, "encode json").caused_by(error))
    }

    fn read_json(&mut self, bytes: &[u8]) -> Result<()> {
        *self = serde_json::from_slice(bytes)
            .map_err(|error| Error::new(ErrorKind::InvalidMessage, "decode json").caused_by(error))?;
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// `bytes` behind `free` bytes of zero.
pub(super) fn behind(free: usize, bytes: &[u8]) -> Vec<u8> {
    let mut all = Vec::with_capacity(free + bytes.len());
    all.resize(free, 0);
    all.extend_from_slice(bytes);
    all
}

/// Bytes that are a body already; every codec passes them on as they are. go-micro: `codec/bytes.Frame`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame(pub Bytes);

impl Payload for Frame {
    fn to_protobuf(&self) -> Vec<u8> {
        self.0.to_vec()
    }

    fn read_protobuf(&mut self, bytes: &[u8]) -> Result<()> {
        self.0 = Bytes::copy_from_slice(bytes);
        Ok(())
    }

    fn to_json(&self) -> Result<Vec<u8>> {
        Ok(self.0.to_vec())
    }

    fn read_json(&mut self, bytes: &[u8]) -> Result<()> {
        self.read_protobuf(bytes)
    }

    fn as_frame(&self) -> Option<&Bytes> {
        Some(&self.0)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
