//! Command lines that a person copies into a shell.

use shaketable_sim::run::CaseReport;

/// `word` so that a POSIX shell reads it as one word.
pub fn quote(word: &str) -> String {
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:=,@%+".contains(&byte);
    if !word.is_empty() && word.bytes().all(harmless) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The command that replays the run with `token` of a case in `file`. `program` is the program that failed.
pub fn replay_line(program: &str, token: &str, file: &str) -> String {
    format!("{} replay {} {}", quote(program), quote(token), quote(file))
}

/// The command that repeats the whole sweep over `case`: what only a sweep shows, one seed cannot replay.
pub fn sweep_line(program: &str, case: &CaseReport) -> String {
    let is_live = case.runs.iter().any(|run| run.token.is_empty());
    let world = if is_live { " --world live" } else { "" };
    with_overrides(format!("{} run {}{world} --seeds {}", quote(program), quote(&case.file), case.runs.len()), case)
}

/// The command that makes a live run of `case` with `seed` once more; it is another run, of the same plan.
pub fn live_line(program: &str, case: &CaseReport, seed: u64) -> String {
    with_overrides(format!("{} run {} --world live --seed {seed}", quote(program), quote(&case.file)), case)
}

fn with_overrides(mut line: String, case: &CaseReport) -> String {
    if !case.overrides.is_empty() {
        line.push_str(&format!(" --set {}", quote(&case.overrides)));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::{quote, replay_line};

    #[test]
    fn a_word_that_a_shell_would_split_is_quoted() {
        for (word, quoted) in [("a/b-1.yaml", "a/b-1.yaml"), ("a b", "'a b'"), ("it's", r"'it'\''s'"), ("", "''")] {
            assert_eq!(quote(word), quoted);
        }
    }

    #[test]
    fn a_replay_line_names_program_token_and_file() {
        assert_eq!(replay_line("./my tests", "st1:ab", "churn.yaml"), "'./my tests' replay st1:ab churn.yaml");
    }
}
