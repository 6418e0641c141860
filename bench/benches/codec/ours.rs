//! This stack's codecs behind their interface, what its etcd registry makes of the values that it stores, gRPC's frames, and
//! `proto-rpc` with the headers of its requests.

use std::collections::VecDeque;
use std::hint::black_box;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::BytesMut;
use shaketable_stack::codec::json::Json;
use shaketable_stack::codec::proto_rpc::ProtoRpc;
use shaketable_stack::codec::protobuf::Protobuf;
use shaketable_stack::codec::{Codec, CodecFactory, Marshaler, Message, MessageType, Payload};
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

/// The same as a request of `proto-rpc`.
pub(crate) fn request_of_user() -> Contender {
    request(User::from(fixture::user()), size_of_user)
}

/// The same as a request of `proto-rpc`.
pub(crate) fn request_of_service(nodes: usize) -> Contender {
    request(Service::from(fixture::service(nodes)), size_of_service)
}

fn request<M>(message: M, size: impl Fn(&M) -> usize + 'static) -> Contender
where
    M: Payload + PartialEq + Default,
{
    let (writes, reads) = (Pipe::default(), Pipe::default());
    let (writer, reader) = (Mutex::new(writes.codec()), Arc::new(Mutex::new(reads.codec())));
    let header = Message { id: "7".to_owned(), method: "User.Get".to_owned(), ..Message::default() };
    let encode = move |message: &M| {
        writer.lock().expect("nobody has panicked").write(&header, Some(message)).expect("it can be written");
        writes.drain()
    };
    let decode = move |bytes: &[u8]| {
        reads.put(bytes);
        let (mut header, mut message) = (Message::default(), M::default());
        let mut reader = reader.lock().expect("nobody has panicked");
        reader.read_header(&mut header, MessageType::Request).expect("it has a header");
        reader.read_body(Some(&mut message)).expect("it has a body");
        assert_eq!(header.method, "User.Get", "it is the request that was written");
        message
    };
    Contender::owned(message, encode, decode, size)
}

/// A carrier in memory.
#[derive(Clone, Debug, Default)]
struct Pipe(Arc<Mutex<VecDeque<u8>>>);

impl Pipe {
    fn codec(&self) -> Box<dyn Codec> {
        ProtoRpc.codec(Box::new(self.clone()))
    }

    fn put(&self, bytes: &[u8]) {
        self.held().extend(bytes);
    }

    fn drain(&self) -> Vec<u8> {
        std::mem::take(&mut *self.held()).into()
    }

    fn held(&self) -> MutexGuard<'_, VecDeque<u8>> {
        self.0.lock().expect("nobody has panicked")
    }
}

impl io::Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.held().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl io::Read for Pipe {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.held().read(to)
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
        let values = stored(&service).expect("it can be stored").into_iter().map(|(_, value)| value).collect();
        let stored = Self { values, service };
        assert_eq!(&*stored.look_up(), std::slice::from_ref(&stored.service), "what is stored is found");
        stored
    }

    /// Bytes of all values.
    pub(crate) fn bytes(&self) -> usize {
        self.values.iter().map(Vec::len).sum()
    }

    fn look_up(&self) -> Services {
        looked_up(Some(&self.service.name), self.values.iter().map(Vec::as_slice))
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
