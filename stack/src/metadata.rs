//! Headers: text pairs that travel with requests, responses and events.

use std::collections::BTreeMap;

/// Headers in a defined order. Keys keep their case; [`get`] finds a title-cased key too, as go-micro's newest line does
/// (`metadata/metadata.go`).
pub type Metadata = BTreeMap<String, String>;

/// The value of `key`, or of its title-cased form (`micro-id` finds `Micro-Id`).
pub fn get<'a>(metadata: &'a Metadata, key: &str) -> Option<&'a str> {
    metadata.get(key).or_else(|| metadata.get(&title_case(key))).map(String::as_str)
}

/// The value of `key` whatever its case; what arrives over HTTP/2 or gRPC is lower-cased.
pub fn get_ignoring_case<'a>(metadata: &'a Metadata, key: &str) -> Option<&'a str> {
    if let Some(value) = get(metadata, key) {
        return Some(value);
    }
    metadata.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value.as_str())
}

/// Upper-cases the first letter of each part between dashes and lower-cases the rest, as Go canonicalises HTTP headers.
pub fn title_case(key: &str) -> String {
    if is_title_case(key) {
        return key.to_owned();
    }
    let mut start = true;
    key.chars()
        .map(|letter| {
            let cased = if start { letter.to_ascii_uppercase() } else { letter.to_ascii_lowercase() };
            start = letter == '-';
            cased
        })
        .collect()
}

/// Whether `key` is written so already; most are, and every message has many.
fn is_title_case(key: &str) -> bool {
    let mut start = true;
    key.bytes().all(|byte| {
        let is_right = if start { !byte.is_ascii_lowercase() } else { !byte.is_ascii_uppercase() };
        start = byte == b'-';
        is_right
    })
}

/// Names of the headers that go-micro gives a meaning to (`codec` and `client` packages of go-micro v2 to v6).
pub mod names {
    /// Target service.
    pub const SERVICE: &str = "Micro-Service";
    /// `Type.Method`.
    pub const ENDPOINT: &str = "Micro-Endpoint";
    /// The same as [`ENDPOINT`]; either alone is enough.
    pub const METHOD: &str = "Micro-Method";
    /// Request id.
    pub const ID: &str = "Micro-Id";
    /// Stream id; its presence makes a request a stream.
    pub const STREAM: &str = "Micro-Stream";
    /// Error text, or [`END_OF_STREAM`].
    pub const ERROR: &str = "Micro-Error";
    /// Topic of an event.
    pub const TOPIC: &str = "Micro-Topic";
    /// Name of the calling service.
    pub const FROM_SERVICE: &str = "Micro-From-Service";
    /// Trace that a request belongs to.
    pub const TRACE_ID: &str = "Micro-Trace-Id";
    /// Operation that caused a request.
    pub const SPAN_ID: &str = "Micro-Span-Id";
    /// Time that is left to the server, in whole nanoseconds.
    pub const TIMEOUT: &str = "Timeout";
    /// Picks the codec.
    pub const CONTENT_TYPE: &str = "Content-Type";
    /// Codec of the answer.
    pub const ACCEPT: &str = "Accept";
    /// Value of [`ERROR`] that ends a stream.
    pub const END_OF_STREAM: &str = "EOS";
}

#[cfg(test)]
mod tests {
    use super::{Metadata, get, get_ignoring_case, title_case};

    #[test]
    fn a_key_is_found_raw_or_title_cased_but_not_the_other_way() {
        let metadata = Metadata::from([("Foo-Bar".to_owned(), "1".to_owned()), ("baz".to_owned(), "2".to_owned())]);
        assert_eq!(get(&metadata, "foo-bar"), Some("1"));
        assert_eq!(get(&metadata, "Baz"), None);
        assert_eq!(get_ignoring_case(&metadata, "Baz"), Some("2"));
        assert_eq!(title_case("x-user-ID"), "X-User-Id");
    }
}
