//! What each toxic does to a chain, in times that nobody has to wait for.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{BYTES_MAX, Chain, Next, Origin, PIECE_BYTES_MAX, PIECES_MAX, Placed};
use crate::toxic::Direction;
use crate::toxic::effect::{Ending, What};

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn origin(connection: u64) -> Origin {
    Origin { seed: 7, proxy: "proxy".into(), connection, direction: Direction::Downstream }
}

/// The toxics of a way, the first of which is the oldest.
fn placed(toxics: &[&str]) -> Vec<Arc<Placed>> {
    let placed = toxics.iter().zip(1..).map(|(toxic, id)| Placed { id, revision: 1, toxic: toxic.parse().unwrap() });
    placed.map(Arc::new).collect()
}

fn chain(toxics: &[&str]) -> Chain {
    let mut chain = Chain::new(origin(0));
    chain.set(&placed(toxics), Duration::ZERO);
    chain
}

fn says(chain: &mut Chain, text: &'static str, now: Duration) {
    chain.arrives(What::Bytes(Bytes::from_static(text.as_bytes())), now);
}

fn ends(chain: &mut Chain, now: Duration) {
    chain.arrives(What::End(Ending::Over), now);
}

fn leaves(text: &'static str) -> Next {
    Next::Leaves(Bytes::from_static(text.as_bytes()))
}

/// All that comes out of it, with the times, if nothing arrives any more.
fn all(chain: &mut Chain, mut now: Duration) -> Vec<(Duration, Bytes)> {
    let mut all = Vec::new();
    loop {
        match chain.next(now) {
            Next::Leaves(bytes) => all.push((now, bytes)),
            Next::Later(due) => {
                assert!(due > now, "it waits for what has been");
                now = due;
            }
            Next::Ends(_) | Next::Nothing => return all,
        }
    }
}

#[test]
fn without_a_toxic_everything_passes_at_once_and_in_order() {
    let mut chain = chain(&[]);
    says(&mut chain, "one", ms(0));
    says(&mut chain, "two", ms(0));
    ends(&mut chain, ms(0));
    assert_eq!(chain.next(ms(0)), leaves("one"));
    assert_eq!(chain.next(ms(0)), leaves("two"));
    assert_eq!(chain.next(ms(0)), Next::Ends(Ending::Over));
    assert_eq!(chain.next(ms(0)), Next::Nothing);
}

#[test]
fn a_toxic_of_the_other_direction_does_nothing() {
    let mut chain = chain(&["timeout:upstream"]);
    says(&mut chain, "one", ms(0));
    assert_eq!(chain.next(ms(0)), leaves("one"));
}

#[test]
fn latency_delivers_each_piece_later_and_many_are_under_way_at_a_time() {
    let mut chain = chain(&["latency:latency=100"]);
    says(&mut chain, "one", ms(0));
    assert_eq!(chain.next(ms(0)), Next::Later(ms(100)));
    says(&mut chain, "two", ms(60));
    assert_eq!(chain.next(ms(99)), Next::Later(ms(100)));
    assert_eq!(chain.next(ms(100)), leaves("one"));
    assert_eq!(chain.next(ms(100)), Next::Later(ms(160)));
    assert_eq!(chain.next(ms(170)), leaves("two"));
    assert!(chain.has_room(Duration::ZERO));
}

#[test]
fn latencies_add_up() {
    let mut chain = chain(&["latency:latency=100", "latency:latency=50,name=more"]);
    says(&mut chain, "one", ms(0));
    // Both are late to look, and the sum is the same.
    assert_eq!(chain.next(ms(120)), Next::Later(ms(150)));
    assert_eq!(chain.next(ms(150)), leaves("one"));
}

#[test]
fn jitter_spreads_around_the_latency_and_nothing_overtakes() {
    let mut chain = chain(&["latency:latency=100,jitter=80"]);
    let mut dues = Vec::new();
    for _ in 0..200 {
        let begun = ms(1_000 * dues.len() as u64);
        says(&mut chain, "x", begun);
        let Next::Later(due) = chain.next(begun) else { panic!("it does not wait") };
        assert_eq!(chain.next(due), leaves("x"));
        dues.push(due - begun);
    }
    let (least, most) = (dues.iter().min().unwrap(), dues.iter().max().unwrap());
    assert!((ms(20)..ms(40)).contains(least) && (ms(160)..=ms(180)).contains(most), "{least:?} {most:?}");
    let mut chain = self::chain(&["latency:latency=100,jitter=80"]);
    for text in ["1", "2", "3", "4", "5", "6", "7", "8"] {
        says(&mut chain, text, ms(0));
    }
    assert_eq!(all(&mut chain, ms(0)).into_iter().flat_map(|(_, bytes)| bytes).collect::<Vec<u8>>(), b"12345678");
}

