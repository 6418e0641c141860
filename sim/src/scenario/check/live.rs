//! What a file says of live runs: expectations that it has, with reasons that can be read.

use std::time::Duration;

use super::{Checker, mend, shown};
use crate::scenario::model::Expect;

/// What forgives more forgives everything.
const SLACK_MAX: Duration = Duration::from_secs(60);

impl Checker<'_> {
    pub(super) fn live(&mut self) {
        let live = &self.scenario.live;
        if live.slack > SLACK_MAX {
            let message = format!("a slack of {} forgives everything", shown(live.slack));
            self.error("live.slack", message, format!("at most {}", shown(SLACK_MAX)));
        }
        let expected = self.scenario.expect.names();
        for (name, reason) in &live.leave_out {
            let path = format!("live.leave_out.{name}");
            let place = self.key(&path);
            if !expected.contains(&name.as_str()) {
                let message = format!("nothing called '{name}' is expected, so it cannot be left out");
                self.problems.error(&place, message, mend(name, expected.iter().copied()));
            } else if reason.trim().is_empty() {
                let mend = "say why it does not apply, for those who read the result".to_owned();
                self.problems.error(&place, format!("'{name}' is left out without a reason"), mend);
            }
        }
        if self.scenario.expect != Expect::default() && expected.iter().all(|name| live.leave_out.contains_key(*name)) {
            let mend = "leave something to be judged, or write 'never_because'".to_owned();
            self.error("live.leave_out", "every expectation is left out, so nothing can break", mend);
        }
        if live.never_because.as_ref().is_some_and(|because| because.trim().is_empty()) {
            let mend = "say what real machines cannot do, for those who read that the file is left out".to_owned();
            self.error("live.never_because", "left out without a reason", mend);
        }
    }

    /// Whether the file is left out of what it is checked for.
    pub(super) fn never_runs(&self) -> bool {
        self.engine.is_live && self.scenario.live.never_because.is_some()
    }
}
