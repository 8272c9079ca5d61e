//! Where the vector of each record is: in the index, in the queue, or in both.

use std::collections::HashMap;

use ferrochrome_metadata::{Operation, QueueEntry};

use crate::hnsw_folder::Elements;

/// Where a vector is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Element of the index.
    Element(u32),
    /// Number of the write that carries it.
    Queue(i64),
    /// An element, and an older write that may carry the same vector more exactly.
    Both(u32, i64),
    /// It was in the index, and is not there any more.
    Lost,
}

/// Vectors by the user's id.
pub(crate) type Places = HashMap<String, Place>;

/// The vectors in an index that contains the writes up to `floor`, after the later writes.
///
/// With `exact`, the earlier writes that are still in the queue are named beside the element: a normalised vector that is made
/// long again differs from the original by a rounding.
pub(crate) fn with_index(elements: Elements, queue: &[QueueEntry], floor: i64, exact: bool) -> Places {
    let place = |element: Option<u32>| element.map_or(Place::Lost, Place::Element);
    let mut places: Places = elements.into_iter().map(|(id, element)| (id, place(element))).collect();
    for entry in queue {
        if entry.seq > floor {
            replay(&mut places, entry);
        } else if exact
            && entry.has_vector
            && entry.operation != Operation::Delete
            && let Some(Place::Element(element) | Place::Both(element, _)) = places.get(&entry.id).copied()
        {
            places.insert(entry.id.clone(), Place::Both(element, entry.seq));
        }
    }
    places
}

/// Looks vectors that the index has lost up in a queue that holds every write.
pub(crate) fn find_lost(places: &mut Places, queue: &[QueueEntry]) {
    if places.values().any(|place| *place == Place::Lost) {
        let history = of_history(queue);
        for (id, place) in places.iter_mut().filter(|(_, place)| **place == Place::Lost) {
            *place = history.get(id).copied().unwrap_or(Place::Lost);
        }
    }
}

/// The vectors in a queue that holds every write.
pub(crate) fn of_history(queue: &[QueueEntry]) -> Places {
    let mut places = Places::new();
    queue.iter().for_each(|entry| replay(&mut places, entry));
    places
}

/// The vectors that are certain although the index cannot be read and the older writes are gone: those of upserts and updates, and
/// of an add that is known to have inserted its record (`inserted`).
pub(crate) fn without_index(queue: &[QueueEntry], inserted: impl Fn(&QueueEntry) -> bool) -> Places {
    let mut places = Places::new();
    for entry in queue {
        let place = Place::Queue(entry.seq);
        match entry.operation {
            Operation::Delete => _ = places.remove(&entry.id),
            _ if !entry.has_vector => {}
            Operation::Add if places.contains_key(&entry.id) || !inserted(entry) => {}
            _ => _ = places.insert(entry.id.clone(), place),
        }
    }
    places
}

fn replay(places: &mut Places, entry: &QueueEntry) {
    let known = places.contains_key(&entry.id);
    let sets = match entry.operation {
        Operation::Delete => {
            places.remove(&entry.id);
            return;
        }
        Operation::Add => !known,
        Operation::Update => known,
        Operation::Upsert => true,
    };
    if sets && entry.has_vector {
        places.insert(entry.id.clone(), Place::Queue(entry.seq));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(seq: i64, operation: Operation, id: &str) -> QueueEntry {
        QueueEntry { seq, operation, id: id.into(), has_vector: operation != Operation::Delete }
    }

    #[test]
    fn later_writes_are_laid_over_the_index() {
        use Operation::{Add, Delete, Update, Upsert};
        let elements =
            [("a", Some(0)), ("b", Some(1)), ("c", Some(2)), ("d", Some(3)), ("e", None), ("f", None)];
        let elements: Elements = elements.into_iter().map(|(id, element)| (id.into(), element)).collect();
        let queue = [
            entry(5, Upsert, "a"),
            entry(10, Add, "a"),
            entry(11, Update, "b"),
            entry(12, Update, "unknown"),
            entry(13, Upsert, "new"),
            entry(14, Delete, "c"),
            entry(15, Delete, "d"),
            entry(16, Add, "d"),
            QueueEntry { has_vector: false, ..entry(17, Update, "a") },
            entry(18, Add, "e"),
            entry(19, Upsert, "f"),
        ];
        let places = with_index(elements, &queue, 9, true);
        let expected = [
            ("a", Place::Both(0, 5)),
            ("b", Place::Queue(11)),
            ("new", Place::Queue(13)),
            ("d", Place::Queue(16)),
            ("e", Place::Lost),
            ("f", Place::Queue(19)),
        ];
        assert_eq!(places, expected.into_iter().map(|(id, place)| (id.into(), place)).collect());
    }

    #[test]
    fn without_the_index_an_add_counts_only_where_it_inserted() {
        use Operation::{Add, Delete, Update};
        let queue = [
            entry(3, Add, "old"),
            entry(4, Add, "new"),
            entry(5, Update, "old"),
            entry(6, Delete, "gone"),
            entry(7, Add, "x"),
        ];
        let places = without_index(&queue, |entry| entry.seq == 4);
        let expected = [("old", Place::Queue(5)), ("new", Place::Queue(4))];
        assert_eq!(places, expected.into_iter().map(|(id, place)| (id.into(), place)).collect());
    }
}