#[test]
fn bandwidth_lets_so_many_bytes_through_and_the_sender_waits() {
    let mut chain = chain(&["bandwidth:rate=10"]);
    chain.arrives(What::Bytes(vec![0; 2_500].into()), ms(0));
    let times = all(&mut chain, ms(0));
    let lengths: Vec<_> = times.iter().map(|(at, bytes)| (at.as_millis(), bytes.len())).collect();
    assert_eq!(lengths, [(100, 1_000), (200, 1_000), (250, 500)]);
    // Time in which nobody sends cannot be used later.
    chain.arrives(What::Bytes(vec![0; 1_000].into()), ms(5_000));
    assert_eq!(chain.next(ms(5_000)), Next::Later(ms(5_100)));
    for _ in 0..8 {
        chain.arrives(What::Bytes(vec![0; PIECE_BYTES_MAX].into()), ms(5_000));
    }
    chain.next(ms(5_000));
    assert!(!chain.has_room(Duration::ZERO));
}

#[test]
fn a_bandwidth_of_nothing_lets_nothing_through_until_it_is_changed() {
    let mut chain = chain(&["bandwidth:rate=0"]);
    says(&mut chain, "one", ms(0));
    assert_eq!(chain.next(ms(10_000)), Next::Nothing);
    let wider = Placed { id: 1, revision: 2, toxic: "bandwidth:rate=1000".parse().unwrap() };
    chain.set(&[Arc::new(wider)], ms(10_000));
    assert_eq!(all(&mut chain, ms(10_000)).len(), 1);
}

#[test]
fn slow_close_delays_the_end_alone() {
    let mut chain = chain(&["slow_close:delay=300"]);
    says(&mut chain, "one", ms(0));
    ends(&mut chain, ms(50));
    assert_eq!(chain.next(ms(50)), leaves("one"));
    assert_eq!(chain.next(ms(50)), Next::Later(ms(350)));
    assert_eq!(chain.next(ms(350)), Next::Ends(Ending::Over));
}

#[test]
fn timeout_loses_everything_and_closes_after_silence() {
    let mut chain = chain(&["timeout:timeout=200"]);
    assert_eq!(chain.next(ms(0)), Next::Later(ms(200)));
    says(&mut chain, "one", ms(150));
    assert_eq!(chain.next(ms(150)), Next::Later(ms(350)));
    assert_eq!(chain.next(ms(350)), Next::Ends(Ending::Closed));
    let mut open = self::chain(&["timeout"]);
    says(&mut open, "one", ms(0));
    assert_eq!(open.next(ms(1_000_000)), Next::Nothing);
    ends(&mut open, ms(1_000_000));
    assert_eq!(open.next(ms(1_000_000)), Next::Ends(Ending::Over));
}

