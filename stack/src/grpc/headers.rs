//! Metadata as HTTP/2 headers and back, and time-outs. HTTP/2 knows lower-case names only.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::metadata::Metadata;
use crate::{Error, ErrorKind, Result};

/// The time that is left to the server, as gRPC writes it.
pub(crate) const GRPC_TIMEOUT: &str = "grpc-timeout";
/// The same as go-micro writes it: whole nanoseconds.
pub(crate) const TIMEOUT: &str = "timeout";
/// go-micro's content type, beside gRPC's.
pub(crate) const X_CONTENT_TYPE: &str = "x-content-type";

/// Adds `metadata` to `headers`.
///
/// # Errors
/// `InvalidInput` that names a header which HTTP/2 cannot carry.
pub(crate) fn put(headers: &mut HeaderMap, metadata: &Metadata) -> Result<()> {
    for (name, value) in metadata {
        let invalid = |_| Error::new(ErrorKind::InvalidInput, "write header").with("header", name);
        let key = HeaderName::from_bytes(name.to_ascii_lowercase().as_bytes()).map_err(|_| invalid(()))?;
        headers.insert(key, HeaderValue::from_str(value).map_err(|_| invalid(()))?);
    }
    Ok(())
}

/// `headers` as a handler sees them; what belongs to gRPC itself is left out. Several values of one name are joined, as
/// go-micro does.
pub(crate) fn metadata(headers: &HeaderMap) -> Metadata {
    let own = |name: &str| matches!(name, TIMEOUT | X_CONTENT_TYPE | "te") || name.starts_with("grpc-");
    let mut metadata = Metadata::new();
    for name in headers.keys().filter(|name| !own(name.as_str())) {
        let values = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        metadata.insert(name.to_string(), values.collect::<Vec<_>>().join(", "));
    }
    metadata
}

/// The header `name` as text.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// `timeout` as gRPC writes it: at most eight digits and a unit, rounded up.
pub(crate) fn timeout_text(timeout: Duration) -> String {
    const DIGITS_END: u128 = 100_000_000;
    let nanos = timeout.as_nanos();
    for (unit, length) in [("n", 1), ("u", 1_000), ("m", 1_000_000), ("S", 1_000_000_000), ("M", 60_000_000_000)] {
        let count = nanos.div_ceil(length);
        if count < DIGITS_END {
            return format!("{count}{unit}");
        }
    }
    format!("{}H", nanos.div_ceil(3_600_000_000_000).min(DIGITS_END - 1))
}

/// The shorter one of both time-outs in `headers`; one that cannot be read is none.
pub(crate) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let nanos = text(headers, TIMEOUT).and_then(|text| text.parse().ok()).map(Duration::from_nanos);
    [nanos, text(headers, GRPC_TIMEOUT).and_then(read_timeout)].into_iter().flatten().min()
}

fn read_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let count: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    Some(match unit {
        "n" => Duration::from_nanos(count),
        "u" => Duration::from_micros(count),
        "m" => Duration::from_millis(count),
        "S" => Duration::from_secs(count),
        "M" => Duration::from_secs(count * 60),
        "H" => Duration::from_secs(count * 3_600),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{read_timeout, timeout_text};

    #[test]
    fn timeouts_have_eight_digits_and_are_never_shorter() {
        for (nanos, text) in [(0, "0n"), (99_999_999, "99999999n"), (1_999_304_001, "1999305u"), (u64::MAX, "5124096H")]
        {
            let written = timeout_text(Duration::from_nanos(nanos));
            if nanos != u64::MAX {
                assert_eq!(written, text);
            }
            assert!(read_timeout(&written).unwrap() >= Duration::from_nanos(nanos), "{written}");
        }
        for wrong in ["", "5", "S", "123456789n", "1x", "-1S", "1é"] {
            assert_eq!(read_timeout(wrong), None, "{wrong}");
        }
    }
}
