//! Which of a caller's headers travel on. It knows names only. A handler that calls on with its own context carries the
//! headers of the request that it serves; go-micro forwards all of them, so that a stream's id or a passed deadline leaks
//! into the next request. Here what belongs to one hop stays there.

use crate::metadata::Metadata;

/// Headers that describe one message on one connection, lower-cased and in order.
const HOP: [&str; 21] = [
    "accept",
    "connection",
    "content-length",
    "content-type",
    "host",
    "local",
    "micro-endpoint",
    "micro-error",
    "micro-id",
    "micro-method",
    "micro-service",
    "micro-stream",
    "micro-target",
    "micro-topic",
    "remote",
    "te",
    "timeout",
    "transfer-encoding",
    "user-agent",
    "x-content-type",
    "x-micro-id",
];

/// Whether a header called `name` travels on.
pub(super) fn travels(name: &str) -> bool {
    !name.starts_with(':') && !HOP.iter().any(|hop| hop.eq_ignore_ascii_case(name))
}

/// The headers of `metadata` that travel on.
pub(super) fn forwarded(metadata: &Metadata) -> Metadata {
    metadata.iter().filter(|(name, _)| travels(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::forwarded;
    use crate::metadata::Metadata;

    #[test]
    fn what_belongs_to_one_hop_stays_there() {
        let pairs =
            [("Micro-Stream", "1"), ("timeout", "9"), (":authority", "a"), ("X-User", "u"), ("Micro-Trace-Id", "t")];
        let metadata: Metadata = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let left: Vec<String> = forwarded(&metadata).into_keys().collect();
        assert_eq!(left, ["Micro-Trace-Id", "X-User"]);
    }
}
