use std::collections::BTreeMap;

use ferrochrome_types::{Code, DocumentFilter, DocumentRows, Filter, Test, Value};
use tempfile::TempDir;

use super::*;
use crate::filter::conformance::Documents;
use crate::{Postings, evaluate};

fn small() -> (Postings, Documents) {
    let mut postings = Postings::new();
    let mut documents = Vec::new();
    for label in 0..60_u32 {
        let metadata = BTreeMap::from([
            ("word".to_owned(), Value::Str(format!("w{}", label % 7))),
            ("int".to_owned(), Value::Int(i64::from(label))),
            ("float".to_owned(), Value::Float(f64::from(label) / 2.0)),
            ("even".to_owned(), Value::Bool(label % 2 == 0)),
            ("tags".to_owned(), Value::StrArray(vec![format!("t{}", label % 3), "all".into()])),
        ]);
        postings.insert(label, Some(&metadata));
        documents.push((label % 5 != 0).then(|| format!("document number {label}")));
    }
    (postings, Documents(documents))
}

fn bytes() -> Vec<u8> {
    let (postings, documents) = small();
    write_lookup(None, &postings, &documents, true, &CancelToken::default()).unwrap().unwrap()
}

fn filters() -> Vec<Filter> {
    let key = |key: &str, test| Filter::Key(key.into(), test);
    vec![
        key("word", Test::Equal(Scalar::Str("w3".into()))),
        key("int", Test::Compare(Comparison::Greater, Scalar::Int(30))),
        key("float", Test::Compare(Comparison::LessOrEqual, Scalar::Float(7.5))),
        key("even", Test::NotEqual(Scalar::Bool(true))),
        key("tags", Test::Contains(Scalar::Str("t1".into()))),
        Filter::Document(DocumentFilter::NotContains("number 1".into())),
    ]
}

fn answers(source: &dyn FilterSource) -> Result<Vec<RoaringBitmap>> {
    let (_, documents) = small();
    filters().iter().map(|filter| evaluate(filter, source, &documents, 60, &CancelToken::default())).collect()
}

#[test]
fn a_file_answers_like_bytes_and_is_not_overwritten() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("with space, %41 and ?.sqlite");
    let (postings, documents) = small();
    let cancel = CancelToken::default();
    assert!(write_lookup(Some(&path), &postings, &documents, true, &cancel).unwrap().is_none());
    let file = Lookup::open_file(&path).unwrap();
    assert_eq!(answers(&file).unwrap(), answers(&postings).unwrap());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    let again = write_lookup(Some(&path), &postings, &documents, true, &cancel).unwrap_err();
    assert_eq!(again.code(), Code::Io);
    assert_eq!(answers(&file).unwrap(), answers(&postings).unwrap());
    assert_eq!(Lookup::open_file(&dir.path().join("none")).map(drop).unwrap_err().code(), Code::Io);
}

/// Many blocks of numbers, each value in several rows.
fn long_lists() -> (Postings, u32) {
    let mut postings = Postings::new();
    let rows = 60_000;
    for label in 0..rows {
        let value = i64::from((label * 7_919) % rows / 3);
        let number = if label % 2 == 0 { Value::Int(value) } else { Value::Float(value as f64 + 0.5) };
        postings.insert(label, Some(&BTreeMap::from([("number".to_owned(), number)])));
    }
    (postings, rows)
}

