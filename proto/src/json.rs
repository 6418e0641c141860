//! The two places where protobuf's JSON form differs from what serde writes by itself: bytes are base64 text, and 64-bit
//! numbers are decimal text. Knows nothing of any message. See <https://protobuf.dev/programming-guides/json/>.

/// `bytes` fields, for `#[serde(with)]`: written as padded standard base64; read with either alphabet, padded or not.
pub mod base64_bytes {
    use prost::bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::borrow::Cow;

    /// Writes padded standard base64.
    pub fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::encode_base64(bytes))
    }

    /// Reads base64; `null` is empty. Refuses text that is no base64.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        let text = Option::<Cow<'de, str>>::deserialize(deserializer)?.unwrap_or_default();
        super::decode_base64(&text).map(Bytes::from).ok_or_else(|| D::Error::custom("bytes that are not base64"))
    }
}

/// `uint64` fields, for `#[serde(with)]`: written as decimal text, read from text or a number.
pub mod decimal_u64 {
    use serde::{Deserializer, Serializer, de};
    use std::fmt;

    /// Writes decimal text.
    pub fn serialize<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }

    /// Reads decimal text or a number; `null` is 0. Refuses what does not fit into 64 bits.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        deserializer.deserialize_any(Number)
    }

    struct Number;

    impl de::Visitor<'_> for Number {
        type Value = u64;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an unsigned 64-bit number, or its decimal text")
        }

        fn visit_u64<E: de::Error>(self, number: u64) -> Result<u64, E> {
            Ok(number)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
            text.parse().map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
        }

        fn visit_unit<E: de::Error>(self) -> Result<u64, E> {
            Ok(0)
        }
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn encode_base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, byte| (bits << 8) | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for position in 0..4 {
            if position <= chunk.len() {
                let index = (bits >> (18 - 6 * position)) & 63;
                text.push(char::from(ALPHABET[index as usize]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let body = text.trim_end_matches('=');
    if text.len() - body.len() > 2 || body.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(body.len() * 3 / 4);
    let (mut bits, mut held) = (0_u32, 0_u32);
    for character in body.bytes() {
        let value = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::{decode_base64, encode_base64};
    use crate::probe::v1::{ProbeEvent, ProbeRequest};

    #[test]
    fn base64_agrees_with_the_examples_of_rfc_4648() {
        let examples =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")];
        for (bytes, text) in examples {
            assert_eq!(encode_base64(bytes.as_bytes()), text);
            assert_eq!(decode_base64(text).as_deref(), Some(bytes.as_bytes()));
            assert_eq!(decode_base64(text.trim_end_matches('=')).as_deref(), Some(bytes.as_bytes()));
        }
        assert_eq!(decode_base64("-_-_"), decode_base64("+/+/"));
        assert_eq!(decode_base64("A"), None);
        assert_eq!(decode_base64("Zg===="), None);
        assert_eq!(decode_base64("Z g="), None);
    }

    #[test]
    fn every_byte_survives_base64() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(decode_base64(&encode_base64(&bytes)), Some(bytes));
    }

    #[test]
    fn an_event_is_written_as_protojson_writes_it() {
        let event =
            ProbeEvent { id: "a".into(), sequence: u64::MAX, publisher: "p".into(), payload: vec![0xff, 0xfe].into() };
        let text = r#"{"id":"a","sequence":"18446744073709551615","publisher":"p","payload":"//4="}"#;
        assert_eq!(serde_json::to_string(&event).unwrap(), text);
        assert_eq!(serde_json::from_str::<ProbeEvent>(text).unwrap(), event);
    }

    #[test]
    fn absent_unknown_and_null_fields_are_accepted() {
        let request: ProbeRequest = serde_json::from_str(r#"{"workMs":7,"unheardOf":[1],"payload":null}"#).unwrap();
        assert_eq!(request, ProbeRequest { work_ms: 7, ..ProbeRequest::default() });
        let event: ProbeEvent = serde_json::from_str(r#"{"sequence":12}"#).unwrap();
        assert_eq!(event.sequence, 12);
    }

    #[test]
    fn text_that_is_no_number_or_no_base64_is_refused() {
        assert!(serde_json::from_str::<ProbeEvent>(r#"{"sequence":"-1"}"#).is_err());
        assert!(serde_json::from_str::<ProbeEvent>(r#"{"payload":"*"}"#).is_err());
    }
}
