//! Every oracle before histories written by hand: faulty ones that trip it, legal ones that look suspicious and pass, and those
//! that lie exactly on the bound.

mod calls;
mod delivery;
mod lease_expiry;
mod no_stale_calls;
mod nothing_hangs;
mod registration_visible;
mod selector_fairness;
mod views_converge;
mod watch_order;

use crate::history::History;
use crate::scenario::model::Expect;

use super::all;
use super::testing::Story;

#[test]
fn no_oracle_judges_what_no_scenario_asks_for() {
    let story = Story::new(Expect::default());
    assert!(all().iter().all(|oracle| oracle.judge(&History::default(), &story.facts).is_none()));
}

#[test]
fn oracles_are_named_as_the_expectations_in_a_scenario_file() {
    let names: Vec<&str> = all().iter().map(|oracle| oracle.name()).collect();
    let expected = [
        "registration_visible",
        "no_stale_calls",
        "lease_expiry",
        "watch_order",
        "views_converge",
        "selector_fairness",
        "delivery",
        "success_rate",
        "latency",
        "nothing_hangs",
    ];
    assert_eq!(names, expected);
}