#[test]
fn ranges_over_many_blocks_are_those_of_the_postings() {
    let (postings, rows) = long_lists();
    let cancel = CancelToken::default();
    let bytes = write_lookup(None, &postings, &Documents(vec![None; rows as usize]), false, &cancel);
    let lookup = Lookup::open_bytes(bytes.unwrap().unwrap()).unwrap();
    let key = |test| Filter::Key("number".into(), test);
    let bound = |comparison, operand: i64| key(Test::Compare(comparison, Scalar::Int(operand)));
    let numbers =
        |numbers: &[i64]| key(Test::In(numbers.iter().map(|number| Scalar::Int(*number)).collect()));
    let every = |step: usize| (0..20_000).step_by(step).collect::<Vec<i64>>();
    for filter in [
        Filter::And(vec![bound(Comparison::GreaterOrEqual, 3_000), bound(Comparison::Less, 17_000)]),
        Filter::And(vec![bound(Comparison::Greater, 9_000), bound(Comparison::LessOrEqual, 9_001)]),
        Filter::And(vec![bound(Comparison::Greater, 9_000), bound(Comparison::Less, 9_000)]),
        Filter::And(vec![
            bound(Comparison::Less, 12_000),
            key(Test::NotEqual(Scalar::Int(70))),
            bound(Comparison::Greater, 50),
            key(Test::Compare(Comparison::Less, Scalar::Float(80.25))),
        ]),
        numbers(&[19_999, 0, 0, 11_000, 11_001, -4, 70_000]),
        numbers(&every(1)),
        numbers(&every(97)),
        numbers(&every(6_000)),
        key(Test::NotIn(vec![
            Scalar::Float(5.5),
            Scalar::Int(6),
            Scalar::Str("x".into()),
            Scalar::Float(9_999.5),
        ])),
    ] {
        let expected = evaluate(&filter, &postings, &NoDocuments, rows, &cancel).unwrap();
        assert_eq!(evaluate(&filter, &lookup, &NoDocuments, rows, &cancel).unwrap(), expected, "{filter:?}");
    }
}

#[test]
fn a_cancelled_file_is_gone() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("lookup.sqlite");
    let (postings, documents) = small();
    let cancel = CancelToken::default();
    cancel.cancel();
    let error = write_lookup(Some(&path), &postings, &documents, true, &cancel).unwrap_err();
    assert_eq!(error.code(), Code::Cancelled);
    assert!(!path.exists());
}

#[test]
fn threads_read_side_by_side() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("lookup.sqlite");
    let (postings, documents) = small();
    write_lookup(Some(&path), &postings, &documents, true, &CancelToken::default()).unwrap();
    let lookup = Lookup::open_file(&path).unwrap();
    let expected = answers(&postings).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..CONNECTIONS + 2 {
            scope.spawn(|| {
                for _ in 0..20 {
                    assert_eq!(answers(&lookup).unwrap(), expected);
                }
            });
        }
    });
}

/// What a damaged file may do: say so, or miss rows (which the checksum of the whole file in `segment.json` guards against),
/// but not name a row that does not match.
fn assert_no_wrong_row(bytes: Vec<u8>, sound: &[RoaringBitmap], what: &str) {
    match Lookup::open_bytes(bytes).and_then(|lookup| answers(&lookup)) {
        Ok(found) => {
            for ((filter, found), sound) in filters().iter().zip(&found).zip(sound) {
                let negated = matches!(
                    filter,
                    Filter::Key(_, Test::NotEqual(_)) | Filter::Document(DocumentFilter::NotContains(_))
                );
                assert!(negated || found.is_subset(sound), "{what}: {filter:?}");
            }
        }
        Err(error) => {
            let typed = matches!(error.code(), Code::Corrupted | Code::Unsupported);
            assert!(typed && error.message().contains(LOOKUP), "{what}: {:?} {error}", error.code());
        }
    }
}

#[test]
fn no_flipped_byte_brings_a_wrong_row() {
    // The same index with the smallest pages, so that there are few bytes to flip.
    let mut connection = Connection::open_in_memory().unwrap();
    let bytes = bytes();
    connection.deserialize_read_exact(MAIN_DB, bytes.as_slice(), bytes.len(), false).unwrap();
    connection.execute_batch("PRAGMA page_size = 512; VACUUM").unwrap();
    let bytes = connection.serialize(MAIN_DB).unwrap().to_vec();
    let sound = answers(&Lookup::open_bytes(bytes.clone()).unwrap()).unwrap();
    for place in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1 << (place % 8);
        assert_no_wrong_row(damaged, &sound, &format!("byte {place}"));
    }
    for len in (0..bytes.len()).step_by(397) {
        assert_no_wrong_row(bytes[..len].to_vec(), &sound, &format!("cut to {len} bytes"));
    }
}

