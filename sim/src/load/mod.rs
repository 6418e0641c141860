//! What hosts do in a run: serve probes, call, publish, subscribe, watch, and change the membership when they are told. It
//! reaches the stack through its interfaces alone.

mod calls;
mod events;
mod host;
pub(crate) mod http;
mod own;
mod probe;
mod watch;

pub use host::{Command, HostControl, HostPlan, Timing, program};
pub use own::own_program;
