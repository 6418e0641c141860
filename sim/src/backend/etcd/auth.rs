//! Users and roles: there are none, and authentication is off. What etcd answers then is answered; what would make a user or a
//! role is refused in a sentence of our own.

use std::time::Duration;

use shaketable_proto::etcd::v3::rpc::{AlarmRequest, ResponseHeader};

use super::Etcd;
use super::refusal::Refusal;

/// Why there is no user.
pub(super) const NO_USERS: &str =
    "the simulated etcd has no users and asks nobody who they are; use a real etcd to test that";

/// Why there is no role.
pub(super) const NO_ROLES: &str =
    "the simulated etcd has no roles and allows everybody everything; use a real etcd to test that";

impl Etcd {
    /// Takes a request about users or roles, all of which go through raft, and answers its header.
    ///
    /// # Errors
    /// [`Refusal::TooManyRequests`].
    pub fn auth(&mut self, now: Duration) -> Result<ResponseHeader, Refusal> {
        self.advance(now);
        self.propose(&AlarmRequest::default())?;
        Ok(self.header())
    }

    /// Takes such a request and refuses it.
    pub fn refuse_auth(&mut self, now: Duration, refusal: Refusal) -> Refusal {
        self.auth(now).err().unwrap_or(refusal)
    }
}
