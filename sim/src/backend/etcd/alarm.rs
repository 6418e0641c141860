//! The alarms of the simulated etcd, and what each forbids. It knows neither why one was raised nor how much room there is.

use std::collections::BTreeSet;
use std::time::Duration;

use shaketable_proto::etcd::v3::rpc::{
    AlarmMember, AlarmRequest, AlarmResponse, AlarmType, alarm_request::AlarmAction,
};

use super::Etcd;
use super::refusal::Refusal;

/// The alarms that are raised, and the last of them that decides.
#[derive(Clone, Debug, Default)]
pub(super) struct Alarms {
    raised: BTreeSet<(i32, u64)>,
    applier: Applier,
}

/// What etcd applies changes with. There is one at a time: the alarm that was raised last replaces it, and disarming any alarm
/// puts the usual one back, even while another alarm is raised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Applier {
    #[default]
    Usual,
    /// Refuses what needs room.
    Capped,
    /// Refuses every change.
    Corrupt,
}

/// What a change needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    Room,
    Nothing,
}

impl Alarms {
    fn of(&self, alarm: i32) -> impl Iterator<Item = AlarmMember> {
        self.raised
            .iter()
            .filter(move |(raised, _)| alarm == AlarmType::None as i32 || *raised == alarm)
            .map(|(alarm, member_id)| AlarmMember { member_id: *member_id, alarm: *alarm })
    }

    fn raise(&mut self, alarm: i32, member: u64) {
        let first = !self.raised.iter().any(|(raised, _)| *raised == alarm);
        self.raised.insert((alarm, member));
        match AlarmType::try_from(alarm) {
            Ok(AlarmType::Nospace) if first => self.applier = Applier::Capped,
            Ok(AlarmType::Corrupt) if first => self.applier = Applier::Corrupt,
            _ => {}
        }
    }

    /// Says whether there was such an alarm.
    fn disarm(&mut self, alarm: i32, member: u64) -> bool {
        let found = self.raised.remove(&(alarm, member));
        if found && !self.raised.iter().any(|(raised, _)| *raised == alarm) && alarm != AlarmType::None as i32 {
            self.applier = Applier::Usual;
        }
        found
    }
}

impl Etcd {
    /// Tells, raises or disarms alarms. The answer has no header, as etcd's has none.
    ///
    /// # Errors
    /// [`Refusal::TooManyRequests`]: even the question goes through raft.
    pub fn alarm(&mut self, now: Duration, request: AlarmRequest) -> Result<AlarmResponse, Refusal> {
        self.advance(now);
        self.propose(&request)?;
        let AlarmRequest { action, member_id, alarm } = request;
        let alarms = match AlarmAction::try_from(action) {
            Ok(AlarmAction::Get) => self.alarms.of(alarm).collect(),
            Ok(AlarmAction::Activate) => {
                self.alarms.raise(alarm, member_id);
                vec![AlarmMember { member_id, alarm }]
            }
            Ok(AlarmAction::Deactivate) if self.alarms.disarm(alarm, member_id) => {
                vec![AlarmMember { member_id, alarm }]
            }
            Ok(AlarmAction::Deactivate) | Err(_) => Vec::new(),
        };
        Ok(AlarmResponse { header: None, alarms })
    }

    /// The alarms that are raised, without any request being made.
    pub fn alarms(&self) -> Vec<AlarmMember> {
        self.alarms.of(AlarmType::None as i32).collect()
    }

    /// Raises the alarm that there is no room.
    pub(super) fn raise_no_space(&mut self) {
        // Where raft takes nothing, etcd goes without.
        if self.propose(&AlarmRequest::default()).is_ok() {
            self.alarms.raise(AlarmType::Nospace as i32, self.proposer());
        }
    }

    /// Disarms it.
    pub(super) fn disarm_no_space(&mut self) {
        self.alarms.disarm(AlarmType::Nospace as i32, self.config.member_id);
    }

    /// Whether alarms allow a change.
    pub(super) fn check_alarms(&self, needs: Needs) -> Result<(), Refusal> {
        match (self.alarms.applier, needs) {
            (Applier::Corrupt, _) => Err(Refusal::Corrupt),
            (Applier::Capped, Needs::Room) => Err(Refusal::NoSpace),
            (Applier::Capped | Applier::Usual, _) => Ok(()),
        }
    }
}
