//! Spans of time as people read them.

use std::time::Duration;

/// `span` with the two units that matter: `2h 5m`, `41s`, `3.2s`, `250ms`.
pub fn duration_in_words(span: Duration) -> String {
    if span < Duration::from_secs(1) {
        return format!("{}ms", span.as_millis());
    }
    if span < Duration::from_secs(10) {
        let seconds = format!("{:.1}", span.as_secs_f64());
        return format!("{}s", seconds.trim_end_matches(".0"));
    }
    let whole = humantime::format_duration(Duration::from_secs(span.as_secs())).to_string();
    whole.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// `span` exactly, as one writes it in a scenario file.
pub(crate) fn exact(span: Duration) -> String {
    humantime::format_duration(span).to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::duration_in_words;

    #[test]
    fn durations_keep_the_two_units_that_matter() {
        for (millis, words) in
            [(0, "0ms"), (250, "250ms"), (2_000, "2s"), (3_210, "3.2s"), (41_900, "41s"), (7_503_000, "2h 5m")]
        {
            assert_eq!(duration_in_words(Duration::from_millis(millis)), words);
        }
    }
}
