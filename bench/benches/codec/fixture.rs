//! What is encoded: plain values that every codec's own types are made of, and their size, by which one sees that a decoder
//! found all of it.

use shaketable_stack::metadata::Metadata;
use shaketable_stack::registry::{Endpoint, Node, Service, Value};

/// A small message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct User {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) phone: String,
    pub(crate) age: u32,
    pub(crate) active: bool,
    pub(crate) created_at: i64,
    pub(crate) country: String,
}

pub(crate) fn user() -> User {
    User {
        id: 7_340_912,
        name: "Ada Lovelace".to_owned(),
        email: "ada.lovelace@example.org".to_owned(),
        phone: "+44 20 7946 0958".to_owned(),
        age: 36,
        active: true,
        created_at: 1_764_000_000_123,
        country: "United Kingdom".to_owned(),
    }
}

/// A service with eight endpoints and so many nodes, each with four labels.
pub(crate) fn service(nodes: usize) -> Service {
    let value = |name: &str, values| Value { name: name.to_owned(), kind: name.to_owned(), values };
    let fields = || ["id", "name", "email"].map(|field| value(field, Vec::new())).into();
    let endpoint = |method: &str| Endpoint {
        name: format!("User.{method}"),
        request: Some(value(&format!("{method}Request"), fields())),
        response: Some(value(&format!("{method}Response"), fields())),
        metadata: Metadata::from([("stream".to_owned(), "false".to_owned())]),
    };
    let methods = ["Get", "List", "Create", "Update", "Delete", "Search", "Watch", "Verify"];
    let node = |number: usize| Node {
        id: format!("user-{number:04}-5f0c3f0e-3f7c-4f8e-9d55-b3a3f2a9a001"),
        address: format!("10.20.{}.{}:8080", number / 250, number % 250 + 1),
        metadata: [("protocol", "grpc"), ("server", "grpc"), ("zone", "eu-west-1a"), ("registry", "etcd")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
    };
    Service {
        name: "user".to_owned(),
        version: "2.11.0".to_owned(),
        metadata: Metadata::from([("owner".to_owned(), "accounts".to_owned())]),
        endpoints: methods.map(endpoint).into(),
        nodes: (0..nodes).map(node).collect(),
    }
}

/// 64 KiB that do not repeat.
pub(crate) fn blob() -> Vec<u8> {
    (0..64_u32 << 10).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// Reads all fields of a user, whatever its type: the sum of lengths and numbers.
macro_rules! size_of_user {
    ($user:expr) => {{
        let user = $user;
        let texts = user.name.len() + user.email.len() + user.phone.len() + user.country.len();
        texts + user.id as usize + user.age as usize + usize::from(user.active) + user.created_at as usize
    }};
}

/// Reads all texts of a service, whatever its type: the sum of their lengths. `$value` does that with a value, and `$optional`
/// makes an iterator of a message that may be there.
macro_rules! size_of_service {
    ($service:expr, $value:path, $optional:expr) => {{
        let service = $service;
        let mut size = service.name.len() + service.version.len();
        size += service.metadata.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
        for endpoint in service.endpoints.iter() {
            size += endpoint.name.len();
            size += endpoint.metadata.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
            for value in $optional(&endpoint.request).into_iter().chain($optional(&endpoint.response)) {
                size += $value(value);
            }
        }
        for node in service.nodes.iter() {
            size += node.id.len() + node.address.len();
            size += node.metadata.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
        }
        size
    }};
}

pub(crate) use {size_of_service, size_of_user};

/// The size of a service as this stack has it.
pub(crate) fn size_of_record(service: &Service) -> usize {
    size_of_service!(service, size_of_value, Option::as_ref)
}

fn size_of_value(value: &Value) -> usize {
    value.name.len() + value.kind.len() + value.values.iter().map(size_of_value).sum::<usize>()
}
