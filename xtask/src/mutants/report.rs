//! Writes what came of the mutants to `reports/published/mutants.md`: a table by module, then those that survived, each with
//! the reason. It judges nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::judge::{Outcome, Verdict};
use super::list::{MODULES, Mutant};
use super::sites::UNVIABLE;
use super::survivors;
use super::tree::Built;
use crate::step::root;

/// How many mutants of a module came to what.
#[derive(Default)]
struct Count {
    listed: usize,
    unviable: usize,
    not_switched: usize,
    not_judged: usize,
    caught: usize,
    broke: usize,
    timed_out: usize,
    survived: usize,
}

impl Count {
    fn add(&mut self, other: &Self) {
        self.listed += other.listed;
        self.unviable += other.unviable;
        self.not_switched += other.not_switched;
        self.not_judged += other.not_judged;
        self.caught += other.caught;
        self.broke += other.broke;
        self.timed_out += other.timed_out;
        self.survived += other.survived;
    }

    fn cells(&self) -> String {
        let caught = self.caught + self.broke + self.timed_out;
        let judged = caught + self.survived;
        let percent =
            if judged == 0 { "–".to_owned() } else { format!("{:.1} %", 100.0 * caught as f64 / judged as f64) };
        format!(
            "{} | {} | {} | {} | {} | {} | {} | {} | {percent}",
            self.listed,
            self.unviable,
            self.not_switched,
            judged,
            self.caught,
            self.broke,
            self.timed_out,
            self.survived
        )
    }
}

/// Writes the report.
///
/// # Errors
/// When the reasons cannot be read, or the file cannot be written.
pub(super) fn write(mutants: &[Mutant], built: &Built, verdicts: &BTreeMap<String, Verdict>) -> Result<(), String> {
    let reasons = survivors::reasons()?;
    let mut counts: BTreeMap<&str, Count> = BTreeMap::new();
    let mut survived: Vec<(&Mutant, Outcome)> = Vec::new();
    for (number, mutant) in mutants.iter().enumerate() {
        let count = counts.entry(mutant.module()).or_default();
        count.listed += 1;
        if built.unviable.contains_key(&number) || built.left_out.get(&number).is_some_and(|why| UNVIABLE.contains(why))
        {
            count.unviable += 1;
            continue;
        }
        if built.left_out.contains_key(&number) {
            count.not_switched += 1;
            continue;
        }
        match verdicts.get(&mutant.name).map(|verdict| verdict.outcome) {
            None => count.not_judged += 1,
            Some(Outcome::Caught) => count.caught += 1,
            Some(Outcome::Broke) => count.broke += 1,
            Some(Outcome::TimedOut) => count.timed_out += 1,
            Some(outcome @ (Outcome::Survived | Outcome::Unreached)) => {
                count.survived += 1;
                survived.push((mutant, outcome));
            }
        }
    }
    let text = render(&counts, &survived, &reasons);
    let file = root().join("reports/published/mutants.md");
    std::fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    eprintln!("xtask: wrote {}", file.display());
    let names: BTreeSet<&str> = survived.iter().map(|(mutant, _)| mutant.lasting_name.as_str()).collect();
    for name in reasons.keys().filter(|name| !names.contains(name.as_str())) {
        eprintln!("xtask: {} gives a reason for a mutant that does not survive: {name}", survivors::FILE);
    }
    Ok(())
}

fn render(
    counts: &BTreeMap<&str, Count>,
    survived: &[(&Mutant, Outcome)],
    reasons: &BTreeMap<String, String>,
) -> String {
    let mut text = format!(
        "# Mutants of `stack`, judged by the conformance suite alone\n\nWritten by `cargo xtask mutants`; do not edit. The \
         mutants are those of cargo-mutants; one counts as caught when `shaketable verify` does not accept the plugins any \
         more: a requirement is not upheld (a MAY, too: the reference upholds all of \
         them), the check breaks down (a panic, no plugin), or it hangs. First seed 0 in calm \
         weather, of the module's own interface and of those that rest on it, then three seeds in every weather. What \
         stands in a constant, or answers an impl Trait with another type, no switch at run time reaches; those are \
         not judged. The reasons are those of [{0}](../../{0}).\n\n",
        survivors::FILE
    );
    text.push_str(
        "| module | mutants | do not compile | no switch reaches | judged | a requirement fails | breaks down | hangs | survive \
         | caught |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    let mut all = Count::default();
    for module in MODULES {
        if let Some(count) = counts.get(module) {
            let _ = writeln!(text, "| {module} | {} |", count.cells());
            all.add(count);
        }
    }
    let _ = writeln!(text, "| all | {} |", all.cells());
    if all.not_judged > 0 {
        let _ = writeln!(text, "\n{} more were not judged in this run.", all.not_judged);
    }
    for module in MODULES {
        let of_module: Vec<_> = survived.iter().filter(|(mutant, _)| mutant.module() == module).collect();
        if of_module.is_empty() {
            continue;
        }
        let _ = writeln!(text, "\n## {module}: {} survive\n", of_module.len());
        let mut by_reason: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (mutant, outcome) in of_module {
            let reason = reasons.get(&mutant.lasting_name).map_or("**no reason yet**", String::as_str);
            let unreached = if *outcome == Outcome::Unreached { " (no check passes it)" } else { "" };
            by_reason.entry(reason).or_default().push(format!("`{}`{unreached}", mutant.name.replace('\n', " ")));
        }
        for (reason, names) in by_reason {
            let _ = writeln!(text, "- {reason}");
            for name in names {
                let _ = writeln!(text, "  - {name}");
            }
        }
    }
    text
}
