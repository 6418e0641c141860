//! `lease_expiry`: a lease runs out neither before its granted TTL nor much after it, and is granted for no less than was
//! asked for. When it runs out is judged on what the backend did alone; each restart of the backend starts the window anew,
//! and while it is down nothing can run out. Nothing can while it stands still either, but its clock goes on: what came due
//! meanwhile runs out once it goes on, and what comes due later when it is due.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::history::{Edge, History, Moment, Point, Truth};

use super::findings::{Findings, clarity, text};
use super::membership::Membership;
use super::operations::Stamp;
use super::reach::Reach;
use super::requested_ttl::Requests;
use super::spans::Spans;
use super::{Facts, Judgement, Oracle};

/// The oracle. It judges every expiry, every lease that should have run out and did not, and counts whatever else it finds.
#[derive(Debug)]
pub(super) struct LeaseExpiry;

/// A lease as the backend has it.
struct Lease {
    ttl: Duration,
    granted: Stamp,
    /// When its full TTL last began, and why.
    window: Stamp,
    began: &'static str,
}

impl Oracle for LeaseExpiry {
    fn name(&self) -> &'static str {
        "lease_expiry"
    }

    fn judge(&self, history: &History, facts: &Facts) -> Option<Judgement> {
        let expected = facts.scenario.expect.lease_expiry?;
        let promised = [facts.registry.ttl_granularity, facts.registry.expiry_slack];
        let reach = Reach::of(history, facts, Duration::ZERO);
        let mut court = Court {
            early: facts.early,
            late: promised.into_iter().flatten().fold(expected.late, Duration::saturating_add),
            down: reach.registry_down(),
            still: reach.registry_still(),
            leases: BTreeMap::new(),
            findings: Findings::default(),
            judged: 0,
        };
        let mut requests = Requests::new(Membership::of(history));
        for event in &history.events {
            court.judged += requests.hear(event, &mut court.findings);
            if let Edge::Point(Point::Truth(truth)) = &*event.edge {
                court.hear(Stamp::of(event), truth);
            }
        }
        for (name, lease) in std::mem::take(&mut court.leases) {
            if facts.end > court.latest(&lease) {
                court.outlived(name, &lease, facts.end, None, "was still there when the run ended");
            }
        }
        let judgement = court.findings.judgement(self.name(), court.judged);
        Some(Judgement { judged_at_least: u64::from(expected.at_least), ..judgement })
    }
}

struct Court<'a> {
    early: Duration,
    late: Duration,
    down: Spans,
    still: Spans,
    leases: BTreeMap<&'a str, Lease>,
    findings: Findings,
    judged: u64,
}

impl<'a> Court<'a> {
    fn hear(&mut self, stamp: Stamp, truth: &'a Truth) {
        match truth {
            Truth::Granted { lease, ttl_granted, .. } => {
                self.ended_otherwise(stamp, lease, "was granted again");
                let granted = Lease { ttl: *ttl_granted, granted: stamp, window: stamp, began: "granted" };
                self.leases.insert(lease, granted);
            }
            Truth::Renewed { lease } => {
                if let Some(known) = self.ended_otherwise(stamp, lease, "was renewed") {
                    self.leases.insert(lease, Lease { window: stamp, began: "renewed", ..known });
                }
            }
            Truth::Restarted => {
                for lease in self.leases.values_mut() {
                    (lease.window, lease.began) = (stamp, "given its full TTL by the backend's restart");
                }
            }
            Truth::Expired { lease, .. } => {
                if let Some(known) = self.leases.remove(lease.as_str()) {
                    self.expired(stamp, lease, &known);
                }
            }
            Truth::Revoked { lease, .. } => drop(self.ended_otherwise(stamp, lease, "was revoked")),
            Truth::Lost { lease, .. } => drop(self.ended_otherwise(stamp, lease, "was lost")),
            // Where the state belongs to the world, the lease is the key.
            Truth::Deleted { key } => drop(self.ended_otherwise(stamp, key, "was deleted")),
            Truth::Put { .. } | Truth::Compacted { .. } => {}
        }
    }

    /// The last moment at which it may run out.
    fn latest(&self, lease: &Lease) -> Moment {
        let due = lease.window.at + lease.ttl;
        let mut latest = due + self.late;
        // Each stretch of downtime pushes the deadline on, perhaps into the next stretch; so does one of standing still, once
        // the lease is due.
        loop {
            let put_off = self.down.length_between(lease.window.at, latest) + self.still.length_between(due, latest);
            let next = due + self.late + put_off;
            if next <= latest {
                return latest;
            }
            latest = next;
        }
    }

    fn expired(&mut self, stamp: Stamp, name: &str, lease: &Lease) {
        self.judged += 1;
        let earliest = lease.window.at + lease.ttl;
        let (latest, events) = (self.latest(lease), [lease.granted.sequence, lease.window.sequence, stamp.sequence]);
        if stamp.at + self.early < earliest {
            let early = earliest.since(stamp.at);
            let sentence = format!(
                "lease {name}, {} at {} for {}, should not have expired before {earliest}; it expired at {}, {} early",
                lease.began,
                lease.window.at,
                text(lease.ttl),
                stamp.at,
                text(early)
            );
            self.findings.add(clarity(early), sentence, events);
        } else if stamp.at > latest {
            self.judged -= 1;
            self.outlived(name, lease, stamp.at, Some(stamp), "expired only then");
        } else if self.throughout(&self.down, stamp.at) {
            let sentence =
                format!("lease {name} should not have expired while the backend was down; it did at {}", stamp.at);
            self.findings.add(0, sentence, events);
        } else if self.throughout(&self.still, stamp.at) {
            let sentence =
                format!("lease {name} should not have expired while the backend stood still; it did at {}", stamp.at);
            self.findings.add(0, sentence, events);
        }
    }

    /// Whether it held at `at` and for as long before as what is told may be late.
    fn throughout(&self, spans: &Spans, at: Moment) -> bool {
        let before = Moment(at.0.saturating_sub(Moment::after(self.early).0));
        spans.strictly_covers(at) && spans.strictly_covers(before)
    }

    /// Takes a lease that something else than its expiry happened to; that it was there still may show that it is
    /// overdue.
    fn ended_otherwise(&mut self, stamp: Stamp, name: &'a str, what: &str) -> Option<Lease> {
        let lease = self.leases.remove(name)?;
        if stamp.at > self.latest(&lease) {
            self.outlived(name, &lease, stamp.at, Some(stamp), what);
        }
        Some(lease)
    }

    fn outlived(&mut self, name: &str, lease: &Lease, at: Moment, proof: Option<Stamp>, what: &str) {
        self.judged += 1;
        let latest = self.latest(lease);
        let sentence = format!(
            "lease {name}, {} at {} for {}, should have expired by {latest}; at {at} it {what}, {} late",
            lease.began,
            lease.window.at,
            text(lease.ttl),
            text(at.since(latest))
        );
        let events = [lease.granted.sequence, lease.window.sequence];
        self.findings.add(
            clarity(at.since(latest)),
            sentence,
            events.into_iter().chain(proof.map(|proof| proof.sequence)),
        );
    }
}
