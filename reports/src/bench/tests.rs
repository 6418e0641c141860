//! Figures that were made up for tests, from the type that benches keep to what people read.

use insta::assert_snapshot;

use super::compare::{Comparison, TOLERANCE, Verdict};
use super::contest::{Clock, Contender, Contest, Ground, Machine, Once, Role, Versions};
use super::published::Published;
use super::{json, markdown, render_comparison, render_figures, svg};
use crate::Palette;

fn ground() -> Ground {
    Ground {
        place: "core 1".to_owned(),
        kind: "in process".to_owned(),
        machine: Machine { processor: "Example 3000".to_owned(), cores: 2, kernel: "6.1.0".to_owned() },
        versions: Versions {
            shaketable: "0.1.0".to_owned(),
            rustc: "rustc 1.95.0".to_owned(),
            crates: [("prost".to_owned(), "0.14.4".to_owned())].into(),
        },
    }
}

/// 31 turns of `ns`, each off by up to `spread` as a share, in another order for each `salt`.
fn turns(ns: f64, spread: f64, salt: u64) -> Vec<f64> {
    // Any numbers do that have nothing to do with each other: the upper bits of a linear congruence (Knuth's MMIX).
    let mut state = salt;
    let mut off = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / f64::from(1 << 23) - 1.0
    };
    (0..31).map(|_| ns * (1.0 + spread * off())).collect()
}

/// A contest in which ours, two peers and a limit take so many nanoseconds.
fn contest(case: &str, [ours, quick, slow, copy]: [f64; 4], spread: f64) -> Contest {
    let contender = |(salt, (name, role, ns)): (u64, (&str, Role, f64))| Contender {
        name: name.to_owned(),
        role,
        wall_ns: turns(ns * 1.5, spread, salt),
        cpu_ns: turns(ns, spread, salt),
    };
    let all = [
        ("ours", Role::Ours, ours),
        ("quick & small", Role::Peer, quick),
        ("slow", Role::Peer, slow),
        ("copy", Role::Limit, copy),
    ];
    let contenders = (1..).zip(all).map(contender).collect();
    Contest::new(("work", case), ground(), Clock::Cpu, Once { amount: 100, unit: "B".to_owned() }, contenders)
}

fn published(ns: [f64; 4], spread: f64) -> Published {
    Published::of(&[contest("once", ns, spread)])
}

const USUAL: [f64; 4] = [300.0, 200.0, 600.0, 10.0];

/// The verdict over the only contest, and why.
fn judged(new: &Published, baseline: &Published) -> (Verdict, String) {
    let comparison = Comparison::of(new, baseline, TOLERANCE);
    assert_eq!(comparison.contests.len(), 1);
    (comparison.contests[0].verdict, comparison.contests[0].reasons.join("; "))
}

#[test]
fn the_same_figures_are_the_same() {
    let (verdict, why) = judged(&published(USUAL, 0.005), &published(USUAL, 0.005));
    assert_eq!((verdict, why.as_str()), (Verdict::Same, "no ratio has changed by 10 % or more"));
}

#[test]
fn a_machine_that_is_half_as_fast_is_no_change() {
    assert_eq!(judged(&published(USUAL.map(|ns| 2.0 * ns), 0.005), &published(USUAL, 0.005)).0, Verdict::Same);
}

#[test]
fn a_tenth_more_with_a_small_spread_is_worse_and_a_tenth_less_is_better() {
    let [ours, quick, slow, copy] = USUAL;
    let baseline = published(USUAL, 0.005);
    let (verdict, why) = judged(&published([ours * 1.1, quick, slow, copy], 0.005), &baseline);
    assert_eq!(verdict, Verdict::Worse);
    assert!(
        why.starts_with("ours takes 1.6")
            && why.contains("times as long as quick & small, and took 1.5")
            && why.contains("a factor of 1.09 to 1.1"),
        "{why}"
    );
    assert_eq!(judged(&published([ours / 1.1, quick, slow, copy], 0.005), &baseline).0, Verdict::Better);
}

#[test]
fn a_tenth_more_among_noise_passes_with_a_note() {
    let [ours, quick, slow, copy] = USUAL;
    let new = published([ours * 1.1, quick, slow, copy], 0.3);
    let (verdict, why) = judged(&new, &published(USUAL, 0.3));
    assert_eq!(verdict, Verdict::Noisy, "{why}");
    assert!(why.contains("changed by a factor of"), "{why}");
    let comparison = Comparison::of(&new, &published(USUAL, 0.3), TOLERANCE);
    assert!(!comparison.is_worse() && comparison.says_nothing());
}

#[test]
fn a_baseline_that_strayed_by_a_fifth_accuses_nobody_of_a_tenth() {
    let [ours, quick, slow, copy] = USUAL;
    let new = published([ours * 1.1, quick, slow, copy], 0.001);
    let mut old = published(USUAL, 0.001);
    for pair in &mut old.contests[0].ratios {
        pair.spread = 0.2;
    }
    assert_eq!(judged(&new, &old).0, Verdict::Noisy);
}

#[test]
fn a_peer_that_became_faster_makes_ours_no_slower() {
    let [ours, quick, slow, copy] = USUAL;
    let (verdict, why) = judged(&published([ours, quick / 1.3, slow, copy], 0.005), &published(USUAL, 0.005));
    assert_eq!(verdict, Verdict::Same);
    assert!(why.ends_with("it is the other one that has become faster"), "{why}");
}

