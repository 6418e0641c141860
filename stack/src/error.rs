//! The error of the stack: what kind it is, what was being done, with what, and why. The kind alone decides whether trying
//! again can help.

use std::error::Error as StdError;
use std::fmt;

/// The result of an operation of the stack.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, without the particulars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No such service, or no such name. go-micro: `registry.ErrNotFound`, `selector.ErrNotFound`.
    NotFound,
    /// The service is known, but no node of it may be used. go-micro: `selector.ErrNoneAvailable`.
    NoneAvailable,
    /// The watcher was stopped. go-micro: `registry.ErrWatcherStopped`; one value for every registry here.
    WatcherStopped,
    /// The other side has ended the stream in order.
    EndOfStream,
    /// Used before `connect` or `start`.
    NotConnected,
    /// This end was closed.
    Closed,
    /// A deadline passed.
    Timeout,
    /// The other end could not be reached; nothing was sent.
    Unreachable,
    /// The connection broke after something was sent.
    Disconnected,
    /// The caller gave something that cannot be used.
    InvalidInput,
    /// Bytes that are not what they should be. go-micro: `codec.ErrInvalidMessage`.
    InvalidMessage,
    /// A message beyond the size limit.
    TooLarge,
    /// This implementation does not do that.
    Unsupported,
    /// No plugin of that name.
    UnknownPlugin,
    /// The backend answered with an error, or cannot serve now.
    Backend,
    /// A handler, or the server on its behalf, answered with an error; see [`Error::status`].
    Remote,
    /// A handler panicked, or an invariant of ours does not hold.
    Internal,
}

/// Whether trying again can help, and whether it is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The same again would fail the same way.
    Useless,
    /// Nothing has reached a handler: trying again is safe.
    Safe,
    /// A handler may have run: only an idempotent request may be tried again.
    MayRepeat,
}

impl ErrorKind {
    /// Whether trying again can help.
    pub fn retry(self) -> Retry {
        match self {
            Self::NoneAvailable | Self::Unreachable | Self::NotFound => Retry::Safe,
            Self::Timeout | Self::Disconnected | Self::Backend => Retry::MayRepeat,
            _ => Retry::Useless,
        }
    }

    fn describe(self) -> &'static str {
        match self {
            Self::NotFound => "not found",
            Self::NoneAvailable => "none available",
            Self::WatcherStopped => "watcher stopped",
            Self::EndOfStream => "end of stream",
            Self::NotConnected => "not connected",
            Self::Closed => "closed",
            Self::Timeout => "deadline exceeded",
            Self::Unreachable => "unreachable",
            Self::Disconnected => "connection lost",
            Self::InvalidInput => "invalid input",
            Self::InvalidMessage => "invalid message",
            Self::TooLarge => "message too large",
            Self::Unsupported => "not supported",
            Self::UnknownPlugin => "unknown plugin",
            Self::Backend => "backend failed",
            Self::Remote => "remote error",
            Self::Internal => "internal error",
        }
    }
}

/// An error as go-micro sends it (`errors/errors.proto`): `{"id":…,"code":…,"detail":…,"status":…}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Status {
    /// Who speaks, such as `go.micro.client`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// HTTP-like code: 400, 401, 403, 404, 405, 408, 409, 500; 0 when the other side gave none.
    #[serde(skip_serializing_if = "is_zero")]
    pub code: i32,
    /// What happened.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// The code's usual name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub status: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde asks for")]
fn is_zero(code: &i32) -> bool {
    *code == 0
}

impl Status {
    /// An error with the usual name of its code.
    pub fn new(id: &str, code: i32, detail: &str) -> Self {
        let status = match code {
            400 => "Bad Request",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            408 => "Request Timeout",
            409 => "Conflict",
            500 => "Internal Server Error",
            _ => "",
        };
        Self { id: id.to_owned(), code, detail: detail.to_owned(), status: status.to_owned() }
    }

    /// Reads an error text: go-micro's JSON, or else a plain text with code 0.
    pub fn parse(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|_| Self { detail: text.to_owned(), ..Self::default() })
    }

    /// The JSON text that travels in `Micro-Error`; a plain text (code 0, no id) travels as it is.
    pub fn to_text(&self) -> String {
        if self.code == 0 && self.id.is_empty() {
            return self.detail.clone();
        }
        serde_json::to_string(self).unwrap_or_else(|_| self.detail.clone())
    }
}

/// What went wrong while doing what, with which particulars, and why.
#[derive(Debug)]
pub struct Error {
    inner: Box<Inner>,
}

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    operation: &'static str,
    detail: String,
    context: Vec<(&'static str, String)>,
    status: Option<Status>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind` while doing `operation` (a verb phrase that fits after "failed to": "dial", "register").
    pub fn new(kind: ErrorKind, operation: &'static str) -> Self {
        Self {
            inner: Box::new(Inner {
                kind,
                operation,
                detail: String::new(),
                context: Vec::new(),
                status: None,
                source: None,
            }),
        }
    }

    /// An error that a handler or server sent.
    pub fn remote(operation: &'static str, status: Status) -> Self {
        let kind = if status.code == 408 { ErrorKind::Timeout } else { ErrorKind::Remote };
        let mut error = Self::new(kind, operation);
        error.inner.status = Some(status);
        error
    }

    /// Adds a sentence that explains.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.inner.detail = detail.into();
        self
    }

    /// Adds a particular, such as `("service", "user")`.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.inner.context.push((name, value.into()));
        self
    }

    /// Adds the error that caused this one.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.inner.source = Some(source.into());
        self
    }

    /// What went wrong, without the particulars.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// What was being done.
    pub fn operation(&self) -> &'static str {
        self.inner.operation
    }

    /// What the other side said, where it did.
    pub fn status(&self) -> Option<&Status> {
        self.inner.status.as_ref()
    }

    /// The particular called `name`.
    pub fn context(&self, name: &str) -> Option<&str> {
        self.inner.context.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.inner.operation, self.inner.kind.describe())?;
        if !self.inner.detail.is_empty() {
            write!(formatter, ": {}", self.inner.detail)?;
        }
        if let Some(status) = &self.inner.status {
            write!(formatter, ": {}", status.detail)?;
            if status.code != 0 {
                write!(formatter, " (code {}, from {})", status.code, status.id)?;
            }
        }
        for (index, (name, value)) in self.inner.context.iter().enumerate() {
            write!(formatter, "{}{name} {value}", if index == 0 { " (" } else { ", " })?;
        }
        if !self.inner.context.is_empty() {
            formatter.write_str(")")?;
        }
        if let Some(source) = &self.inner.source {
            write!(formatter, ": {source}")?;
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::{Error, ErrorKind, Status};

    #[test]
    fn an_error_reads_as_one_line() {
        let error = Error::new(ErrorKind::Unreachable, "dial")
            .with("address", "etcd:2379")
            .caused_by(std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
        assert_eq!(error.to_string(), "dial: unreachable (address etcd:2379): connection refused");
    }

    #[test]
    fn a_status_survives_its_text_and_a_plain_text_becomes_the_detail() {
        let status = Status::new("user", 404, "no such user");
        assert_eq!(Status::parse(&status.to_text()), status);
        assert_eq!(Status::parse("boom"), Status { detail: "boom".into(), ..Status::default() });
        assert_eq!(Status::parse("boom").to_text(), "boom");
    }
}
