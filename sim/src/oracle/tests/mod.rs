//! Every oracle before histories written by hand: faulty ones that trip it, legal ones that look suspicious and pass, and those
//! that lie exactly on the bound.

mod answers_match;
mod calls;
mod delivery;
mod fail_stop;
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
fn oracles_come_in_the_order_in_which_expectations_are_documented() {
    let documented: Vec<&str> = include_str!("../../../../docs/write-a-scenario.md")
        .lines()
        .skip_while(|line| !line.starts_with("| expectation |"))
        .filter_map(|line| line.strip_prefix("| `")?.split([':', '`']).next())
        .collect();
    let names: Vec<&str> = all().iter().map(|oracle| oracle.name()).collect();
    assert_eq!(names, documented);
}