#[cfg(unix)]
#[test]
fn a_file_that_was_removed_is_still_read_by_several_threads() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("lookup.sqlite");
    let (postings, documents) = small();
    write_lookup(Some(&path), &postings, &documents, true, &CancelToken::default()).unwrap();
    let file = Lookup::open_file(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let expected = answers(&postings).unwrap();
    // The one connection is in use when the second thread asks.
    let first = file.connections[0].lock();
    std::thread::scope(|scope| {
        let threads = [(); 2].map(|()| scope.spawn(|| answers(&file)));
        std::thread::sleep(std::time::Duration::from_millis(50));
        drop(first);
        for thread in threads {
            assert_eq!(thread.join().unwrap().unwrap(), expected);
        }
    });
}

#[test]
fn a_newer_format_asks_for_a_newer_release() {
    let written = write_lookup(None, &Postings::new(), &NoDocuments, false, &CancelToken::default());
    let bytes = written.unwrap().unwrap();
    let mut connection = Connection::open_in_memory().unwrap();
    connection.deserialize_read_exact(MAIN_DB, bytes.as_slice(), bytes.len(), false).unwrap();
    connection.pragma_update(None, "user_version", 2).unwrap();
    let newer = connection.serialize(MAIN_DB).unwrap().to_vec();
    let error = Lookup::open_bytes(newer).err().unwrap();
    assert_eq!(error.code(), Code::Unsupported);
    assert!(
        error.message().contains("format version 2") && error.message().contains("newer release"),
        "{error}"
    );
}

struct NoDocuments;

impl DocumentRows for NoDocuments {
    fn len(&self) -> usize {
        0
    }

    fn document(&self, _label: u32) -> ferrochrome_types::Result<Option<&str>> {
        Ok(None)
    }
}

#[test]
fn look_ups_that_are_not_of_the_records_are_told_apart() {
    let mut postings = Postings::new();
    postings.insert(0, Some(&[("n".to_owned(), ferrochrome_types::Value::Int(3))].into()));
    let cancel = CancelToken::default();
    let lookup = |postings: &Postings| {
        let bytes = write_lookup(None, postings, &NoDocuments, true, &cancel).unwrap().unwrap();
        Lookup::open_bytes(bytes).unwrap()
    };
    check_lookup(&lookup(&postings), &postings, &NoDocuments, &cancel).unwrap();
    let mut other = Postings::new();
    other.insert(0, Some(&[("n".to_owned(), ferrochrome_types::Value::Int(4))].into()));
    let error = check_lookup(&lookup(&other), &postings, &NoDocuments, &cancel).unwrap_err();
    assert!(error.message().contains("table numbers"), "{error}");
    let error = check_lookup(&lookup(&Postings::new()), &postings, &NoDocuments, &cancel).unwrap_err();
    assert!(error.message().contains("table keys"), "{error}");
}

/// Documents that are there but cannot be read.
struct Unreadable(usize);

impl DocumentRows for Unreadable {
    fn len(&self) -> usize {
        self.0
    }

    fn document(&self, label: u32) -> Result<Option<&str>> {
        Err(Error::internal(format!("document {label} was read")))
    }
}

#[test]
fn three_characters_are_found_without_reading_documents() {
    let rows = 20_000_usize;
    let text = |label: usize| format!("{} document \u{4e2d}\u{6587}{}", label % 500, label % 100);
    let documents =
        Documents((0..rows).map(|label| (!label.is_multiple_of(9)).then(|| text(label))).collect());
    let cancel = CancelToken::default();
    let bytes = write_lookup(None, &Postings::new(), &documents, true, &cancel).unwrap().unwrap();
    let lookup = Lookup::open_bytes(bytes).unwrap();
    let evaluated = |needle: &str, documents: &dyn DocumentRows| {
        let filter = Filter::Document(DocumentFilter::Contains(needle.into()));
        evaluate(&filter, &lookup, documents, rows as u32, &cancel)
    };
    for needle in ["\u{4e2d}\u{6587}7", "123", "doc", "no "] {
        let expected = evaluated(needle, &documents).unwrap();
        assert_eq!(evaluated(needle, &Unreadable(rows)).unwrap(), expected, "{needle}");
        let containing = |label: &u32| text(*label as usize).contains(needle) && !label.is_multiple_of(9);
        assert_eq!(expected, (0..rows as u32).filter(containing).collect(), "{needle}");
    }
    assert!(evaluated("\u{4e2d}\u{6587}77", &Unreadable(rows)).is_err());
}
