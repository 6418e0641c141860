//! One file with all its mutants in it, each behind a switch: `crate::mutant::on(17)`. Operators become
//! `(if on(17) { a != b } else { a == b })`, a function answers early, a match arm gets a guard. It knows text and sites; what
//! does not compile is found out elsewhere and left out the next time.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::list::{Genre, Mutant};
use super::sites::{Lines, Site, sites};

/// A file with switches.
#[derive(Debug, Default)]
pub(super) struct Schema {
    /// Its text.
    pub(super) text: String,
    /// Which pieces of the text are there for which mutants.
    regions: Vec<(Range<usize>, Vec<usize>)>,
    /// Mutants that are not in it, with the reason.
    pub(super) left_out: BTreeMap<usize, &'static str>,
}

impl Schema {
    /// The mutants of the smallest piece around the byte `at`.
    pub(super) fn blame(&self, at: usize) -> &[usize] {
        let around = self.regions.iter().filter(|(range, _)| range.contains(&at));
        around.min_by_key(|(range, _)| range.len()).map_or(&[], |(_, mutants)| mutants)
    }

    fn push(&mut self, text: &str, mutants: &[usize]) {
        let start = self.text.len();
        self.text.push_str(text);
        if !mutants.is_empty() {
            self.regions.push((start..self.text.len(), mutants.to_vec()));
        }
    }
}

/// Where an expression begins and ends, and what is done to it.
type Place = (usize, usize, Genre);

/// Mutants with their numbers.
type Numbered<'a> = Vec<(usize, &'a Mutant)>;

/// A switch: what stands before and behind a piece of text.
struct Edit {
    range: Range<usize>,
    /// Pieces, each with the mutant that it is for.
    before: Vec<(Option<usize>, String)>,
    after: String,
}

