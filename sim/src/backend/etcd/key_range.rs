//! Ranges of keys as etcd's requests write them. Knows nothing of what is stored.

use std::ops::Bound;

use bytes::Bytes;

/// A single key, or all keys from one on, or up to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyRange {
    start: Bytes,
    end: End,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    Single,
    Before(Bytes),
    Open,
}

impl KeyRange {
    /// Reads `key` and `range_end` of a request: no end is the single key, one zero byte is everything from `key` on.
    pub(super) fn new(key: &Bytes, range_end: &Bytes) -> Self {
        let end = match &range_end[..] {
            [] => End::Single,
            [0] => End::Open,
            _ => End::Before(range_end.clone()),
        };
        Self { start: key.clone(), end }
    }

    /// One key.
    pub(super) fn single(key: &Bytes) -> Self {
        Self { start: key.clone(), end: End::Single }
    }

    pub(super) fn contains(&self, key: &[u8]) -> bool {
        match &self.end {
            End::Single => key == self.start,
            End::Before(end) => key >= &self.start[..] && key < &end[..],
            End::Open => key >= &self.start[..],
        }
    }

    /// Whether no key can lie in it, because it ends where or before it starts.
    pub(super) fn is_void(&self) -> bool {
        matches!(&self.end, End::Before(end) if *end <= self.start)
    }

    /// The bounds for an ordered map; not for a void range.
    pub(super) fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        let start = Bound::Included(&self.start[..]);
        match &self.end {
            End::Single => (start, start),
            End::Before(end) => (start, Bound::Excluded(&end[..])),
            End::Open => (start, Bound::Unbounded),
        }
    }

    /// Whether etcd sees that deleting this range and putting `key` collide in one transaction. It misreads the zero byte
    /// that opens a range as a key there, and so overlooks every open range.
    pub(super) fn collides_in_txn(&self, key: &[u8]) -> bool {
        self.end != End::Open && self.contains(key)
    }
}

#[cfg(test)]
mod tests {
    use super::KeyRange;
    use bytes::Bytes;

    fn range(key: &'static str, end: &'static str) -> KeyRange {
        KeyRange::new(&Bytes::from(key), &Bytes::from(end))
    }

    #[test]
    fn a_range_holds_its_start_and_not_its_end() {
        assert!(range("b", "d").contains(b"b"));
        assert!(range("b", "d").contains(b"czz"));
        assert!(!range("b", "d").contains(b"d"));
        assert!(!range("b", "d").contains(b"a"));
    }

    #[test]
    fn no_end_is_one_key_and_a_zero_byte_is_no_end() {
        assert!(range("b", "").contains(b"b"));
        assert!(!range("b", "").contains(b"ba"));
        assert!(range("b", "\0").contains(b"zzz"));
        assert!(!range("b", "\0").contains(b"a"));
    }

    #[test]
    fn a_range_that_ends_before_it_starts_is_void() {
        assert!(range("b", "a").is_void());
        assert!(range("b", "b").is_void());
        assert!(!range("b", "\0").is_void());
        assert!(!range("b", "").is_void());
    }
}
