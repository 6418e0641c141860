//! The messages of `proto/record.proto` as prost derives them, with either kind of map: ordered ones, as everything of this
//! project has them, and hashed ones, as prost and serde have them by default.

/// The messages with maps of the type `$Map`, which prost calls `$map`.
macro_rules! messages {
    ($map:ident, $Map:ty) => {
        use bytes::Bytes;
        use serde::{Deserialize, Serialize};
        use shaketable_stack::registry;

        use crate::fixture::{self, size_of_service, size_of_user};

        #[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
        #[serde(default)]
        pub(crate) struct User {
            #[prost(uint64, tag = "1")]
            pub(crate) id: u64,
            #[prost(string, tag = "2")]
            pub(crate) name: String,
            #[prost(string, tag = "3")]
            pub(crate) email: String,
            #[prost(string, tag = "4")]
            pub(crate) phone: String,
            #[prost(uint32, tag = "5")]
            pub(crate) age: u32,
            #[prost(bool, tag = "6")]
            pub(crate) active: bool,
            #[prost(int64, tag = "7")]
            pub(crate) created_at: i64,
            #[prost(string, tag = "8")]
            pub(crate) country: String,
        }

        #[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
        #[serde(default)]
        pub(crate) struct Service {
            #[prost(string, tag = "1")]
            pub(crate) name: String,
            #[prost(string, tag = "2")]
            pub(crate) version: String,
            #[prost($map = "string, string", tag = "3")]
            pub(crate) metadata: $Map,
            #[prost(message, repeated, tag = "4")]
            pub(crate) endpoints: Vec<Endpoint>,
            #[prost(message, repeated, tag = "5")]
            pub(crate) nodes: Vec<Node>,
        }

        #[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
        #[serde(default)]
        pub(crate) struct Endpoint {
            #[prost(string, tag = "1")]
            pub(crate) name: String,
            #[prost(message, optional, tag = "2")]
            pub(crate) request: Option<Value>,
            #[prost(message, optional, tag = "3")]
            pub(crate) response: Option<Value>,
            #[prost($map = "string, string", tag = "4")]
            pub(crate) metadata: $Map,
        }

        #[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
        #[serde(default)]
        pub(crate) struct Value {
            #[prost(string, tag = "1")]
            pub(crate) name: String,
            #[prost(string, tag = "2")]
            pub(crate) kind: String,
            #[prost(message, repeated, tag = "3")]
            pub(crate) values: Vec<Value>,
        }

        #[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
        #[serde(default)]
        pub(crate) struct Node {
            #[prost(string, tag = "1")]
            pub(crate) id: String,
            #[prost(string, tag = "2")]
            pub(crate) address: String,
            #[prost($map = "string, string", tag = "3")]
            pub(crate) metadata: $Map,
        }

        /// Bytes; base64 in JSON, as protobuf's JSON mapping has it.
        #[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
        #[serde(default)]
        pub(crate) struct Blob {
            #[prost(bytes = "bytes", tag = "1")]
            #[serde(with = "shaketable_proto::json::base64_bytes")]
            pub(crate) data: Bytes,
        }

        impl From<fixture::User> for User {
            fn from(user: fixture::User) -> Self {
                let fixture::User { id, name, email, phone, age, active, created_at, country } = user;
                Self { id, name, email, phone, age, active, created_at, country }
            }
        }

        impl From<registry::Service> for Service {
            fn from(service: registry::Service) -> Self {
                let registry::Service { name, version, metadata, endpoints, nodes } = service;
                Self {
                    name,
                    version,
                    metadata: metadata.into_iter().collect(),
                    endpoints: endpoints.into_iter().map(Into::into).collect(),
                    nodes: nodes.into_iter().map(Into::into).collect(),
                }
            }
        }

        impl From<registry::Endpoint> for Endpoint {
            fn from(endpoint: registry::Endpoint) -> Self {
                let registry::Endpoint { name, request, response, metadata } = endpoint;
                let (request, response) = (request.map(Into::into), response.map(Into::into));
                Self { name, request, response, metadata: metadata.into_iter().collect() }
            }
        }

        impl From<registry::Value> for Value {
            fn from(value: registry::Value) -> Self {
                let registry::Value { name, kind, values } = value;
                Self { name, kind, values: values.into_iter().map(Into::into).collect() }
            }
        }

        impl From<registry::Node> for Node {
            fn from(node: registry::Node) -> Self {
                let registry::Node { id, address, metadata } = node;
                Self { id, address, metadata: metadata.into_iter().collect() }
            }
        }

        pub(crate) fn size_of_user(user: &User) -> usize {
            size_of_user!(user)
        }

        pub(crate) fn size_of_service(service: &Service) -> usize {
            size_of_service!(service, size_of_value, Option::as_ref)
        }

        fn size_of_value(value: &Value) -> usize {
            value.name.len() + value.kind.len() + value.values.iter().map(size_of_value).sum::<usize>()
        }

        pub(crate) fn size_of_blob(blob: &Blob) -> usize {
            blob.data.len()
        }
    };
}

/// With ordered maps.
pub(crate) mod ordered {
    messages!(btree_map, std::collections::BTreeMap<String, String>);
}

/// With hashed maps.
#[expect(clippy::disallowed_types, reason = "peers are measured with the maps that they have by default")]
pub(crate) mod hashed {
    messages!(map, std::collections::HashMap<String, String>);
}