/// Puts `mutants`, each with its number, into `source`; those in `dropped` are left out silently.
///
/// # Errors
/// When the source is no Rust.
pub(super) fn rewrite(source: &str, mutants: &[(usize, &Mutant)], dropped: &BTreeSet<usize>) -> Result<Schema, String> {
    let sites = sites(source).map_err(|error| error.to_string())?;
    let lines = Lines::new(source);
    let mut schema = Schema::default();
    let mut by_site: BTreeMap<Place, Numbered<'_>> = BTreeMap::new();
    for &(number, mutant) in mutants {
        match sites.get(&(mutant.genre, mutant.span.start)) {
            None => {
                schema.left_out.insert(number, "its place in the syntax was not found");
            }
            Some(Site { obstacle: Some(obstacle), .. }) => {
                schema.left_out.insert(number, obstacle);
            }
            Some(_) if dropped.contains(&number) => {}
            Some(Site { range, .. }) => {
                by_site.entry((range.start, range.end, mutant.genre)).or_default().push((number, mutant));
            }
        }
    }
    let edit =
        |((start, end, genre), mutants): (Place, Numbered<'_>)| edit(source, &lines, start..end, genre, &mutants);
    // Among different operators of one expression each has its own range, so that ranges nest.
    let mut edits: Vec<Edit> = by_site.into_iter().map(edit).collect();
    edits.sort_by_key(|edit| (edit.range.start, !edit.range.is_empty(), std::cmp::Reverse(edit.range.end)));
    render(source, 0..source.len(), &edits, &mut schema);
    Ok(schema)
}

fn edit(source: &str, lines: &Lines<'_>, range: Range<usize>, genre: Genre, mutants: &[(usize, &Mutant)]) -> Edit {
    let mut before = Vec::new();
    let after = match genre {
        Genre::FnValue => {
            for (number, mutant) in mutants {
                let text = format!("if crate::mutant::on({number}) {{ return {}; }}\n", mutant.replacement);
                before.push((Some(*number), text));
            }
            String::new()
        }
        Genre::MatchArm => {
            before
                .extend(mutants.iter().map(|(number, _)| (Some(*number), format!(" if !crate::mutant::on({number})"))));
            String::new()
        }
        Genre::MatchArmGuard => {
            for (number, mutant) in mutants {
                let text = match mutant.replacement.as_str() {
                    "true" => format!("(crate::mutant::on({number}) || "),
                    _ => format!("(!crate::mutant::on({number}) && "),
                };
                before.push((Some(*number), text));
            }
            before.push((None, "(".to_owned()));
            ")".repeat(mutants.len() + 1)
        }
        Genre::BinaryOperator | Genre::UnaryOperator | Genre::StructField => {
            before.push((None, "(".to_owned()));
            for (number, mutant) in mutants {
                let (start, end) = (lines.offset(mutant.span.start), lines.offset(mutant.span.end));
                let mutated =
                    format!("{}{}{}", &source[range.start..start], mutant.replacement, &source[end..range.end]);
                before.push((Some(*number), format!("if crate::mutant::on({number}) {{ {mutated} }} else ")));
            }
            before.push((None, "{ ".to_owned()));
            " })".to_owned()
        }
    };
    Edit { range, before, after }
}

fn render(source: &str, range: Range<usize>, edits: &[Edit], schema: &mut Schema) {
    let (mut cursor, mut rest) = (range.start, edits);
    while let Some((edit, others)) = rest.split_first() {
        schema.push(&source[cursor..edit.range.start], &[]);
        let start = schema.text.len();
        for (number, text) in &edit.before {
            schema.push(text, number.as_slice());
        }
        let inside = others.iter().take_while(|other| other.range.start < edit.range.end).count();
        render(source, edit.range.clone(), &others[..inside], schema);
        schema.push(&edit.after, &[]);
        let mutants = edit.before.iter().filter_map(|(number, _)| *number).collect();
        schema.regions.push((start..schema.text.len(), mutants));
        (cursor, rest) = (edit.range.end, &others[inside..]);
    }
    schema.push(&source[cursor..range.end], &[]);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::list::{Genre, Mutant, Place, Span};
    use super::rewrite;

    /// A mutant that replaces the only `what` in `source`.
    fn mutant(source: &str, genre: Genre, what: &str, replacement: &str) -> Mutant {
        let at = |offset: usize| {
            let before = &source[..offset];
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            Place { line, column }
        };
        let start = source.find(what).unwrap();
        Mutant {
            name: String::new(),
            file: String::new(),
            span: Span { start: at(start), end: at(start + what.len()) },
            replacement: replacement.to_owned(),
            genre,
            lasting_name: String::new(),
        }
    }

    fn check(source: &str, mutants: &[Mutant], expected: &str) {
        let numbered: Vec<(usize, &Mutant)> = mutants.iter().enumerate().collect();
        let schema = rewrite(source, &numbered, &BTreeSet::new()).unwrap();
        assert_eq!(schema.text.replace("crate::mutant::", ""), expected);
        syn::parse_file(&schema.text).unwrap();
    }

    #[test]
    fn each_genre_of_change_gets_its_switch() {
        let source = "fn f(é: u8) -> bool { g(é) == 3 && !h() }";
        let mutants = [
            mutant(source, Genre::BinaryOperator, "==", "!="),
            mutant(source, Genre::BinaryOperator, "&&", "||"),
            mutant(source, Genre::UnaryOperator, "!", ""),
            mutant(source, Genre::FnValue, "g(é) == 3 && !h()", "true"),
        ];
        check(
            source,
            &mutants,
            "fn f(é: u8) -> bool { if on(3) { return true; }\n(if on(1) { g(é) == 3 || !h() } else { (if on(0) { g(é) != 3 } \
             else { g(é) == 3 }) && (if on(2) { h() } else { !h() }) }) }",
        );
        let source = "fn f() { match x { A { a } => 1, B if c => 2, _ => 3 } }";
        let mutants = [
            mutant(source, Genre::MatchArm, "A { a } => 1", ""),
            mutant(source, Genre::MatchArmGuard, "c =", "true"),
            mutant(source, Genre::MatchArmGuard, "c =", "false"),
        ];
        check(
            source,
            &mutants,
            "fn f() { match x { A { a } if !on(0) => 1, B if (on(1) || (!on(2) && (c))) => 2, _ => 3 } }",
        );
        let source = "fn f() { S { a: 1, b: 2, ..s } }";
        let mutants = [mutant(source, Genre::StructField, "a: 1,", "")];
        check(source, &mutants, "fn f() { (if on(0) { S {  b: 2, ..s } } else { S { a: 1, b: 2, ..s } }) }");
    }

    #[test]
    fn what_no_switch_reaches_is_left_out_with_the_reason() {
        let source = "const A: u8 = 1 << 3; fn f() { if let Some(a) = b && c == d {} match x { 1 => 2, _ if g => 3 } }
                      fn g() -> impl Iterator<Item = u8> { h() }";
        let mutants = [
            mutant(source, Genre::BinaryOperator, "<<", ">>"),
            mutant(source, Genre::BinaryOperator, "&&", "||"),
            mutant(source, Genre::BinaryOperator, "==", "!="),
            mutant(source, Genre::MatchArm, "1 => 2", ""),
            mutant(source, Genre::FnValue, "h()", "::std::iter::empty()"),
        ];
        let numbered: Vec<(usize, &Mutant)> = mutants.iter().enumerate().collect();
        let left_out = rewrite(source, &numbered, &BTreeSet::new()).unwrap().left_out;
        let begins =
            ["in a constant", "joins a let condition", "", "the match would not", "of a function that returns impl"];
        for (number, begin) in begins.into_iter().enumerate() {
            assert_eq!(left_out.contains_key(&number), !begin.is_empty());
            assert!(left_out.get(&number).is_none_or(|why| why.starts_with(begin)));
        }
    }

    #[test]
    fn an_error_is_blamed_on_the_smallest_piece_around_it() {
        let source = "fn f() { a + b == c }";
        let mutants =
            [mutant(source, Genre::BinaryOperator, "+", "-"), mutant(source, Genre::BinaryOperator, "==", "!=")];
        let numbered: Vec<(usize, &Mutant)> = mutants.iter().enumerate().collect();
        let schema = rewrite(source, &numbered, &BTreeSet::new()).unwrap();
        assert_eq!(schema.blame(schema.text.find("a - b").unwrap()), [0]);
        assert_eq!(schema.blame(schema.text.find("a + b != c").unwrap()), [1]);
        assert_eq!(schema.blame(schema.text.rfind("== c").unwrap()), [1]);
        assert!(schema.blame(3).is_empty());
        let schema = rewrite(source, &numbered, &BTreeSet::from([1])).unwrap();
        assert!(!schema.text.contains("!="));
    }
}