#[test]
fn a_timeout_that_is_taken_away_closes_what_it_has_taken_from_and_nothing_else() {
    let toxics = placed(&["timeout:0.5"]);
    let (mut closed, mut open) = (0, 0);
    for connection in 0..100 {
        let mut chain = Chain::new(origin(connection));
        chain.set(&toxics, ms(0));
        says(&mut chain, "one", ms(0));
        let passes = chain.next(ms(0)) == leaves("one");
        chain.set(&[], ms(1));
        match chain.next(ms(1)) {
            Next::Ends(Ending::Closed) if !passes => closed += 1,
            Next::Nothing if passes => open += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(closed > 25 && open > 25, "{closed} {open}");
}

#[test]
fn reset_peer_resets_a_while_after_something_was_sent() {
    let mut chain = chain(&["reset_peer:timeout=100"]);
    assert_eq!(chain.next(ms(1_000)), Next::Nothing);
    says(&mut chain, "one", ms(1_000));
    assert_eq!(chain.next(ms(1_000)), Next::Later(ms(1_100)));
    assert_eq!(chain.next(ms(1_100)), Next::Ends(Ending::Reset));
}

#[test]
fn slicer_delivers_small_pieces_with_pauses_that_late_timers_do_not_lengthen() {
    let mut chain = chain(&["slicer:average_size=10,size_variation=3,delay=5ms"]);
    chain.arrives(What::Bytes(Bytes::from_iter(0..100)), ms(0));
    ends(&mut chain, ms(0));
    let times = all(&mut chain, ms(0));
    assert!(times.len() >= 8 && times.iter().all(|(_, bytes)| bytes.len() <= 13), "{times:?}");
    assert_eq!(times.last().unwrap().0, ms(5 * (times.len() as u64 - 1)));
    assert_eq!(times.into_iter().flat_map(|(_, bytes)| bytes).collect::<Vec<u8>>(), (0..100).collect::<Vec<u8>>());
    let mut late = self::chain(&["slicer:average_size=1,delay=5ms"]);
    says(&mut late, "abcd", ms(0));
    assert_eq!(late.next(ms(0)), leaves("a"));
    assert_eq!(late.next(ms(0)), Next::Later(ms(5)));
    assert_eq!(late.next(ms(12)), leaves("b"));
    assert_eq!(late.next(ms(12)), leaves("c"));
    assert_eq!(late.next(ms(12)), Next::Later(ms(15)));
}

#[test]
fn limit_data_closes_after_so_many_bytes_also_when_the_limit_is_changed() {
    let mut chain = chain(&["limit_data:bytes=5"]);
    says(&mut chain, "abc", ms(0));
    assert_eq!(chain.next(ms(0)), leaves("abc"));
    assert_eq!(chain.next(ms(0)), Next::Nothing);
    let other = Placed { id: 1, revision: 2, toxic: "limit_data:bytes=4".parse().unwrap() };
    chain.set(&[Arc::new(other)], ms(0));
    says(&mut chain, "def", ms(0));
    assert_eq!(chain.next(ms(0)), leaves("d"));
    assert_eq!(chain.next(ms(0)), Next::Ends(Ending::Closed));
    let mut nothing = self::chain(&["limit_data"]);
    assert_eq!(nothing.next(ms(0)), Next::Nothing);
    says(&mut nothing, "abc", ms(0));
    assert_eq!(nothing.next(ms(0)), Next::Ends(Ending::Closed));
}

#[test]
fn a_toxic_that_comes_acts_on_what_comes_and_one_that_goes_lets_go_of_what_it_holds() {
    let mut chain = chain(&[]);
    says(&mut chain, "one", ms(0));
    assert_eq!(chain.next(ms(0)), leaves("one"));
    let [slow, sliced] = &placed(&["latency:latency=100", "slicer:average_size=1"])[..] else { panic!("two") };
    chain.set(&[slow.clone(), sliced.clone()], ms(10));
    says(&mut chain, "two", ms(10));
    says(&mut chain, "three", ms(10));
    assert_eq!(chain.next(ms(10)), Next::Later(ms(110)));
    chain.set(std::slice::from_ref(sliced), ms(20));
    assert_eq!(all(&mut chain, ms(20)).len(), 8);
    says(&mut chain, "four", ms(30));
    assert_eq!(chain.next(ms(30)), leaves("f"));
    chain.set(&[], ms(30));
    assert_eq!(chain.next(ms(30)), leaves("our"));
}

#[test]
fn a_changed_latency_holds_for_what_is_under_way() {
    let mut chain = chain(&["latency:latency=1000"]);
    says(&mut chain, "one", ms(0));
    assert_eq!(chain.next(ms(0)), Next::Later(ms(1_000)));
    let shorter = Placed { id: 1, revision: 2, toxic: "latency:latency=50".parse().unwrap() };
    chain.set(&[Arc::new(shorter)], ms(10));
    assert_eq!(chain.next(ms(10)), Next::Later(ms(50)));
}

#[test]
fn the_seed_decides_which_connections_a_toxic_acts_on_and_a_larger_share_keeps_them() {
    let hit = |seed: u64, toxicity: &str| {
        let toxics = placed(&[&format!("timeout:{toxicity}")]);
        let is_hit = |connection: u64| {
            let mut chain = Chain::new(Origin { seed, ..origin(connection) });
            chain.set(&toxics, ms(0));
            says(&mut chain, "one", ms(0));
            chain.next(ms(0)) == Next::Nothing
        };
        (0..400).filter(|connection| is_hit(*connection)).collect::<Vec<_>>()
    };
    let (some, more) = (hit(7, "0.3"), hit(7, "0.6"));
    assert!((80..160).contains(&some.len()), "{}", some.len());
    assert_eq!(some, hit(7, "0.3"));
    assert_ne!(some, hit(8, "0.3"));
    assert!(some.iter().all(|connection| more.contains(connection)) && more.len() > 180);
    assert_eq!((hit(7, "0").len(), hit(7, "1").len()), (0, 400));
}

#[test]
fn what_is_under_way_is_bounded() {
    let mut chain = chain(&["latency:latency=1000000"]);
    let mut pushed = 0;
    while chain.has_room(Duration::ZERO) {
        chain.arrives(What::Bytes(vec![0; PIECE_BYTES_MAX].into()), ms(0));
        chain.next(ms(0));
        pushed += PIECE_BYTES_MAX;
        assert!(pushed <= 2 * BYTES_MAX, "nothing bounds it");
    }
    assert!((BYTES_MAX..=BYTES_MAX + PIECE_BYTES_MAX).contains(&pushed), "{pushed}");
    let (mut small, mut pieces) = (self::chain(&["latency:latency=1000000"]), 0);
    while small.has_room(Duration::ZERO) {
        says(&mut small, "x", ms(0));
        small.next(ms(0));
        pieces += 1;
        assert!(pieces <= PIECES_MAX + PIECE_BYTES_MAX, "nothing bounds it");
    }
    assert!((PIECES_MAX..=PIECES_MAX + PIECE_BYTES_MAX).contains(&pieces), "{pieces}");
}
