//! Regular expressions: compiled within bounds, and the text that a match must contain.

use std::collections::VecDeque;

use ferrochrome_types::{Code, Error, Result, limits};
use parking_lot::Mutex;
use regex::{Regex, RegexBuilder};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Hir, HirKind};

/// Shortest text, in characters, that a trigram index can look for.
pub(crate) const TRIGRAM_CHARS: usize = 3;
/// Deepest nesting of groups in a pattern.
const MAX_NESTING: u32 = 100;
/// Compiled patterns kept: a query compiles its pattern once, not once for each part of the collection.
const CACHED: usize = 8;
/// Most texts in one requirement: more make the look-up dearer than reading the documents.
const MAX_TEXTS: usize = 32;

/// Text that a document contains if it matches. What fulfils it need not match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequiredText {
    /// This text, of at least three characters.
    Text(String),
    /// All of these.
    All(Vec<RequiredText>),
    /// At least one of these.
    Any(Vec<RequiredText>),
}

impl RequiredText {
    /// `text`, if it is long enough to be looked up.
    pub(crate) fn text(text: &str) -> Option<RequiredText> {
        (text.chars().take(TRIGRAM_CHARS).count() == TRIGRAM_CHARS)
            .then(|| RequiredText::Text(text.to_owned()))
    }

    /// What a match of `pattern` must contain, if that is known.
    pub(crate) fn of_pattern(pattern: &str) -> Option<RequiredText> {
        let hir = ParserBuilder::new().nest_limit(MAX_NESTING).build().parse(pattern).ok()?;
        required(&hir).filter(|required| required.count() <= MAX_TEXTS)
    }

    /// Whether it is a text of three characters, which a trigram index knows by itself.
    pub fn is_trigram(&self) -> bool {
        matches!(self, RequiredText::Text(text) if text.chars().count() == TRIGRAM_CHARS)
    }

    /// How many texts there are.
    pub(crate) fn count(&self) -> usize {
        match self {
            RequiredText::Text(_) => 1,
            RequiredText::All(parts) | RequiredText::Any(parts) => {
                parts.iter().map(RequiredText::count).sum()
            }
        }
    }
}

/// Walks the expression; its depth is bounded by [`MAX_NESTING`] when it is parsed.
fn required(hir: &Hir) -> Option<RequiredText> {
    match hir.kind() {
        HirKind::Literal(literal) => RequiredText::text(std::str::from_utf8(&literal.0).ok()?),
        HirKind::Capture(capture) => required(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => required(&repetition.sub),
        HirKind::Concat(parts) => {
            let known: Vec<_> = parts.iter().filter_map(required).collect();
            (!known.is_empty()).then_some(RequiredText::All(known))
        }
        HirKind::Alternation(parts) => {
            Some(RequiredText::Any(parts.iter().map(required).collect::<Option<_>>()?))
        }
        HirKind::Empty | HirKind::Class(_) | HirKind::Look(_) | HirKind::Repetition(_) => None,
    }
}

/// Compiles a pattern in the syntax of the `regex` crate: Unicode, no look-around, no back-references; search takes time linear in
/// the text.
///
/// # Errors
/// `InvalidArgument` with Chroma's text `Regex syntax errror: ...` or `Byte pattern is not allowed`; `LimitExceeded` if the pattern
/// is longer than [`limits::MAX_REGEX_BYTES`] or takes more than [`limits::MAX_REGEX_COMPILED_BYTES`].
pub fn compile_regex(pattern: &str) -> Result<Regex> {
    static CACHE: Mutex<VecDeque<Regex>> = Mutex::new(VecDeque::new());
    {
        let mut cache = CACHE.lock();
        if let Some(place) = cache.iter().position(|regex| regex.as_str() == pattern)
            && let Some(regex) = cache.remove(place)
        {
            cache.push_front(regex.clone());
            return Ok(regex);
        }
    }
    let regex = compile(pattern)?;
    let mut cache = CACHE.lock();
    cache.push_front(regex.clone());
    cache.truncate(CACHED);
    Ok(regex)
}

fn compile(pattern: &str) -> Result<Regex> {
    if pattern.len() > limits::MAX_REGEX_BYTES {
        return Err(Error::new(
            Code::LimitExceeded,
            format!(
                "The regular expression has {} bytes, at most {} are allowed",
                pattern.len(),
                limits::MAX_REGEX_BYTES
            ),
        ));
    }
    let parsed = ParserBuilder::new().nest_limit(MAX_NESTING).utf8(false).build().parse(pattern);
    match parsed {
        Err(error) => return Err(syntax_error(&error)),
        Ok(hir) if !hir.properties().is_utf8() => return Err(Error::invalid("Byte pattern is not allowed")),
        Ok(_) => {}
    }
    RegexBuilder::new(pattern)
        .size_limit(limits::MAX_REGEX_COMPILED_BYTES)
        .dfa_size_limit(limits::MAX_REGEX_COMPILED_BYTES)
        .nest_limit(MAX_NESTING)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(limit) => Error::new(
                Code::LimitExceeded,
                format!(
                    "The regular expression takes more than {limit} bytes when compiled: repeat less in it"
                ),
            ),
            error => syntax_error(&error),
        })
}

fn syntax_error(error: &dyn std::fmt::Display) -> Error {
    Error::invalid(format!("Regex syntax errror: {error}"))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn text(text: &str) -> RequiredText {
        RequiredText::Text(text.into())
    }

    #[test]
    fn finds_the_text_that_a_match_must_contain() {
        assert_eq!(RequiredText::of_pattern("breath"), Some(text("breath")));
        assert_eq!(
            RequiredText::of_pattern(r"foo\d+bar(baz)+x?"),
            Some(RequiredText::All(vec![text("foo"), text("bar"), text("baz")]))
        );
        assert_eq!(
            RequiredText::of_pattern("one|two|three"),
            Some(RequiredText::Any(vec![text("one"), text("two"), text("three")]))
        );
        for none in ["(?i)cat", "ab", "", "one|tw", "(abc)?", "(abc)*", "[a-z]+", "^$"] {
            assert_eq!(RequiredText::of_pattern(none), None, "{none}");
        }
    }

    #[test]
    fn refuses_bad_patterns() {
        for (pattern, start) in [
            ("(", "Regex syntax errror: "),
            ("a(?=b)", "Regex syntax errror: "),
            (r"(a)\1", "Regex syntax errror: "),
            (r"(?-u:\xFF)", "Byte pattern is not allowed"),
        ] {
            let error = compile_regex(pattern).unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument, "{pattern}");
            assert!(error.message().starts_with(start), "{pattern}: {error}");
        }
    }

    #[test]
    fn refuses_expensive_patterns_quickly() {
        let alternatives = (0..10_000).map(|i| format!("word{i}")).collect::<Vec<_>>().join("|");
        for pattern in [
            "(a{1,1000}){1,1000}",
            &"a".repeat(1 << 20),
            &alternatives,
            &"(".repeat(5000),
            r"(\w{1,200}){1,200}",
        ] {
            let start = Instant::now();
            assert!(compile_regex(pattern).is_err());
            assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        }
    }
}
