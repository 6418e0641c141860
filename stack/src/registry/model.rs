//! What a registry stores. JSON names are go-micro's (`registry/service.go`), so that a go-micro peer reads them.

use serde::{Deserialize, Serialize};

use crate::metadata::Metadata;

/// A service of one version and its nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Service {
    /// Name, such as `user`.
    pub name: String,
    /// Version, such as `latest`.
    pub version: String,
    /// Anything that its owner wants known.
    #[serde(deserialize_with = "null_is_default")]
    pub metadata: Metadata,
    /// What it can be called for.
    #[serde(deserialize_with = "null_is_default")]
    pub endpoints: Vec<Endpoint>,
    /// Where it runs.
    #[serde(deserialize_with = "null_is_default")]
    pub nodes: Vec<Node>,
}

/// A place where a service runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Node {
    /// Unique within the service; `<service>-<uuid>`.
    pub id: String,
    /// `host:port`.
    pub address: String,
    /// Labels, and what a caller must know: `protocol`, `transport`, `broker`, `server`, `registry`.
    #[serde(deserialize_with = "null_is_default")]
    pub metadata: Metadata,
}

/// Something that a service can be called for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Endpoint {
    /// `Type.Method`.
    pub name: String,
    /// What it takes.
    pub request: Option<Value>,
    /// What it answers.
    pub response: Option<Value>,
    /// `stream=true` for a stream; `topic` and `subscriber=true` for a subscriber.
    #[serde(deserialize_with = "null_is_default")]
    pub metadata: Metadata,
}

/// The shape of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Value {
    /// Field name.
    pub name: String,
    /// Type name.
    #[serde(rename = "type")]
    pub kind: String,
    /// Fields.
    #[serde(deserialize_with = "null_is_default")]
    pub values: Vec<Value>,
}

/// Go writes a nil map or slice as `null`.
fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::Service;

    #[test]
    fn a_record_as_go_writes_it_is_read() {
        let service: Service = serde_json::from_str(
            r#"{"name":"user","version":"latest","metadata":null,"endpoints":[{"name":"User.Get","request":null,
                "response":{"name":"Rsp","type":"Rsp","values":null},"metadata":null}],
                "nodes":[{"id":"user-1","address":"10.0.0.1:80","metadata":{"protocol":"mucp"}}]}"#,
        )
        .unwrap();
        assert_eq!(service.nodes[0].metadata["protocol"], "mucp");
        assert_eq!(service.endpoints[0].response.as_ref().unwrap().kind, "Rsp");
    }
}
