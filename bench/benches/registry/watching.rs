//! Watchers that hear of a registration, and how long that takes; the same for every contender. It knows no registry.

use std::cell::Cell;
use std::time::Duration;

use shaketable_bench_room::{Spent, spent};
use shaketable_stack::env::Env;
use tokio::sync::Notify;

/// How long watchers may take to hear of a registration.
const HEAR_WITHIN: Duration = Duration::from_secs(10);

/// Who has heard of the newest round.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    round: Cell<u64>,
    watchers: Cell<usize>,
    one_more: Notify,
}

impl Heard {
    /// A watcher has heard of `round`.
    pub(crate) fn hear(&self, round: Option<u64>) {
        if round == Some(self.round.get()) {
            self.watchers.set(self.watchers.get() + 1);
            self.one_more.notify_one();
        }
    }

    /// Registers what is new in the next round, and waits until all of `watchers` have heard.
    pub(crate) async fn next_round(&self, env: &Env, watchers: usize, register: impl AsyncFnOnce(u64)) {
        self.round.set(self.round.get() + 1);
        self.watchers.set(0);
        register(self.round.get()).await;
        let all = async {
            while self.watchers.get() < watchers {
                self.one_more.notified().await;
            }
        };
        env.timeout(HEAR_WITHIN, all).await.expect("every watcher hears of it");
    }
}

/// Makes so many rounds and says what they took; with `worst` as if each had taken as long as one of a hundred takes.
pub(crate) fn rounds(times: u64, worst: bool, mut round: impl FnMut()) -> Spent {
    let mut each: Vec<Spent> = (0..times).map(|_| spent(&mut round)).collect();
    if worst {
        each.sort_by_key(|spent| spent.wall);
        let worst = each[(each.len() * 99 - 1) / 100];
        let all = u32::try_from(times).expect("rounds are few");
        return Spent { wall: worst.wall * all, cpu: worst.cpu * all };
    }
    let sum = |part: fn(&Spent) -> Duration| each.iter().map(part).sum();
    Spent { wall: sum(|spent| spent.wall), cpu: sum(|spent| spent.cpu) }
}
