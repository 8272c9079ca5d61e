//! Filters that were read lately, by their JSON: programs ask with the same long filter again and again.

use std::collections::VecDeque;

use ferrochrome_engine::SharedFilter;
use ferrochrome_types::Result;
use parking_lot::Mutex;

/// Shorter ones are read in less time than looking for them saves.
const LEAST_BYTES: usize = 128;
/// Most filters that are kept, and the bytes of JSON that they may have together; read they take some times as many.
const MOST_FILTERS: usize = 16;
const MOST_BYTES: usize = 1 << 20;

/// The one that came last in front.
static RECENT: Mutex<VecDeque<(Box<str>, SharedFilter)>> = Mutex::new(VecDeque::new());

/// The filter with this JSON, which `read` reads where it is not known.
pub(crate) fn recent_filter(
    text: &str,
    read: impl FnOnce(&str) -> Result<SharedFilter>,
) -> Result<SharedFilter> {
    if !(LEAST_BYTES..=MOST_BYTES).contains(&text.len()) {
        return read(text);
    }
    if let Some(filter) = known(text) {
        return Ok(filter);
    }
    let filter = read(text)?;
    keep(text, filter.clone());
    Ok(filter)
}

fn known(text: &str) -> Option<SharedFilter> {
    let mut recent = RECENT.lock();
    let at = recent.iter().position(|(other, _)| **other == *text)?;
    let found = recent.remove(at)?;
    let filter = found.1.clone();
    recent.push_front(found);
    Some(filter)
}

fn keep(text: &str, filter: SharedFilter) {
    let mut recent = RECENT.lock();
    recent.push_front((text.into(), filter));
    let mut bytes: usize = recent.iter().map(|(text, _)| text.len()).sum();
    while recent.len() > MOST_FILTERS || bytes > MOST_BYTES {
        let Some((oldest, _)) = recent.pop_back() else { break };
        bytes -= oldest.len();
    }
}

#[cfg(test)]
mod tests {
    use ferrochrome_types::{Error, Filter};

    use super::*;

    /// Held by each test: they fill what the others look for.
    static KEEPING: Mutex<()> = Mutex::new(());

    fn text(number: usize, len: usize) -> String {
        let number = number.to_string();
        "x".repeat(len - number.len()) + &number
    }

    /// Whether it had to be read.
    fn is_new(text: &str) -> bool {
        let mut read = false;
        recent_filter(text, |_| {
            read = true;
            Ok(Filter::And(Vec::new()).into())
        })
        .unwrap();
        read
    }

    #[test]
    fn the_same_text_is_read_once_and_stands_for_one_filter() {
        let _keeping = KEEPING.lock();
        let first = recent_filter(&text(1, 200), |_| Ok(Filter::Or(Vec::new()).into())).unwrap();
        let second = recent_filter(&text(1, 200), |_| Err(Error::internal("read twice"))).unwrap();
        assert!(first == second && matches!(&*second, Filter::Or(_)));
        assert!(is_new(&text(2, 200)) && is_new(&text(1, 201)));
        assert!(is_new(&text(1, 20)) && is_new(&text(1, 20)));
    }

    #[test]
    fn what_cannot_be_read_is_not_kept() {
        let _keeping = KEEPING.lock();
        let bad = text(3, 200);
        recent_filter(&bad, |_| Err(Error::invalid("no filter"))).unwrap_err();
        assert!(is_new(&bad) && !is_new(&bad));
    }

    #[test]
    fn few_are_kept_those_that_came_last() {
        let _keeping = KEEPING.lock();
        let texts: Vec<String> = (10..10 + MOST_FILTERS).map(|number| text(number, 300)).collect();
        assert!(texts.iter().all(|text| is_new(text)) && !is_new(&texts[0]));
        assert!(is_new(&text(9, 300)));
        assert!(!is_new(&texts[0]) && is_new(&texts[1]));
        assert!(is_new(&text(1, MOST_BYTES - 300)));
        assert!(is_new(&texts[0]));
        assert!(is_new(&text(1, MOST_BYTES + 1)) && is_new(&text(1, MOST_BYTES + 1)));
    }
}
