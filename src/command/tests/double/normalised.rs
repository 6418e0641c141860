//! What two right servers may differ in, taken out of what clients print, each with its reason.

/// The text without what chance, the clock or the machine has put there.
pub(crate) fn normalised(text: &str, server: &str) -> String {
    let lines = text.lines().map(|line| normalised_line(&line.replace(server, "ENDPOINT")));
    lines.map(|line| line + "\n").collect()
}

fn normalised_line(line: &str) -> String {
    // How long something took, and how much of a lease is left: the two clocks do not tick together.
    let line = without(line, "took = ", "");
    let line = without(&line, "remaining(", ")");
    let mut words = String::new();
    let mut word = String::new();
    for char in line.chars().chain(std::iter::once('\n')) {
        if char.is_ascii_alphanumeric() {
            word.push(char);
            continue;
        }
        words.push_str(&normalised_word(&word));
        word.clear();
        if char != '\n' {
            words.push(char);
        }
    }
    // Addresses for other members; nobody is there.
    let words = words.replace("http://localhost:2380", "PEER");
    match words.split_once("http://127.0.0.1:") {
        Some((before, rest)) => format!("{before}PEER{}", rest.trim_start_matches(|char: char| char.is_ascii_digit())),
        None => without_size(&words),
    }
}

/// The line with what stands between two marks left out; to its end where there is no second one.
fn without(line: &str, from: &str, to: &str) -> String {
    let Some((before, rest)) = line.split_once(from) else { return line.to_owned() };
    let after = if to.is_empty() { "" } else { rest.find(to).map_or("", |end| &rest[end..]) };
    format!("{before}{from}{after}")
}

/// Ids of clusters, members and leases, which servers choose: 64 bits, decimal or hexadecimal.
fn normalised_word(word: &str) -> String {
    let decimal = word.len() >= 17 && word.bytes().all(|byte| byte.is_ascii_digit());
    let hexadecimal = (14..=16).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    if decimal || hexadecimal { "ID".to_owned() } else { word.to_owned() }
}

/// The size of the database: how a B+ tree spreads over its pages is not simulated.
fn without_size(line: &str) -> String {
    let is_size = |word: &str| word.ends_with(" kB") || word.ends_with(" MB");
    let words: Vec<&str> = line.split(", ").map(|word| if is_size(word) { "SIZE" } else { word }).collect();
    words.join(", ")
}
