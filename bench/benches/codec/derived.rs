//! Codecs whose code is derived: prost, and by serde serde_json, sonic-rs and rmp-serde. Maps are hashed, as they are when
//! nobody says otherwise.

use std::fmt::Debug;

use bytes::Bytes;
use prost::Message;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use shaketable_stack::registry;

use crate::contender::Contender;
use crate::fixture::{self, size_of_record};
use crate::messages::hashed::{Blob, Service, User, size_of_blob, size_of_service, size_of_user};

/// A codec that derives.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Derived {
    Prost,
    SerdeJson,
    SonicRs,
    RmpSerde,
}

/// Bytes as serde has them, for codecs with a kind of their own for bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Raw {
    data: Bytes,
}

impl Derived {
    pub(crate) fn user(self) -> Contender {
        self.message(User::from(fixture::user()), size_of_user)
    }

    pub(crate) fn service(self, nodes: usize) -> Contender {
        self.message(Service::from(fixture::service(nodes)), size_of_service)
    }

    pub(crate) fn blob(self) -> Contender {
        let data = Bytes::from(fixture::blob());
        match self {
            Self::RmpSerde => by_rmp(Raw { data }, |raw| raw.data.len()),
            _ => self.message(Blob { data }, size_of_blob),
        }
    }

    fn message<M>(self, message: M, size: impl Fn(&M) -> usize + 'static) -> Contender
    where
        M: Message + Default + Debug + Serialize + DeserializeOwned + PartialEq + 'static,
    {
        match self {
            Self::Prost => Contender::owned(
                message,
                |message| message.encode_to_vec(),
                |bytes| M::decode(bytes).expect("it was encoded"),
                size,
            ),
            Self::SerdeJson => Contender::owned(
                message,
                |message| serde_json::to_vec(message).expect("it can be encoded"),
                |bytes| serde_json::from_slice(bytes).expect("it was encoded"),
                size,
            ),
            Self::SonicRs => Contender::owned(
                message,
                |message| sonic_rs::to_vec(message).expect("it can be encoded"),
                |bytes| sonic_rs::from_slice(bytes).expect("it was encoded"),
                size,
            ),
            Self::RmpSerde => by_rmp(message, size),
        }
    }
}

fn by_rmp<M>(message: M, size: impl Fn(&M) -> usize + 'static) -> Contender
where
    M: Serialize + DeserializeOwned + PartialEq + Debug + 'static,
{
    Contender::owned(
        message,
        |message| rmp_serde::to_vec(message).expect("it can be encoded"),
        |bytes| rmp_serde::from_slice(bytes).expect("it was encoded"),
        size,
    )
}

/// Decodes each of `values`, which are JSON as the etcd registry stores it, and reads all of it: the sum over all fields.
pub(crate) fn read_json_records(values: &[Vec<u8>]) -> usize {
    let record = |value: &Vec<u8>| serde_json::from_slice::<registry::Service>(value).expect("it is stored");
    values.iter().map(|value| size_of_record(&record(value))).sum()
}

/// The same in protobuf.
pub(crate) fn read_protobuf_records(values: &[Vec<u8>]) -> usize {
    values.iter().map(|value| size_of_service(&Service::decode(&**value).expect("it was encoded"))).sum()
}

/// A value in protobuf for each node of `service`.
pub(crate) fn protobuf_records(service: &registry::Service) -> Vec<Vec<u8>> {
    let record = |node: &registry::Node| registry::Service { nodes: vec![node.clone()], ..service.clone() };
    service.nodes.iter().map(|node| Service::from(record(node)).encode_to_vec()).collect()
}
