//! A body of one text, written out by hand in both encodings, so that the checks depend on no generated code.

use std::any::Any;

use serde::{Deserialize, Serialize};
use shaketable_stack::codec::Payload;
use shaketable_stack::{Error, ErrorKind, Result};

/// `message Text { string text = 1; }`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Text {
    /// The text.
    pub(crate) text: String,
}

/// Field 1, length-delimited.
const TAG: u8 = 0x0a;

impl Text {
    /// A body of `text`.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }
}

impl Payload for Text {
    fn to_protobuf(&self) -> Vec<u8> {
        if self.text.is_empty() {
            return Vec::new();
        }
        let mut bytes = vec![TAG];
        let mut length = self.text.len();
        while length >= 0x80 {
            bytes.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        bytes.push(length as u8);
        bytes.extend_from_slice(self.text.as_bytes());
        bytes
    }

    fn read_protobuf(&mut self, bytes: &[u8]) -> Result<()> {
        let text = if bytes.is_empty() { Some(String::new()) } else { read(bytes) };
        self.text = text.ok_or_else(|| Error::new(ErrorKind::InvalidMessage, "decode protobuf"))?;
        Ok(())
    }

    fn to_json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|error| Error::new(ErrorKind::InvalidMessage, "encode json").caused_by(error))
    }

    fn read_json(&mut self, bytes: &[u8]) -> Result<()> {
        *self = serde_json::from_slice(bytes)
            .map_err(|error| Error::new(ErrorKind::InvalidMessage, "decode json").caused_by(error))?;
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// The text of a message with that field and no other; every byte belongs to it.
fn read(bytes: &[u8]) -> Option<String> {
    let (tag, mut rest) = bytes.split_first()?;
    if *tag != TAG {
        return None;
    }
    let mut length = 0_usize;
    for shift in (0..35).step_by(7) {
        let (byte, after) = rest.split_first()?;
        rest = after;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return (rest.len() == length).then(|| String::from_utf8(rest.to_vec()).ok())?;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use shaketable_stack::codec::Payload;

    use super::Text;

    #[test]
    fn a_text_survives_both_encodings_and_what_is_none_is_refused() {
        for length in [0, 1, 127, 128, 16_384, 300_000] {
            let text = Text::new("a".repeat(length));
            let (mut protobuf, mut json) = (Text::new("before"), Text::new("before"));
            protobuf.read_protobuf(&text.to_protobuf()).unwrap();
            json.read_json(&text.to_json().unwrap()).unwrap();
            assert!(protobuf == text && json == text, "{length}");
        }
        for wrong in [&b"\xff\xff"[..], b"\x0a", b"\x0a\x05ab", b"\x0a\x01ab", b"\x0a\xff\xff\xff\xff\xff\xff"] {
            assert!(Text::default().read_protobuf(wrong).is_err(), "{wrong:?}");
        }
    }
}
