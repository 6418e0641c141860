//! The bytes of a message on go-micro's http broker (v2 to v6, `broker/http.go`): `POST /?id=<node id>` with the JSON
//! `{"Header":{…,"Micro-Topic":…},"Body":"<base64>"}`. It knows neither connections nor subscriptions.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use crate::broker::Message;
use crate::metadata::{Metadata, names};
use crate::{Error, ErrorKind, Result};

/// Largest body of a message, in bytes, before it is encoded; as the transports have it.
pub(super) const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Largest JSON text: a largest body in base64 and 512 KiB of headers.
pub(super) const TEXT_BYTES_MAX: usize = MESSAGE_BYTES_MAX / 3 * 4 + (512 << 10);

#[derive(Serialize)]
struct Outgoing<'a> {
    #[serde(rename = "Header")]
    header: &'a Metadata,
    #[serde(rename = "Body")]
    body: String,
}

/// Go writes a nil map and a nil slice as `null`.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Incoming {
    #[serde(rename = "Header")]
    header: Option<Metadata>,
    #[serde(rename = "Body")]
    body: Option<String>,
}

/// `message` for `topic` as JSON. The topic travels as a header and stays one at the receiver, as with go-micro.
///
/// # Errors
/// `TooLarge` beyond 4 MiB of body, or when the headers make the text larger than any receiver takes.
pub(super) fn encode(topic: &str, message: &Message) -> Result<Bytes> {
    let too_large = |bytes: usize| Error::new(ErrorKind::TooLarge, "publish").with("bytes", bytes.to_string());
    if message.body.len() > MESSAGE_BYTES_MAX {
        return Err(too_large(message.body.len()));
    }
    let mut header = message.header.clone();
    header.insert(names::TOPIC.to_owned(), topic.to_owned());
    let text = serde_json::to_vec(&Outgoing { header: &header, body: STANDARD.encode(&message.body) })
        .map_err(|error| Error::new(ErrorKind::InvalidInput, "publish").caused_by(error))?;
    if text.len() > TEXT_BYTES_MAX {
        return Err(too_large(text.len()));
    }
    Ok(text.into())
}

/// The topic and the message of a JSON text.
///
/// # Errors
/// `InvalidMessage` for what is no such JSON or names no topic.
pub(super) fn decode(text: &[u8]) -> Result<(String, Message)> {
    let invalid = || Error::new(ErrorKind::InvalidMessage, "receive event");
    let incoming: Incoming = serde_json::from_slice(text).map_err(|error| invalid().caused_by(error))?;
    let body = STANDARD.decode(incoming.body.unwrap_or_default()).map_err(|error| invalid().caused_by(error))?;
    let header = incoming.header.unwrap_or_default();
    let topic = header.get(names::TOPIC).filter(|topic| !topic.is_empty()).cloned();
    let topic = topic.ok_or_else(|| invalid().detail(format!("no header {}", names::TOPIC)))?;
    Ok((topic, Message { header, body: body.into() }))
}

/// The request target for the subscription `id`.
pub(super) fn target(id: &str) -> String {
    format!("/?id={}", utf8_percent_encode(id, NON_ALPHANUMERIC))
}

/// The subscription that a request's query names. A plus sign is a space, as Go's `url.Values` writes it.
pub(super) fn subscription_id(query: &str) -> Option<String> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix("id="))?.replace('+', " ");
    percent_decode_str(&value).decode_utf8().ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::{MESSAGE_BYTES_MAX, decode, encode, subscription_id, target};
    use crate::ErrorKind;
    use crate::broker::Message;

    #[test]
    fn a_message_is_written_as_go_micro_writes_it() {
        let message = Message { header: [("A".into(), "1".into())].into(), body: "hi?>".into() };
        let text = encode("user.created", &message).unwrap();
        assert_eq!(&text[..], br#"{"Header":{"A":"1","Micro-Topic":"user.created"},"Body":"aGk/Pg=="}"#);
        let (topic, decoded) = decode(&text).unwrap();
        assert_eq!((topic.as_str(), &decoded.body), ("user.created", &message.body));
        assert_eq!(decoded.header["A"], "1");
    }

    #[test]
    fn a_null_body_is_empty_and_what_is_no_message_is_refused() {
        let (_, message) = decode(br#"{"Header":{"Micro-Topic":"t"},"Body":null}"#).unwrap();
        assert!(message.body.is_empty());
        for wrong in [
            "",
            "{",
            "[]",
            "{}",
            r#"{"Header":null}"#,
            r#"{"Header":{"Micro-Topic":""}}"#,
            r#"{"Header":{"Micro-Topic":"t"},"Body":"!"}"#,
        ] {
            assert_eq!(decode(wrong.as_bytes()).unwrap_err().kind(), ErrorKind::InvalidMessage, "{wrong}");
        }
    }

    #[test]
    fn four_mebibytes_fit_and_one_byte_more_does_not() {
        let message = |bytes| Message { body: vec![7; bytes].into(), ..Message::default() };
        let text = encode("t", &message(MESSAGE_BYTES_MAX)).unwrap();
        assert_eq!(decode(&text).unwrap().1.body.len(), MESSAGE_BYTES_MAX);
        assert_eq!(encode("t", &message(MESSAGE_BYTES_MAX + 1)).unwrap_err().kind(), ErrorKind::TooLarge);
        let header = [("A".to_owned(), "x".repeat(MESSAGE_BYTES_MAX * 2))].into();
        let error = encode("t", &Message { header, ..Message::default() }).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
    }

    #[test]
    fn any_subscription_id_survives_the_query() {
        for id in ["user.created-1f", "a b/c&d=e%f+g", "größe-1", ""] {
            let target = target(id);
            assert!(target.is_ascii() && !target.contains(' '), "{target}");
            assert_eq!(subscription_id(target.strip_prefix("/?").unwrap()).as_deref(), Some(id));
        }
        assert_eq!(subscription_id("x=1&id=a+b"), Some("a b".into()));
        for wrong in ["", "x=1", "id=%ff"] {
            assert_eq!(subscription_id(wrong), None, "{wrong}");
        }
    }
}
