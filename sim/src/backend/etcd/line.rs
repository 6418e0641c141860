//! The lines of etcd, and in what they differ that a client can see. It is data; the rooms that behave differently ask it.

/// A line of releases of etcd. The parity tests in `fixtures` hold each against a real one where it can be had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Line {
    /// 3.4 and before.
    #[default]
    V3_4,
    /// 3.5 with its later fixes.
    V3_5,
    /// 3.6 and later.
    V3_6,
}

impl Line {
    /// The line of a version as `Status` tells it. What is no version is of the newest line.
    pub fn of(version: &str) -> Self {
        let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(u32::MAX));
        match (numbers.next(), numbers.next()) {
            (Some(major), Some(minor)) if (major, minor) < (3, 5) => Self::V3_4,
            (Some(3), Some(5)) => Self::V3_5,
            _ => Self::V3_6,
        }
    }

    /// Whether a compaction keeps a deletion at its very revision, so that a watch from there on hears of it: since etcd's
    /// `keyIndex.compact` no longer drops tombstones (3.5.21 and 3.6.0 do not, 3.5.0 does).
    pub(super) fn keeps_deletions(self) -> bool {
        self >= Self::V3_5
    }

    /// Whether a request for progress is answered only when every watch of its stream has been told everything, so that no
    /// event comes after it that it says was told (`progressIfSync`; 3.5.21 and 3.6 have it).
    pub(super) fn tells_progress_in_order(self) -> bool {
        self >= Self::V3_5
    }

    /// Whether a watch from a revision below zero is refused at once (`serverWatchStream.recvLoop` in 3.6), and not made and
    /// then ended as compacted.
    pub(super) fn refuses_negative_starts(self) -> bool {
        self >= Self::V3_6
    }

    /// Whether a list of members may be asked for linearizably, so that it needs a leader (`MemberList` in its
    /// `v3rpc/member.go`).
    pub(super) fn lists_members_linearizably(self) -> bool {
        self >= Self::V3_5
    }

    /// Whether the operations of a transaction are checked one after the other (`checkTxn` in 3.6), and not all puts first
    /// and then all ranges (`checkRequests` until then): it decides which of several refusals is told.
    pub(super) fn checks_in_order(self) -> bool {
        self >= Self::V3_6
    }
}

#[cfg(test)]
mod tests {
    use super::Line;

    #[test]
    fn a_version_tells_its_line() {
        let lines = ["3.3.27", "3.4.23", "3.5.21", "3.6.0", "3.10.1", "4.0.0", "unknown"].map(Line::of);
        assert_eq!(lines, [Line::V3_4, Line::V3_4, Line::V3_5, Line::V3_6, Line::V3_6, Line::V3_6, Line::V3_6]);
    }
}