#[test]
fn few_turns_and_other_ground_say_nothing() {
    let cut = |mut contest: Contest| {
        for contender in &mut contest.contenders {
            contender.wall_ns.truncate(8);
            contender.cpu_ns.truncate(8);
        }
        Published::of(&[contest])
    };
    let few = cut(contest("once", USUAL, 0.005));
    assert_eq!(judged(&few, &few).0, Verdict::Noisy);
    let mut elsewhere = published(USUAL, 0.005);
    elsewhere.grounds[0].machine.processor = "Example 4000".to_owned();
    let (verdict, why) = judged(&published(USUAL, 0.005), &elsewhere);
    assert_eq!(verdict, Verdict::Noisy);
    assert_eq!(why, "the baseline was got with another processor, Example 4000 instead of Example 3000");
}

#[test]
fn contests_come_and_go() {
    let one = |case| Published::of(&[contest(case, USUAL, 0.005)]);
    let comparison = Comparison::of(&one("twice"), &one("once"), TOLERANCE);
    let verdicts: Vec<_> = comparison.contests.iter().map(|judged| (judged.contest.as_str(), judged.verdict)).collect();
    assert_eq!(verdicts, [("work/once", Verdict::Gone), ("work/twice", Verdict::New)]);
    assert!(comparison.says_nothing() && !comparison.is_worse());
}

#[test]
fn what_is_written_can_be_read() {
    let contest = contest("once", USUAL, 0.1);
    assert_eq!(Contest::read(&contest.text().unwrap()).unwrap(), contest);
    let published = Published::of(&[contest]);
    assert_eq!(Published::read(&published.text().unwrap()).unwrap(), published);
}

#[test]
fn what_cannot_be_read_is_told_with_the_mend() {
    let text = contest("once", USUAL, 0.1).text().unwrap();
    for (wrong, told) in [
        (text[..text.len() / 2].to_owned(), "the text is cut off: "),
        ("contest".to_owned(), "it is no JSON: "),
        (
            text.replace("\"format\": 1", "\"format\": 7"),
            "its format is 7, and this program knows 1: a newer one wrote it",
        ),
        (text.replace("\"format\": 1,", ""), "it says no `format`"),
        (text.replace("\"format\": 1", "\"format\": \"one\""), "field `format` is no whole number"),
        (text.replace("\"cpu_ns\"", "\"gpu_ns\""), "unknown field `gpu_ns`"),
        (text.replace("\"role\": \"ours\"", "\"role\": \"peer\""), "there is none of ours beside another contender"),
    ] {
        let error = Contest::read(&wrong).unwrap_err();
        assert!(error.starts_with(told), "{error}");
    }
    let mut uneven = contest("once", USUAL, 0.1);
    uneven.contenders[1].cpu_ns.pop();
    let error = Contest::read(&uneven.text().unwrap()).unwrap_err();
    assert_eq!(error, "contender 'quick & small': cpu_ns has 30 turns where others have 31; run that bench again");
    let mut nothing = contest("once", USUAL, 0.1);
    nothing.contenders[0].wall_ns[3] = 0.0;
    assert!(Contest::read(&nothing.text().unwrap()).unwrap_err().contains("says 0 ns"));
    let mut baseline = published(USUAL, 0.1);
    baseline.contests[0].ground = 3;
    let error = Published::read(&baseline.text().unwrap()).unwrap_err();
    assert_eq!(
        error,
        "work/once names ground 3, which is not there; write it anew with `shaketable bench-report --write`"
    );
}

#[test]
fn a_page_has_machine_versions_and_a_table() {
    let mut here = contest("a | b", [100.0, 200.0, 300.0, 1.0], 0.0);
    here.ground.place = "cores 0, 1".to_owned();
    assert_snapshot!(markdown(&Published::of(&[contest("once", USUAL, 0.02), here]), "bench.svg"));
}

#[test]
fn a_terminal_shows_the_worst_last() {
    let [ours, quick, slow, copy] = USUAL;
    let new = [
        contest("once", [ours * 1.2, quick, slow, copy], 0.005),
        contest("twice", USUAL, 0.005),
        contest("more", USUAL, 0.005),
    ];
    let old = [contest("once", USUAL, 0.005), contest("twice", USUAL, 0.005), contest("less", USUAL, 0.005)];
    let (new, mut old) = (Published::of(&new), Published::of(&old));
    old.grounds[0].versions.crates.insert("prost".to_owned(), "0.13.0".to_owned());
    let comparison = Comparison::of(&new, &old, TOLERANCE);
    assert!(comparison.is_worse());
    assert_snapshot!(render_comparison(&comparison, Palette::PLAIN));
    assert_snapshot!(render_figures(&Published::of(&[contest("once", USUAL, 0.02)]), Palette::PLAIN));
    assert!(render_comparison(&comparison, Palette::COLOURED).contains("\u{1b}["));
    let told: serde_json::Value = serde_json::from_str(&json(&new, Some(&comparison)).unwrap()).unwrap();
    assert_eq!(told["comparison"]["worse"], true);
    assert_eq!(told["comparison"]["contests"][2]["verdict"], "worse");
    assert_eq!(told["figures"]["contests"].as_array().unwrap().len(), 3);
}

#[test]
fn a_chart_has_a_mark_for_each_ratio() {
    let chart = svg(&Published::of(&[contest("once", USUAL, 0.02), contest("twice", USUAL, 0.02)])).unwrap();
    assert!(chart.starts_with("<svg ") && chart.ends_with("</svg>\n"));
    // Two of them are the legend's.
    assert_eq!(chart.matches("<circle ").count(), 2 * 3 + 2);
    assert!(chart.contains("<title>quick &amp; small: 1.5"), "{chart}");
    assert!(chart.contains(">once, ours</text>") && chart.contains(">0.1</text>") && chart.contains(">100</text>"));
    assert_eq!(svg(&Published::of(&[])), None);
}
