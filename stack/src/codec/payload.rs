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

    /// Replaces the value by what the protobuf `bytes` say.
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

    fn read_protobuf(&mut self, bytes: &[u8]) -> Result<()> {
        *self = T::decode(bytes)
            .map_err(|error| Error::new(ErrorKind::InvalidMessage, "decode protobuf").caused_by(error))?;
        Ok(())
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
