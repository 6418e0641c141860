//! `views_converge`: some time after the heal every host sees what is truly registered. What changed so recently that a
//! host may not know it yet is left out.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Edge, History, Moment, Point};

use super::findings::{Findings, clarity, text};
use super::membership::{Member, Membership};
use super::operations::Stamp;
use super::{Facts, Judgement, Oracle};

/// The oracle. It judges every view that was asked for late enough.
#[derive(Debug)]
pub(super) struct ViewsConverge;

/// How one host's views of one service were wrong.
struct Wrong<'a> {
    first: Stamp,
    last: Stamp,
    missing: Vec<&'a str>,
    surplus: Vec<&'a str>,
}

impl Oracle for ViewsConverge {
    fn name(&self) -> &'static str {
        "views_converge"
    }

    fn judge(&self, history: &History, facts: &Facts) -> Option<Judgement> {
        let within = facts.scenario.expect.views_converge?.within;
        let healed = facts.phase("settle").map_or(facts.end, |phase| phase.start);
        let membership = Membership::of(history);
        let mut members = BTreeMap::<&str, Vec<(&str, &Member<'_>)>>::new();
        for (id, member) in membership.iter() {
            members.entry(member.service).or_default().push((id, member));
        }
        let (mut judged, mut wrong) = (0, BTreeMap::<(&str, &str), Wrong<'_>>::new());
        for event in &history.events {
            let Edge::Point(Point::View { service, nodes }) = &*event.edge else { continue };
            if !membership.told || event.at <= healed + within {
                continue;
            }
            judged += 1;
            // A change exactly `within` ago may arrive in this very moment.
            let known_since = Moment((event.at.0).saturating_sub(Moment::after(within).0 + 1));
            let view: BTreeSet<&str> = nodes.iter().map(String::as_str).collect();
            let of_service = members.get(service.as_str()).map_or(&[][..], Vec::as_slice);
            let missing: Vec<&str> = of_service
                .iter()
                .filter(|(id, member)| !view.contains(id) && member.present_throughout(known_since, event.at))
                .map(|(id, _)| *id)
                .collect();
            let known =
                |id: &&str| membership.get(id).is_none_or(|member| member.absent_throughout(known_since, event.at));
            let surplus: Vec<&str> = view.iter().copied().filter(known).collect();
            if missing.is_empty() && surplus.is_empty() {
                continue;
            }
            let stamp = Stamp::of(event);
            let first = wrong.get(&(&*event.host, service.as_str())).map_or(stamp, |wrong| wrong.first);
            wrong.insert((&event.host, service), Wrong { first, last: stamp, missing, surplus });
        }
        let mut findings = Findings::default();
        for ((host, service), wrong) in wrong {
            let mut differences = Vec::new();
            if !wrong.missing.is_empty() {
                differences.push(format!("it lacked {}", wrong.missing.join(", ")));
            }
            if !wrong.surplus.is_empty() {
                differences.push(format!("it had {}, not registered any more", wrong.surplus.join(", ")));
            }
            let truths = wrong.missing.iter().chain(&wrong.surplus).take(3).filter_map(|id| {
                let changes = &membership.get(id)?.changes;
                Some(
                    changes[..changes.partition_point(|change| change.stamp.at <= wrong.last.at)]
                        .last()?
                        .stamp
                        .sequence,
                )
            });
            findings.add(
                clarity(wrong.last.at.since(healed)),
                format!(
                    "{host}'s view of {service} should have been the true one from {} on, {} after the heal; at {} {}",
                    healed + within,
                    text(within),
                    wrong.last.at,
                    differences.join(" and ")
                ),
                truths.chain([wrong.first.sequence, wrong.last.sequence]),
            );
        }
        Some(findings.judgement(self.name(), judged))
    }
}
