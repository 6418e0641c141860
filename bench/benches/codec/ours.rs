//! This stack's codecs behind their interface, what its etcd registry makes of the values that it stores, and its gRPC frames.

use std::hint::black_box;
use std::sync::Arc;

use bytes::BytesMut;
use shaketable_stack::codec::json::Json;
use shaketable_stack::codec::protobuf::Protobuf;
use shaketable_stack::codec::{CodecFactory, Marshaler, Payload};
use shaketable_stack::grpc::frame;
use shaketable_stack::registry::etcd::{looked_up, stored};
use shaketable_stack::registry::{self, Services};

use crate::contender::Contender;
use crate::fixture::{self, size_of_record};
use crate::messages::ordered::{Blob, Service, User, size_of_blob, size_of_service, size_of_user};

/// The marshaler of a codec that is known by its interface only.
pub(crate) fn protobuf() -> Arc<dyn Marshaler> {
    Protobuf.marshaler()
}

/// As [`protobuf`].
pub(crate) fn json() -> Arc<dyn Marshaler> {
    Json.marshaler()
}

pub(crate) fn user(codec: &Arc<dyn Marshaler>) -> Contender {
    marshaled(codec, User::from(fixture::user()), size_of_user)
}

pub(crate) fn service(codec: &Arc<dyn Marshaler>, nodes: usize) -> Contender {
    marshaled(codec, Service::from(fixture::service(nodes)), size_of_service)
}

pub(crate) fn blob(codec: &Arc<dyn Marshaler>) -> Contender {
    marshaled(codec, Blob { data: fixture::blob().into() }, size_of_blob)
}

fn marshaled<M>(codec: &Arc<dyn Marshaler>, message: M, size: impl Fn(&M) -> usize + 'static) -> Contender
where
    M: Payload + PartialEq + Default,
{
    let (writer, reader) = (codec.clone(), codec.clone());
    let encode = move |message: &M| writer.marshal(message).expect("it can be encoded");
    let decode = move |bytes: &[u8]| {
        let mut message = M::default();
        reader.unmarshal(bytes, &mut message).expect("it can be decoded");
        message
    };
    Contender::owned(message, encode, decode, size)
}

/// The same with gRPC's frame around it.
pub(crate) fn framed_user() -> Contender {
    framed(user(&protobuf()))
}

/// The same with gRPC's frame around it.
pub(crate) fn framed_service(nodes: usize) -> Contender {
    framed(service(&protobuf(), nodes))
}

fn framed(bare: Contender) -> Contender {
    /// A message as it comes from a connection.
    fn body(bytes: &[u8]) -> bytes::Bytes {
        let mut buffer = BytesMut::from(bytes);
        frame::take(&mut buffer).expect("a frame").expect("a whole one")
    }
    let Contender { encode, decode, read, .. } = bare;
    let frame = move || frame::encode(&encode()).expect("it is small");
    Contender {
        bytes: frame().to_vec(),
        encode: Box::new(move || frame().into()),
        decode: Box::new(move |bytes| decode(&body(bytes))),
        read: Box::new(move |bytes| read(&body(bytes))),
    }
}

/// What the etcd registry stores for a service, a value for each node, and what a lookup makes of the values.
pub(crate) struct Stored {
    values: Vec<Vec<u8>>,
    service: registry::Service,
}

impl Stored {
    pub(crate) fn new(nodes: usize) -> Self {
        let service = fixture::service(nodes);
        let stored = Self { values: stored(&service).expect("it can be stored"), service };
        assert_eq!(&*stored.look_up(), std::slice::from_ref(&stored.service), "what is stored is found");
        stored
    }

    /// Bytes of all values.
    pub(crate) fn bytes(&self) -> usize {
        self.values.iter().map(Vec::len).sum()
    }

    fn look_up(&self) -> Services {
        looked_up(&self.service.name, self.values.iter().map(Vec::as_slice))
    }

    /// The values.
    pub(crate) fn values(&self) -> Vec<Vec<u8>> {
        self.values.clone()
    }

    /// Writes the values.
    pub(crate) fn write(&self) {
        black_box(stored(black_box(&self.service)).expect("it can be stored"));
    }

    /// Looks the service up and reads all of it.
    pub(crate) fn read(&self) -> usize {
        self.look_up().iter().map(size_of_record).sum()
    }
}
