//! Filters that were read lately, by their JSON: programs ask with the same long filter again and again.

use std::sync::LazyLock;

use ferrochrome_engine::{Remembered, SharedFilter};
use ferrochrome_types::Result;

/// Shorter ones are read in less time than looking for them saves.
const LEAST_BYTES: usize = 128;
/// Most filters that are kept, and the bytes of JSON that they may have together; read they take some times as many.
const MOST_FILTERS: usize = 16;
const MOST_BYTES: usize = 1 << 20;

static RECENT: LazyLock<Remembered<Box<str>, SharedFilter>> =
    LazyLock::new(|| Remembered::new(MOST_FILTERS, MOST_BYTES));

/// The filter with this JSON, which `read` reads where it is not known.
pub(crate) fn recent_filter(
    text: &str,
    read: impl FnOnce(&str) -> Result<SharedFilter>,
) -> Result<SharedFilter> {
    if text.len() < LEAST_BYTES {
        return read(text);
    }
    if let Some(filter) = RECENT.recall(text) {
        return Ok(filter);
    }
    let filter = read(text)?;
    RECENT.remember(text.into(), text.len(), filter.clone());
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use ferrochrome_types::{Error, Filter};
    use parking_lot::Mutex;

    use super::*;

    /// Held by tests of what is kept, of which one makes room for its own.
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
    fn few_are_kept_and_what_came_last_is_among_them() {
        let _keeping = KEEPING.lock();
        let texts: Vec<String> = (10..10 + 3 * MOST_FILTERS).map(|number| text(number, 300)).collect();
        assert!(texts.iter().all(|text| is_new(text) && !is_new(text)));
        let kept = texts.iter().filter(|text| RECENT.recall(text.as_str()).is_some()).count();
        assert!((1..=MOST_FILTERS).contains(&kept), "{kept}");
    }

    #[test]
    fn a_filter_that_takes_too_much_is_not_kept() {
        let large = text(1, MOST_BYTES + 1);
        assert!(is_new(&large) && is_new(&large));
    }
}
