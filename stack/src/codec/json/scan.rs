//! Finds where a JSON value ends without decoding it, so that values can follow each other on one carrier. It counts
//! brackets and knows strings; whether the value is right is for the decoder to say.

/// Looks for the end of one value in a buffer that grows.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    position: usize,
    within: Within,
    depth: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Within {
    /// Before the value.
    #[default]
    Space,
    /// A number or a literal, which the next byte that belongs to neither ends.
    Scalar,
    /// An object or an array, outside of its strings.
    Brackets,
    Text,
    /// After a backslash of a text.
    Escape,
}

/// What a scanner has seen when the input is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Nothing,
    Value,
    Inside,
}

impl Scanner {
    /// The index after the value that `buffer` begins with, once it is all there. A later call gives the same buffer with
    /// more at its end.
    pub(super) fn find_end(&mut self, buffer: &[u8]) -> Option<usize> {
        while let Some(byte) = buffer.get(self.position) {
            let ends_before = self.within == Within::Scalar && is_delimiter(*byte);
            if ends_before {
                return Some(self.position);
            }
            self.position += 1;
            if self.step(*byte) {
                return Some(self.position);
            }
        }
        None
    }

    pub(super) fn at_end_of_input(&self) -> Ending {
        match self.within {
            Within::Space => Ending::Nothing,
            Within::Scalar => Ending::Value,
            Within::Brackets | Within::Text | Within::Escape => Ending::Inside,
        }
    }

    /// Takes one byte; says whether the value ends with it.
    fn step(&mut self, byte: u8) -> bool {
        match (self.within, byte) {
            (Within::Space, b' ' | b'\t' | b'\r' | b'\n') => {}
            (Within::Space | Within::Brackets, b'{' | b'[') => {
                self.depth += 1;
                self.within = Within::Brackets;
            }
            (Within::Space | Within::Brackets, b'"') => self.within = Within::Text,
            // A value cannot begin with these: the decoder refuses the byte alone.
            (Within::Space, b'}' | b']' | b',' | b':') => return true,
            (Within::Space, _) => self.within = Within::Scalar,
            (Within::Brackets, b'}' | b']') => {
                self.depth -= 1;
                return self.depth == 0;
            }
            (Within::Text, b'\\') => self.within = Within::Escape,
            (Within::Text, b'"') => {
                self.within = Within::Brackets;
                return self.depth == 0;
            }
            (Within::Escape, _) => self.within = Within::Text,
            (Within::Scalar | Within::Brackets | Within::Text, _) => {}
        }
        false
    }
}

fn is_delimiter(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b'{' | b'}' | b'[' | b']' | b',' | b':' | b'"')
}

#[cfg(test)]
mod tests {
    use super::{Ending, Scanner};

    fn check(text: &str, expected: Option<usize>) {
        assert_eq!(Scanner::default().find_end(text.as_bytes()), expected, "{text}");
        // The same answer when the bytes come one by one.
        let mut scanner = Scanner::default();
        let found = (1..=text.len()).find_map(|length| scanner.find_end(&text.as_bytes()[..length]));
        assert_eq!(found, expected, "{text}, byte by byte");
    }

    #[test]
    fn a_value_ends_where_its_last_bracket_or_quote_is_or_before_what_follows_a_scalar() {
        check(r#"{"a":[1,{}]} 2"#, Some(12));
        check(r#" "}\"\\" x"#, Some(8));
        check("17\n", Some(2));
        check("true{", Some(4));
        check("}", Some(1));
        check("[\"]\"]", Some(5));
        check("17", None);
        check("{\"a\":1", None);
        check("", None);
    }

    #[test]
    fn the_end_of_input_ends_a_scalar_but_no_object() {
        for (text, expected) in [("  ", Ending::Nothing), ("17", Ending::Value), ("[", Ending::Inside)] {
            let mut scanner = Scanner::default();
            assert_eq!(scanner.find_end(text.as_bytes()), None);
            assert_eq!(scanner.at_end_of_input(), expected, "{text}");
        }
    }
}
