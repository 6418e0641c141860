//! The way of every change into the log: what is too big, or comes while etcd takes no more, is refused there. It knows nothing
//! of what a change is.

use prost::Message;

use super::Etcd;
use super::refusal::Refusal;

/// Which changes are refused because etcd has not applied those before them yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Throttle {
    /// None.
    #[default]
    Off,
    /// So many of the next ones.
    Next(u64),
    /// All.
    All,
}

impl Etcd {
    /// The fault of a server that falls behind: what would change something is refused with `etcdserver: too many requests`.
    /// Reads and renewals of leases are not.
    pub fn set_throttle(&mut self, throttle: Throttle) {
        self.throttle = match throttle {
            Throttle::Next(0) => Throttle::Off,
            throttle => throttle,
        };
    }

    /// What is refused at present.
    pub fn throttle(&self) -> Throttle {
        self.throttle
    }

    /// How many entries the log has.
    pub fn raft_index(&self) -> u64 {
        self.raft_index
    }

    /// Puts a request into the log.
    pub(super) fn propose(&mut self, request: &impl Message) -> Result<(), Refusal> {
        if self.throttle != Throttle::Off {
            if let Throttle::Next(left) = self.throttle {
                self.set_throttle(Throttle::Next(left - 1));
            }
            return Err(Refusal::TooManyRequests);
        }
        if request.encoded_len() > self.config.request_bytes_max {
            return Err(Refusal::RequestTooLarge);
        }
        self.raft_index += 1;
        Ok(())
    }
}
