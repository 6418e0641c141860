//! Messages to HTTP/1.1 bytes, in the order in which Go's `net/http` writes them: framing first, then headers by name.

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};

use super::super::Message;
use super::super::config::{HEADER_BYTES_MAX, too_large};
use super::decode::HEADERS_MAX;
use crate::metadata::{Metadata, title_case};
use crate::{Error, ErrorKind, Result};

/// Sent where a message names no other; go-micro's own.
const USER_AGENT: &str = "Go-http-client/1.1";

/// Headers that describe the bytes on the wire and not the message.
pub(super) fn is_framing(name: &str) -> bool {
    ["Host", "Content-Length", "Transfer-Encoding", "Trailer"].iter().any(|own| own.eq_ignore_ascii_case(name))
}

/// Everything of a request but its body. An empty body is chunked, as Go does when it cannot know before.
pub(super) fn request(host: &str, connection_close: bool, message: &Message) -> Result<BytesMut> {
    let mut header = canonical(&message.header)?;
    let user_agent = header.remove("User-Agent").unwrap_or_else(|| USER_AGENT.to_owned());
    if connection_close {
        header.insert("Connection".to_owned(), "close".to_owned());
    }
    let mut head = Head::new("POST / HTTP/1.1\r\n");
    head.line("Host", host);
    head.line("User-Agent", &user_agent);
    if message.body.is_empty() {
        head.line("Transfer-Encoding", "chunked");
    } else {
        head.line("Content-Length", &message.body.len().to_string());
    }
    let mut head = head.finish(&header)?;
    if message.body.is_empty() {
        head.put_slice(b"0\r\n\r\n");
    }
    Ok(head)
}

/// Everything of a response but its body. `first` are the headers of the connection's first request, which the message's
/// own replace.
pub(super) fn response(first: &Metadata, message: &Message) -> Result<BytesMut> {
    let mut header = first.clone();
    header.append(&mut canonical(&message.header)?);
    let mut head = Head::new("HTTP/1.1 200 OK\r\n");
    head.line("Content-Length", &message.body.len().to_string());
    head.finish(&header)
}

/// A whole response that says what was wrong with a request, after which the connection ends.
pub(super) fn refusal(error: &Error) -> String {
    let status = if error.kind() == ErrorKind::TooLarge { "413 Request Entity Too Large" } else { "400 Bad Request" };
    let text = error.to_string();
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}",
        text.len()
    )
}

struct Head {
    bytes: BytesMut,
    lines: usize,
}

impl Head {
    fn new(start: &str) -> Self {
        Self { bytes: BytesMut::from(start), lines: 0 }
    }

    fn line(&mut self, name: &str, value: &str) {
        self.lines += 1;
        for part in [name, ": ", value, "\r\n"] {
            self.bytes.put_slice(part.as_bytes());
        }
    }

    fn finish(mut self, header: &Metadata) -> Result<BytesMut> {
        for (name, value) in header {
            self.line(name, value);
        }
        self.bytes.put_slice(b"\r\n");
        if self.bytes.len() > HEADER_BYTES_MAX {
            return Err(too_large("send", HEADER_BYTES_MAX).detail("headers"));
        }
        if self.lines > HEADERS_MAX {
            return Err(too_large("send", HEADERS_MAX).detail("number of headers"));
        }
        Ok(self.bytes)
    }
}

/// The headers as they travel: names title-cased, control characters in values replaced by spaces (as Go does with line
/// ends, so that no value can end the header section), framing left out.
fn canonical(header: &Metadata) -> Result<Metadata> {
    let mut canonical = Metadata::new();
    for (name, value) in header {
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(Error::new(ErrorKind::InvalidInput, "send").detail(format!("'{name}' is no HTTP header name")));
        }
        if !is_framing(name) {
            let is_control = |letter: char| letter.is_ascii_control() && letter != '\t';
            let value = match value.contains(is_control) {
                true => Cow::from(value.replace(is_control, " ")),
                false => Cow::from(value),
            };
            canonical.insert(title_case(name), value.trim_matches([' ', '\t']).to_owned());
        }
    }
    Ok(canonical)
}

/// Whether a header name may hold `byte`: `tchar` of RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
