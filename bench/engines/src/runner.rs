//! A contender on a thread of its own, as a sweep gives each seed one: what one contender leaves in thread-locals (dates, keys
//! of hash maps, interposed clocks) meets no other. Time is the CPU time of that thread, so that neighbours on the machine
//! disturb less.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use shaketable_bench_room::thread_cpu_time as cpu_time;

use crate::contender::Contender;
use crate::load::{Load, WARM_UP};

/// What a span of simulated time took.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// CPU time.
    pub cpu: Duration,
    /// Calls that ended.
    pub calls: u64,
}

/// A contender that is warm and waits to be told to go on.
#[derive(Debug)]
pub struct Runner {
    load: Load,
    spans: Option<Sender<Duration>>,
    measurements: Receiver<Measured>,
    thread: Option<JoinHandle<()>>,
}

impl Runner {
    /// Makes a contender under `load` and warms it up.
    pub fn new<C: Contender>(load: Load) -> Self {
        let (spans, wanted) = channel();
        let (results, measurements) = channel();
        let run = move || {
            let mut contender = C::new(load);
            contender.advance(WARM_UP);
            while let Ok(span) = wanted.recv() {
                if results.send(measured_over(&mut contender, span)).is_err() {
                    return;
                }
            }
        };
        let thread = Builder::new().name("contender".to_owned()).spawn(run).expect("a thread can be started");
        Self { load, spans: Some(spans), measurements, thread: Some(thread) }
    }

    /// Lets `span` of simulated time pass.
    ///
    /// # Panics
    /// When the contender broke, or made another number of calls than its load wants.
    pub fn advance(&self, span: Duration) -> Measured {
        self.spans.as_ref().and_then(|spans| spans.send(span).ok()).expect("the contender runs");
        let measured = self.measurements.recv().expect("the contender did not break");
        self.load.check(span, measured.calls);
        measured
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.spans = None;
        if let Some(thread) = self.thread.take() {
            // A contender that broke has told so when it was asked to go on.
            let _ = thread.join();
        }
    }
}

fn measured_over(contender: &mut impl Contender, span: Duration) -> Measured {
    let (began, before) = (cpu_time(), contender.calls());
    contender.advance(span);
    Measured { cpu: cpu_time() - began, calls: contender.calls() - before }
}

/// Makes a contender on a new thread, lets `span` pass, and drops it: what a seed costs.
///
/// # Panics
/// When the contender broke, or made another number of calls than its load wants.
pub fn measured<C: Contender>(load: Load, span: Duration) -> Measured {
    let run = move || {
        let began = cpu_time();
        let mut contender = C::new(load);
        contender.advance(span);
        let calls = contender.calls();
        drop(contender);
        Measured { cpu: cpu_time() - began, calls }
    };
    let thread = Builder::new().name("seed".to_owned()).spawn(run).expect("a thread can be started");
    let measured = thread.join().expect("the contender did not break");
    load.check(span, measured.calls);
    measured
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Runner, measured};
    use crate::{Contender, Event, Load, Memory, Turmoil, TurmoilNet};

    /// Calls of three hosts in a second; `advance` holds them against the load as well.
    fn calls<C: Contender>(think_ms: u64) -> u64 {
        Runner::new::<C>(Load::new(3, Duration::from_millis(think_ms))).advance(Duration::from_secs(1)).calls
    }

    #[test]
    fn every_contender_makes_the_same_load() {
        for think_ms in [0, 48] {
            let wanted = 3_000 / (think_ms + 2);
            let made = [calls::<Event>(think_ms), calls::<Turmoil>(think_ms), calls::<TurmoilNet>(think_ms)];
            assert!(made.iter().all(|calls| calls.abs_diff(wanted) <= 3), "{made:?} of {wanted}");
        }
        assert_eq!(calls::<Memory>(0), 1_500);
    }

    #[test]
    fn a_seed_is_made_run_and_dropped() {
        let measured = measured::<Event>(Load::new(3, Duration::from_millis(98)), Duration::from_secs(5));
        assert!(measured.calls > 100 && !measured.cpu.is_zero());
    }
}
