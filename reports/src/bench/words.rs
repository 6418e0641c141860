//! How figures are written. It knows none of them.

/// A time with its unit.
pub fn nanoseconds(ns: f64) -> String {
    match ns {
        ns if ns < 1e3 => format!("{ns:.1} ns"),
        ns if ns < 1e6 => format!("{:.2} µs", ns / 1e3),
        ns if ns < 1e9 => format!("{:.2} ms", ns / 1e6),
        ns => format!("{:.2} s", ns / 1e9),
    }
}

/// A ratio with the interval that it lies in, as people read it.
pub(super) fn ratio(median: f64, interval: Option<(f64, f64)>) -> String {
    let figure = |figure: f64| if figure < 100.0 { format!("{figure:.2}") } else { format!("{figure:.0}") };
    match interval {
        Some((low, high)) => format!("{} ({} to {})", figure(median), figure(low), figure(high)),
        None => figure(median),
    }
}

/// A share as people read it.
pub(super) fn percent(share: f64) -> String {
    format!("{} %", (share * 1_000.0).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::{nanoseconds, percent, ratio};

    #[test]
    fn figures_have_the_unit_that_suits_them() {
        let shown = [1.0, 1_500.0, 2.5e6, 3e9].map(nanoseconds);
        assert_eq!(shown, ["1.0 ns", "1.50 µs", "2.50 ms", "3.00 s"]);
        assert_eq!((percent(0.05), percent(0.125)), ("5 %".to_owned(), "12.5 %".to_owned()));
        assert_eq!(ratio(1.5, Some((1.4, 300.4))), "1.50 (1.40 to 300)");
        assert_eq!(ratio(1.5, None), "1.50");
    }
}
