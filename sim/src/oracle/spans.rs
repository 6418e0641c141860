//! Sets of time spans, for "while it could": sorted, disjoint, half-open. They know no events.

use std::time::Duration;

use crate::history::Moment;

/// Spans of time in which something holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Spans(Vec<Span>);

/// From `start` on, until just before `end`; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: Moment,
    pub(super) end: Moment,
}

/// A change of what is in force; several things of one kind may be in force at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// One more.
    Begin,
    /// One less.
    End,
    /// This and nothing else.
    BeginOnly,
    /// None any more.
    EndAll,
}

impl Spans {
    /// From the beginning of the world to `until`.
    pub(super) fn whole(until: Moment) -> Self {
        Self(
            vec![Span { start: Moment::default(), end: until }]
                .into_iter()
                .filter(|span| span.start < span.end)
                .collect(),
        )
    }

    /// Where at least one thing is in force, up to `until`; `steps` are in the order of time.
    pub(super) fn in_force(steps: &[(Moment, Step)], until: Moment) -> Self {
        let (mut spans, mut count, mut since) = (Vec::new(), 0_u32, Moment::default());
        for (at, step) in steps {
            let before = count;
            count = match step {
                Step::Begin => count + 1,
                Step::End => count.saturating_sub(1),
                Step::BeginOnly => 1,
                Step::EndAll => 0,
            };
            if before == 0 && count > 0 {
                since = *at;
            }
            if before > 0 && count == 0 {
                spans.push(Span { start: since, end: *at });
            }
        }
        if count > 0 {
            spans.push(Span { start: since, end: until });
        }
        Self::of(spans)
    }

    /// The union of `spans`, in whatever order.
    pub(super) fn of(mut spans: Vec<Span>) -> Self {
        spans.retain(|span| span.start < span.end);
        spans.sort_by_key(|span| (span.start, span.end));
        let mut merged: Vec<Span> = Vec::with_capacity(spans.len());
        for span in spans {
            match merged.last_mut() {
                Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
                _ => merged.push(span),
            }
        }
        Self(merged)
    }

    /// Makes it hold where `other` does, too.
    pub(super) fn add(&mut self, other: &Self) {
        let spans = self.0.iter().chain(&other.0).copied().collect();
        *self = Self::of(spans);
    }

    /// Where both hold.
    pub(super) fn and(&self, other: &Self) -> Self {
        let (mut left, mut right, mut both) = (0, 0, Vec::new());
        while let (Some(a), Some(b)) = (self.0.get(left), other.0.get(right)) {
            let (start, end) = (a.start.max(b.start), a.end.min(b.end));
            if start < end {
                both.push(Span { start, end });
            }
            if a.end <= b.end {
                left += 1;
            } else {
                right += 1;
            }
        }
        Self(both)
    }

    /// Where it does not hold, up to `until`.
    pub(super) fn not(&self, until: Moment) -> Self {
        let (mut gaps, mut from) = (Vec::new(), Moment::default());
        for span in &self.0 {
            gaps.push(Span { start: from, end: span.start.min(until) });
            from = span.end;
        }
        gaps.push(Span { start: from, end: until });
        Self::of(gaps)
    }

    /// Whether it holds at `from`, at `until` and all the time between.
    pub(super) fn covers(&self, from: Moment, until: Moment) -> bool {
        self.at_or_before(from).is_some_and(|span| from < span.end && until < span.end)
    }

    /// Whether it holds at some moment from `from` to `until`, both included.
    pub(super) fn touches(&self, from: Moment, until: Moment) -> bool {
        self.at_or_before(until).is_some_and(|span| span.end > from)
    }

    /// Whether it holds at `at` and held just before.
    pub(super) fn strictly_covers(&self, at: Moment) -> bool {
        self.at_or_before(at).is_some_and(|span| span.start < at && at < span.end)
    }

    /// The first moment that lies `length` after the start of a stretch, at `from` or later, in which it holds without a
    /// break, that moment included.
    pub(super) fn first_full(&self, from: Moment, length: Duration) -> Option<Moment> {
        let first = self.0.partition_point(|span| span.end <= from);
        self.0[first..].iter().find_map(|span| {
            let full = span.start.max(from) + length;
            (full < span.end).then_some(full)
        })
    }

    /// How long it holds between `from` and `until`.
    pub(super) fn length_between(&self, from: Moment, until: Moment) -> Duration {
        let first = self.0.partition_point(|span| span.end <= from);
        let spans = self.0[first..].iter().take_while(|span| span.start < until);
        spans.map(|span| span.end.min(until).since(span.start.max(from))).sum()
    }

    fn at_or_before(&self, at: Moment) -> Option<&Span> {
        self.0[..self.0.partition_point(|span| span.start <= at)].last()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(ends: &[(u64, u64)]) -> Spans {
        Spans::of(ends.iter().map(|&(start, end)| Span { start: Moment(start), end: Moment(end) }).collect())
    }

    #[test]
    fn overlapping_spans_merge_and_empty_ones_vanish() {
        assert_eq!(spans(&[(5, 9), (1, 3), (3, 4), (7, 12), (20, 20)]), spans(&[(1, 4), (5, 12)]));
    }

    #[test]
    fn and_and_not_are_those_of_sets() {
        let (a, b) = (spans(&[(0, 10), (20, 30)]), spans(&[(5, 25)]));
        assert_eq!(a.and(&b), spans(&[(5, 10), (20, 25)]));
        assert_eq!(a.not(Moment(40)), spans(&[(10, 20), (30, 40)]));
        for at in 0..40 {
            let (here, at) = (Moment(at), Moment(at));
            assert_eq!(a.and(&b).covers(here, at), a.covers(here, at) && b.covers(here, at));
            assert_eq!(a.not(Moment(40)).covers(here, at), !a.covers(here, at));
        }
    }

    #[test]
    fn things_in_force_are_counted() {
        let steps = [(1, Step::Begin), (2, Step::Begin), (3, Step::End), (5, Step::End), (7, Step::BeginOnly)];
        let steps = steps.map(|(at, step)| (Moment(at), step));
        assert_eq!(Spans::in_force(&steps, Moment(9)), spans(&[(1, 5), (7, 9)]));
    }

    #[test]
    fn a_full_stretch_is_without_a_break() {
        let reach = spans(&[(0, 4), (5, 9), (10, 30)]);
        assert_eq!(reach.first_full(Moment(2), Duration::from_nanos(5)), Some(Moment(15)));
        assert_eq!(reach.first_full(Moment(6), Duration::from_nanos(2)), Some(Moment(8)));
        assert_eq!(reach.first_full(Moment(6), Duration::from_nanos(3)), Some(Moment(13)), "the last moment counts");
        assert_eq!(reach.first_full(Moment(26), Duration::from_nanos(5)), None);
        assert_eq!(reach.length_between(Moment(3), Moment(11)), Duration::from_nanos(6));
        assert!(reach.touches(Moment(4), Moment(5)) && !reach.touches(Moment(4), Moment(4)));
    }
}
