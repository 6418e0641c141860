//! What a file says of backends: kinds that it has, and clusters that there can be.

use super::{Checker, mend};
use crate::backend::CLUSTERED;

/// An even number tolerates no more losses than the odd one below it, and more than this are no test but a load.
const SIZES: [u32; 3] = [1, 3, 5];

impl Checker<'_> {
    pub(super) fn backends(&mut self) {
        let scenario = self.scenario;
        for (kind, shape) in &scenario.backends {
            let path = format!("backends.{kind}");
            let place = self.key(&path);
            if !self.backends.contains(kind.as_str()) {
                let (message, mend) = if self.known_backends().contains(kind.as_str()) {
                    let mend = format!("choose a plugin that needs it, as in 'registry: {kind}'");
                    (format!("no plugin of this scenario needs the backend '{kind}'"), Some(mend))
                } else {
                    (format!("no backend is called '{kind}'"), mend(kind, self.backends.iter().copied()))
                };
                self.problems.error(&place, message, mend);
            } else if !SIZES.contains(&shape.members) {
                let message = format!("a cluster of {} members", shape.members);
                self.error(&format!("{path}.members"), message, "write 1, 3 or 5".to_owned());
            } else if shape.members > 1 && !CLUSTERED.contains(&kind.as_str()) {
                let message = format!("'{kind}' has no clusters in the simulator");
                self.error(&format!("{path}.members"), message, "leave it out".to_owned());
            }
        }
    }

    /// How many members of a backend a word means.
    pub(super) fn backend_members(&self, word: &str) -> Option<u64> {
        let size = |kind: &str| self.backends.contains(kind).then(|| self.scenario.members_of(kind));
        if let Some(members) = size(word) {
            return Some(u64::from(members));
        }
        let (kind, number) = word.rsplit_once('-')?;
        let member: u32 = number.parse().ok()?;
        let members = size(kind).filter(|members| *members > 1)?;
        ((1..=members).contains(&member) && !number.starts_with(['0', '+'])).then_some(1)
    }

    /// Whether a word means a backend of several members, or one of these.
    pub(super) fn is_clustered(&self, word: &str) -> bool {
        let kind =
            if self.backends.contains(word) { word } else { word.rsplit_once('-').map_or(word, |(kind, _)| kind) };
        self.backends.contains(kind) && self.scenario.members_of(kind) > 1
    }
}
