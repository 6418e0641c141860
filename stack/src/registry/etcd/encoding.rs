//! go-micro's keys and values: `/micro/registry/<service>/<node>` holds the service as JSON, with exactly one node
//! (`registry/etcd/etcd.go`). Pure functions.

use super::config::PREFIX;
use crate::registry::Service;
use crate::{Error, ErrorKind, Result};

/// The key of a node.
pub(super) fn key(service: &str, node: &str) -> String {
    format!("{}{}", service_prefix(service), segment(node))
}

/// Where the keys of a service begin.
pub(super) fn service_prefix(service: &str) -> String {
    format!("{PREFIX}{}/", segment(service))
}

/// Where the keys of `service` begin, or those of all services.
pub(super) fn prefix(service: Option<&str>) -> String {
    service.map_or_else(|| PREFIX.to_owned(), service_prefix)
}

/// The value of a record.
///
/// # Errors
/// `InvalidInput` when it cannot be written as JSON.
pub(super) fn encode(record: &Service) -> Result<Vec<u8>> {
    serde_json::to_vec(record).map_err(|error| {
        Error::new(ErrorKind::InvalidInput, "register").with("service", record.name.clone()).caused_by(error)
    })
}

/// The record in a value; `None` for what no registry has written: other JSON, or a record without node.
pub(super) fn decode(value: &[u8]) -> Option<Service> {
    serde_json::from_slice(value).ok().filter(|record: &Service| !record.name.is_empty() && record.nodes.len() == 1)
}

/// A slash would open another level.
fn segment(name: &str) -> String {
    name.replace('/', "-")
}

#[cfg(test)]
mod tests {
    use super::{decode, encode, key, prefix};
    use crate::registry::etcd::{looked_up, stored};
    use crate::registry::testing::service;
    use crate::registry::{Endpoint, Value};

    #[test]
    fn keys_are_those_of_go_micro() {
        assert_eq!(key("user", "user-1"), "/micro/registry/user/user-1");
        assert_eq!(key("go/micro/user", "a/b"), "/micro/registry/go-micro-user/a-b");
        assert_eq!(key("50%", "ä b"), "/micro/registry/50%/ä b");
        assert_eq!(prefix(Some("user")), "/micro/registry/user/");
        assert_eq!(prefix(None), "/micro/registry/");
    }

    #[test]
    fn values_are_those_of_go_micro() {
        let mut record = service("user", "latest", &["user-1"]);
        record.endpoints.push(Endpoint {
            name: "User.Get".to_owned(),
            request: Some(Value { name: "Req".to_owned(), kind: "Req".to_owned(), values: Vec::new() }),
            ..Endpoint::default()
        });
        let text = String::from_utf8(encode(&record).unwrap()).unwrap();
        assert_eq!(
            text,
            r#"{"name":"user","version":"latest","metadata":{},"endpoints":[{"name":"User.Get","request":{"name":"Req","type":"Req","values":[]},"response":null,"metadata":{}}],"nodes":[{"id":"user-1","address":"10.0.0.1:80","metadata":{}}]}"#
        );
        assert_eq!(decode(text.as_bytes()), Some(record));
    }

    #[test]
    fn what_is_stored_of_a_service_is_looked_up_again() {
        let whole = service("user", "1", &["b", "a"]);
        let mut stored = stored(&whole).unwrap();
        stored.push(("c".to_owned(), encode(&service("other", "1", &["c"])).unwrap()));
        let values = || stored.iter().map(|(_, value)| value.as_slice());
        let found = looked_up(Some("user"), values());
        assert_eq!(&*found, &[service("user", "1", &["a", "b"])]);
        assert!(looked_up(Some("nobody"), values()).is_empty());
    }

    #[test]
    fn what_is_no_record_is_ignored() {
        for foreign in ["", "hello", "{}", "[]", r#"{"name":"user","nodes":[]}"#, r#"{"name":"user","nodes":null}"#] {
            assert_eq!(decode(foreign.as_bytes()), None, "{foreign}");
        }
    }
}
