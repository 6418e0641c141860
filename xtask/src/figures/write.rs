//! How figures are written. It knows none of them.

/// Whether a target is met, in a table.
pub(super) fn met(is_met: bool) -> &'static str {
    if is_met { "yes" } else { "**no**" }
}

/// Three figures, with commas between thousands.
pub(super) fn significant(number: f64) -> String {
    if number < 100.0 {
        let decimals = if number < 1.0 { 3 } else { usize::from(number < 10.0) + 1 };
        return format!("{number:.decimals$}");
    }
    let unit = 10_f64.powf(number.log10().floor() - 2.0);
    let digits = format!("{:.0}", (number / unit).round() * unit);
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::significant;

    #[test]
    fn three_figures_are_enough() {
        let shown = [0.0526, 1.0, 52.67, 99.0, 571.4, 5_714.0, 39_211.0, 1_234_567.0].map(significant);
        assert_eq!(shown, ["0.053", "1.00", "52.7", "99.0", "571", "5,710", "39,200", "1,230,000"]);
    }
}
