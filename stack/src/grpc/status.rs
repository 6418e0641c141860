//! go-micro's errors as gRPC statuses and back: the code by its HTTP-like code, the JSON text as the message, and the error
//! itself in the details. go-micro: `microError` (client/grpc/error.go), `util/grpc`.

use http::{HeaderMap, HeaderValue};
use prost::Message;
use shaketable_proto::micro::errors::v1::Error as Detail;
use tonic::Code;

use crate::error::Status;

const DETAIL_TYPE: &str = "type.googleapis.com/errors.Error";
const CLIENT: &str = "go.micro.client";

/// `google.rpc.Status`, as `grpc-status-details-bin` carries it.
#[derive(Clone, PartialEq, prost::Message)]
struct Details {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, prost::Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// Success, as trailers.
pub(crate) fn success() -> HeaderMap {
    HeaderMap::from_iter([(tonic::Status::GRPC_STATUS, HeaderValue::from_static("0"))])
}

/// A status without a go-micro error, as trailers.
pub(crate) fn plain(code: Code, message: &str) -> HeaderMap {
    written(&tonic::Status::new(code, message))
}

/// `status`, as trailers. A status without a code is a plain text.
pub(crate) fn trailers(status: &Status) -> HeaderMap {
    if status.code == 0 {
        return plain(Code::Unknown, &status.detail);
    }
    let (code, message) = (code_of(status.code), status.to_text());
    let detail = Detail {
        id: status.id.clone(),
        code: status.code,
        detail: status.detail.clone(),
        status: status.status.clone(),
    };
    let any = Any { type_url: DETAIL_TYPE.to_owned(), value: detail.encode_to_vec() };
    let details = Details { code: code as i32, message: message.clone(), details: vec![any] };
    written(&tonic::Status::with_details(code, message, details.encode_to_vec().into()))
}

fn written(status: &tonic::Status) -> HeaderMap {
    let mut headers = HeaderMap::new();
    // It fails only for what percent-encoding cannot yield; the code alone says less, but is true.
    if status.add_header(&mut headers).is_err() {
        headers.insert(tonic::Status::GRPC_STATUS, HeaderValue::from(status.code() as i32));
    }
    headers
}

/// What `headers` (trailers, or headers of a response without a body) say; `None` when they carry no status.
pub(crate) fn read(headers: &HeaderMap) -> Option<Result<(), Status>> {
    const DETAILS: &str = "grpc-status-details-bin";
    // Most calls succeed, and nothing else is of interest then.
    if headers.get(tonic::Status::GRPC_STATUS)? == "0" {
        return Some(Ok(()));
    }
    // tonic panics at details that are no base64: they are read here.
    let mut checked = headers.clone();
    let details = checked.remove(DETAILS);
    let status = tonic::Status::from_header_map(&checked)?;
    if status.code() == Code::Ok {
        return Some(Ok(()));
    }
    let detailed = details.and_then(|details| base64(details.as_bytes())).and_then(|bytes| detail(&bytes));
    Some(Err(detailed.unwrap_or_else(|| {
        let written = Status::parse(status.message());
        if written.code > 0 { written } else { Status::new(CLIENT, http_code_of(status.code()), status.message()) }
    })))
}

fn detail(bytes: &[u8]) -> Option<Status> {
    let details = Details::decode(bytes).ok()?;
    let any = details.details.into_iter().find(|any| any.type_url == DETAIL_TYPE)?;
    let Detail { id, code, detail, status } = Detail::decode(&any.value[..]).ok()?;
    Some(Status { id, code, detail, status })
}

fn code_of(http_code: i32) -> Code {
    match http_code {
        400 => Code::InvalidArgument,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::NotFound,
        408 => Code::DeadlineExceeded,
        409 => Code::AlreadyExists,
        412 => Code::FailedPrecondition,
        500 => Code::Internal,
        501 => Code::Unimplemented,
        503 => Code::Unavailable,
        _ => Code::Unknown,
    }
}

fn http_code_of(code: Code) -> i32 {
    match code {
        Code::InvalidArgument => 400,
        Code::Unauthenticated => 401,
        Code::PermissionDenied => 403,
        Code::NotFound => 404,
        Code::DeadlineExceeded => 408,
        Code::AlreadyExists => 409,
        Code::FailedPrecondition => 412,
        Code::Unimplemented => 501,
        Code::Unavailable => 503,
        _ => 500,
    }
}

/// Decodes base64 (RFC 4648, section 4), padded or not.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |letter: u8| match letter {
        b'A'..=b'Z' => Some(letter - b'A'),
        b'a'..=b'z' => Some(letter - b'a' + 26),
        b'0'..=b'9' => Some(letter - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let end = text.iter().rposition(|letter| *letter != b'=').map_or(0, |last| last + 1);
    let mut bytes = Vec::with_capacity(end * 3 / 4);
    for group in text[..end].chunks(4) {
        if group.len() == 1 {
            return None;
        }
        let mut bits = 0_u32;
        for index in 0..4 {
            let digit = group.get(index).map_or(Some(0), |letter| digit(*letter))?;
            bits = bits << 6 | u32::from(digit);
        }
        bytes.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use tonic::Code;

    use super::{base64, plain, read, success, trailers};
    use crate::error::Status;

    #[test]
    fn a_status_survives_the_trailers() {
        for code in [400, 401, 403, 404, 405, 408, 409, 412, 500, 503] {
            let status = Status::new("user", code, "größe: 100%\n");
            let mut headers = trailers(&status);
            assert_eq!(read(&headers), Some(Err(status.clone())));
            // Without details, and with details that are none, the JSON text still says it.
            for details in [None, Some("?"), Some("AAAA")] {
                headers.remove("grpc-status-details-bin");
                headers.extend(details.map(|text| {
                    (http::HeaderName::from_static("grpc-status-details-bin"), HeaderValue::from_static(text))
                }));
                assert_eq!(read(&headers), Some(Err(status.clone())));
            }
        }
        assert_eq!(read(&success()), Some(Ok(())));
        assert_eq!(read(&http::HeaderMap::new()), None);
    }

    #[test]
    fn a_plain_status_gets_the_code_that_go_micro_gives_it() {
        let status = |code| read(&plain(code, "no")).unwrap().unwrap_err();
        assert_eq!(status(Code::Unknown), Status::new("go.micro.client", 500, "no"));
        assert_eq!(status(Code::DeadlineExceeded).code, 408);
        let text = Status { detail: "boom".to_owned(), ..Status::default() };
        assert_eq!(trailers(&text)["grpc-status"], "2");
    }

    #[test]
    fn base64_is_read_padded_or_not() {
        for (text, bytes) in [("", ""), ("Zg", "f"), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYg", "foob")]
        {
            assert_eq!(base64(text.as_bytes()).as_deref(), Some(bytes.as_bytes()));
        }
        for wrong in ["A", "Zm9vY", "?!", "Zg=a"] {
            assert_eq!(base64(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
