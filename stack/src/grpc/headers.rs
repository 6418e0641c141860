//! Metadata as HTTP/2 headers and back, and time-outs. HTTP/2 knows lower-case names only.

use std::collections::btree_map::Entry;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::metadata::Metadata;
use crate::{Error, ErrorKind, Result};

/// The time that is left to the server, as gRPC writes it.
pub(crate) const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// The same as go-micro writes it: whole nanoseconds.
pub(crate) const TIMEOUT: HeaderName = HeaderName::from_static("timeout");
/// go-micro's content type, beside gRPC's.
pub(crate) const X_CONTENT_TYPE: HeaderName = HeaderName::from_static("x-content-type");

/// Adds the header `name` to `headers`, in lower case.
///
/// # Errors
/// `InvalidInput` that names a header which HTTP/2 cannot carry.
pub(crate) fn put(headers: &mut HeaderMap, name: &str, value: &str) -> Result<()> {
    let invalid = || Error::new(ErrorKind::InvalidInput, "write header").with("header", name);
    let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
    headers.insert(key, HeaderValue::from_str(value).map_err(|_| invalid())?);
    Ok(())
}

/// Adds the time that is left, as gRPC and as go-micro write it.
pub(crate) fn put_timeout(headers: &mut HeaderMap, timeout: Duration) {
    let nanos = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
    let mut digits = Digits::default();
    let (count, unit) = rounded_up(nanos);
    headers.insert(GRPC_TIMEOUT, digits.value(count, Some(unit)));
    headers.insert(TIMEOUT, digits.value(nanos, None));
}

/// `headers` as a handler sees them; what belongs to gRPC itself is left out. Several values of one name are joined, as
/// go-micro does.
pub(crate) fn metadata(headers: &HeaderMap) -> Metadata {
    let own = |name: &HeaderName| {
        *name == TIMEOUT || *name == X_CONTENT_TYPE || *name == http::header::TE || name.as_str().starts_with("grpc-")
    };
    let mut metadata = Metadata::new();
    for (name, value) in headers.iter().filter(|(name, _)| !own(name)) {
        let value = String::from_utf8_lossy(value.as_bytes());
        match metadata.entry(name.as_str().to_owned()) {
            Entry::Vacant(entry) => drop(entry.insert(value.into_owned())),
            Entry::Occupied(mut joined) => joined.get_mut().extend([", ", &value]),
        }
    }
    metadata
}

/// The header `name` as text.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// `nanos` as gRPC writes a time-out: at most eight digits and a unit, rounded up.
fn rounded_up(nanos: u64) -> (u64, u8) {
    const DIGITS_END: u64 = 100_000_000;
    for (unit, length) in [(b'n', 1), (b'u', 1_000), (b'm', 1_000_000), (b'S', 1_000_000_000), (b'M', 60_000_000_000)] {
        let count = nanos.div_ceil(length);
        if count < DIGITS_END {
            return (count, unit);
        }
    }
    (nanos.div_ceil(3_600_000_000_000), b'H')
}

/// Writes numbers as headers, without a text in between.
#[derive(Default)]
struct Digits([u8; Self::LENGTH]);

impl Digits {
    /// As many as the largest number has, and a unit.
    const LENGTH: usize = 21;

    fn value(&mut self, mut number: u64, unit: Option<u8>) -> HeaderValue {
        let mut start = Self::LENGTH;
        let mut put = |letter| {
            start -= 1;
            self.0[start] = letter;
        };
        if let Some(unit) = unit {
            put(unit);
        }
        loop {
            put(b'0' + (number % 10) as u8);
            number /= 10;
            if number == 0 {
                break;
            }
        }
        match HeaderValue::from_bytes(&self.0[start..]) {
            Ok(value) => value,
            Err(error) => unreachable!("digits are a header's value: {error}"),
        }
    }
}

/// The shorter one of both time-outs in `headers`; one that cannot be read is none.
pub(crate) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let nanos = text(headers, &TIMEOUT).and_then(|text| text.parse().ok()).map(Duration::from_nanos);
    [nanos, text(headers, &GRPC_TIMEOUT).and_then(read_timeout)].into_iter().flatten().min()
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

    use http::{HeaderMap, HeaderValue};

    use super::{metadata, put_timeout, read_timeout, text, timeout};

    #[test]
    fn values_of_one_name_are_joined_and_what_belongs_to_grpc_is_left_out() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("a", "1"), ("te", "trailers"), ("b", "2"), ("a", "3"), ("grpc-timeout", "1S"), ("a", "")]
        {
            headers.append(name, HeaderValue::from_static(value));
        }
        let pairs = [("a", "1, 3, "), ("b", "2")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(metadata(&headers), pairs.into());
    }

    #[test]
    fn timeouts_have_eight_digits_and_are_never_shorter() {
        for (nanos, written) in
            [(0, "0n"), (99_999_999, "99999999n"), (1_999_304_001, "1999305u"), (u64::MAX, "5124096H")]
        {
            let mut headers = HeaderMap::new();
            put_timeout(&mut headers, Duration::from_nanos(nanos));
            let grpc = text(&headers, &super::GRPC_TIMEOUT).unwrap();
            assert_eq!(grpc, written);
            assert_eq!(text(&headers, &super::TIMEOUT).unwrap(), nanos.to_string());
            assert!(read_timeout(grpc).unwrap() >= Duration::from_nanos(nanos), "{grpc}");
            assert_eq!(timeout(&headers), Some(Duration::from_nanos(nanos)));
        }
        for wrong in ["", "5", "S", "123456789n", "1x", "-1S", "1é"] {
            assert_eq!(read_timeout(wrong), None, "{wrong}");
        }
    }
}
