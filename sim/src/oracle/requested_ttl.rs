//! What `lease_expiry` says of how a registration came by its lease: whoever asked for a TTL gets that much or more (etcd
//! raises tiny ones), and no registration lives for ever that was to live for a time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::history::{Edge, Event, Operation, Point, Truth};

use super::findings::{Findings, clarity, text};
use super::membership::Membership;
use super::operations::Stamp;

/// What was asked for, and what there is to hang registrations on.
pub(super) struct Requests<'a> {
    membership: Membership<'a>,
    /// By node.
    asked: BTreeMap<&'a str, Asked>,
    granted: BTreeMap<&'a str, (Duration, Stamp)>,
    /// Nodes of which a finding tells already.
    told: BTreeSet<&'a str>,
}

/// The shortest life that a node's owner ever asked for: a write may be slow, and later than the next request.
struct Asked {
    /// None: to live for ever.
    ttl: Option<Duration>,
    first: Stamp,
}

impl<'a> Requests<'a> {
    pub(super) fn new(membership: Membership<'a>) -> Self {
        Self { membership, asked: BTreeMap::new(), granted: BTreeMap::new(), told: BTreeSet::new() }
    }

    /// Hears one event, in the order of the history; answers how many things it found wrong.
    pub(super) fn hear(&mut self, event: &'a Event, findings: &mut Findings) -> u64 {
        let stamp = Stamp::of(event);
        match &*event.edge {
            Edge::Invoke(Operation::Register { node, ttl, .. }) => {
                let ttl = ttl.filter(|ttl| !ttl.is_zero());
                let asked = self.asked.entry(&node.id).or_insert(Asked { ttl, first: stamp });
                asked.ttl = asked.ttl.zip(ttl).map(|(one, other)| one.min(other));
                0
            }
            Edge::Point(Point::Truth(Truth::Granted { lease, ttl_requested, ttl_granted })) => {
                self.granted.insert(lease, (*ttl_granted, stamp));
                if ttl_granted >= ttl_requested {
                    return 0;
                }
                let sentence = format!(
                    "lease {lease} should have been granted for {} or more, as was asked for; at {} it was granted for {}",
                    text(*ttl_requested),
                    stamp.at,
                    text(*ttl_granted)
                );
                findings.add(clarity(*ttl_requested - *ttl_granted), sentence, [stamp.sequence]);
                1
            }
            Edge::Point(Point::Truth(Truth::Put { key, lease, .. })) => {
                self.put(stamp, key, lease.as_deref(), findings).map_or(0, |()| 1)
            }
            _ => 0,
        }
    }

    fn put(&mut self, stamp: Stamp, key: &str, lease: Option<&str>, findings: &mut Findings) -> Option<()> {
        let node = self.membership.owner(key)?;
        let asked = self.asked.get(node)?;
        let ttl = asked.ttl?;
        let (off_by, happened, proof) = match lease {
            // Nothing is longer too late than what never ends.
            None => (Duration::MAX, "without any lease, and never expires".to_owned(), None),
            Some(lease) => {
                let (granted, at) = *self.granted.get(lease)?;
                let short = ttl.checked_sub(granted).filter(|short| !short.is_zero())?;
                (short, format!("on lease {lease}, which was granted for {}", text(granted)), Some(at.sequence))
            }
        };
        self.told.insert(node).then(|| {
            let sentence = format!(
                "node {node} was to be registered for {} from {} on; at {} it was put {happened}",
                text(ttl),
                asked.first.at,
                stamp.at
            );
            findings.add(clarity(off_by), sentence, [asked.first.sequence, stamp.sequence].into_iter().chain(proof));
        })
    }
}
