//! What a call's status means as an error of the stack; the protocol's head says which code means what.

use shaketable_stack::{Error, ErrorKind};
use tonic::{Code, Status};

/// The error that `status` tells of while doing `operation`. `cancelled` is what CANCELLED means here.
pub(super) fn error(operation: &'static str, status: &Status, cancelled: ErrorKind) -> Error {
    let kind = match status.code() {
        Code::NotFound => ErrorKind::NotFound,
        Code::FailedPrecondition if operation == "select" => ErrorKind::NoneAvailable,
        Code::FailedPrecondition => ErrorKind::NotConnected,
        Code::Cancelled => cancelled,
        Code::OutOfRange => ErrorKind::EndOfStream,
        Code::Aborted => ErrorKind::Disconnected,
        Code::Unavailable => ErrorKind::Unreachable,
        Code::DeadlineExceeded => ErrorKind::Timeout,
        Code::InvalidArgument => ErrorKind::InvalidInput,
        Code::DataLoss => ErrorKind::InvalidMessage,
        Code::ResourceExhausted => ErrorKind::TooLarge,
        Code::Unimplemented => ErrorKind::Unsupported,
        Code::Internal => ErrorKind::Internal,
        _ => ErrorKind::Backend,
    };
    Error::new(kind, operation).detail(status.message().to_owned())
}

/// How `error` is told to an adapter that is a client of the harness.
pub(super) fn told(error: &Error) -> Status {
    let code = match error.kind() {
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::WatcherStopped | ErrorKind::Closed => Code::Cancelled,
        ErrorKind::InvalidInput => Code::InvalidArgument,
        ErrorKind::Timeout => Code::DeadlineExceeded,
        _ => Code::Unknown,
    };
    Status::new(code, error.to_string())
}
