//! The ratios of all contests in one picture: a row for each of ours in each contest, a mark for each other contender on a
//! logarithmic axis, a line through it where its interval is wider than the mark. It is text put together here: marks and lines
//! need no library, and the command line should not be built with one for charts.

use std::fmt::Write as _;

use super::contest::Role;
use super::published::{Figures, Pair, Published, Took};
use super::words;

/// All lengths in pixels.
const WIDTH: f64 = 960.0;
const ROW: f64 = 17.0;
const LABELS: f64 = 330.0;
const MARGIN: f64 = 24.0;
const HEAD: f64 = 74.0;

/// Colours that people with colour blindness can tell apart (Okabe and Ito 2008).
const PEER: &str = "#0072b2";
/// Another of them.
const LIMIT: &str = "#d55e00";

/// The chart as SVG; `None` when there is no ratio.
pub fn svg(published: &Published) -> Option<String> {
    let ratios = || published.contests.iter().flat_map(|contest| &contest.ratios);
    let (least, most) = ratios().fold((f64::INFINITY, 0.0_f64), |(least, most), pair| {
        let (low, high) = pair.interval.unwrap_or((pair.median, pair.median));
        (least.min(low), most.max(high))
    });
    if !(least > 0.0 && least <= most) {
        return None;
    }
    // One is always there: it is what everything is read against.
    let axis = Axis { least: least.min(1.0).log10().floor(), most: most.max(1.0).log10().ceil().max(1.0) };
    let (mut rows, mut y) = (String::new(), HEAD);
    let mut group = "";
    for contest in &published.contests {
        if contest.group != group {
            group = &contest.group;
            y += ROW;
            text(&mut rows, (MARGIN / 2.0, y), "start", "bold", group);
            y += ROW;
        }
        for ours in contest.ours() {
            row(&mut rows, &axis, y, contest, ours);
            y += ROW;
        }
    }
    let height = y + MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{height:.0}\" fill=\"white\"/>\n"
    );
    text(
        &mut svg,
        (MARGIN / 2.0, 22.0),
        "start",
        "bold",
        "How many times as long ours takes as others; left of 1 ours is faster",
    );
    for (x, colour, what) in [(MARGIN / 2.0, PEER, "what somebody may use instead"), (240.0, LIMIT, "the limit")] {
        mark(&mut svg, (x + 5.0, 40.0), colour, what);
        text(&mut svg, (x + 16.0, 44.0), "start", "normal", what);
    }
    for decade in axis.least as i32..=axis.most as i32 {
        let (value, x) = (10_f64.powi(decade), axis.x(10_f64.powi(decade)));
        let colour = if decade == 0 { "black" } else { "#cccccc" };
        line(&mut svg, (x, HEAD), (x, height - MARGIN), colour);
        text(&mut svg, (x, HEAD - 6.0), "middle", "normal", &format!("{value}"));
    }
    svg.push_str(&rows);
    svg.push_str("</svg>\n");
    Some(svg)
}

/// Powers of ten where the picture begins and ends.
struct Axis {
    least: f64,
    most: f64,
}

impl Axis {
    fn x(&self, ratio: f64) -> f64 {
        let share = (ratio.log10() - self.least) / (self.most - self.least);
        LABELS + share * (WIDTH - LABELS - MARGIN)
    }
}

fn row(svg: &mut String, axis: &Axis, y: f64, contest: &Figures, ours: &Took) {
    text(svg, (LABELS - 8.0, y + 4.0), "end", "normal", &format!("{}, {}", contest.case, ours.name));
    line(svg, (LABELS, y), (WIDTH - MARGIN, y), "#eeeeee");
    for pair in contest.ratios.iter().filter(|pair| pair.of == ours.name) {
        let Pair { to, role, median, interval, .. } = pair;
        let colour = if *role == Role::Limit { LIMIT } else { PEER };
        if let Some((low, high)) = interval {
            line(svg, (axis.x(*low), y), (axis.x(*high), y), colour);
        }
        mark(svg, (axis.x(*median), y), colour, &format!("{to}: {}", words::ratio(*median, *interval)));
    }
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, weight: &str, words: &str) {
    let words = escaped(words);
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-weight=\"{weight}\">{words}</text>"
    );
}

fn line(svg: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64), colour: &str) {
    let _ = writeln!(svg, "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\"/>");
}

/// A mark that says `title` where one points at it.
fn mark(svg: &mut String, (x, y): (f64, f64), colour: &str, title: &str) {
    let title = escaped(title);
    let _ = writeln!(
        svg,
        "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\" fill-opacity=\"0.75\"><title>{title}</title></circle>"
    );
}

/// Text that is no markup.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
