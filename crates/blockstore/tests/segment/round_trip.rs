//! What is written is read back.

use std::ops::ControlFlow;
use std::sync::Arc;

use ferrochrome_blockstore::{Compression, Lookup, RowCacheBudget, SegmentReader, SegmentRows, hash_id};
use ferrochrome_types::{
    Code, DocumentRows, IndexBuffers, Metadata, ROWS_AT_ONCE, Record, Value, VectorRows,
};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;

use crate::samples::{COMPRESSIONS, Row, rows, stores, write, writer};

fn assert_holds(segment: &SegmentRows, expected: &[Row]) {
    assert_eq!(segment.rows() as usize, expected.len());
    for (label, (record, vector)) in expected.iter().enumerate() {
        let label = label as u32;
        assert_eq!(&segment.record(label).unwrap(), record);
        assert_eq!(segment.id(label).unwrap(), record.id);
        assert_eq!(segment.document(label).unwrap(), record.document.as_deref());
        assert_eq!(segment.metadata(label).unwrap(), record.metadata);
        assert_eq!(segment.metadata_bytes(label).unwrap().is_some(), record.metadata.is_some());
        assert_eq!(segment.uri(label).unwrap(), record.uri.as_deref());
        assert_eq!(segment.ordinal(label).unwrap(), record.ordinal);
        let bits = |v: &[f32]| v.iter().map(|f| f.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(segment.vector(label).unwrap()), bits(vector));
        assert_eq!(segment.find(&record.id).unwrap(), Some(label));
    }
    let mut documents = Vec::new();
    segment
        .for_each_document(&mut |label, text| {
            documents.push((label, text.to_owned()));
            ControlFlow::Continue(())
        })
        .unwrap();
    let with_document = expected.iter().enumerate();
    let with_document = with_document.filter_map(|(i, (r, _))| Some((i as u32, r.document.clone()?)));
    assert_eq!(documents, with_document.collect::<Vec<_>>());
    assert_finds_many(segment, expected);
    assert_searches_documents(segment, expected);
    let beyond = expected.len() as u32;
    for label in [beyond, beyond + 1, u32::MAX] {
        assert_eq!(segment.record(label).unwrap_err().code(), Code::Corrupted);
        assert_eq!(segment.vector(label).unwrap_err().code(), Code::Corrupted);
    }
}

fn assert_finds_many(segment: &SegmentRows, expected: &[Row]) {
    let ids = expected.iter().rev().map(|(record, _)| record.id.as_str());
    let ids: Vec<&str> = ["not there", ""].into_iter().chain(ids).chain(["nor that"]).collect();
    let hashes: Vec<u64> = ids.iter().map(|id| hash_id(id)).collect();
    let mut found = vec![None; ids.len()];
    segment
        .find_many(&hashes, |place| ids[place].as_bytes(), |place, label| found[place] = Some(label))
        .unwrap();
    assert_eq!(found, ids.iter().map(|id| segment.find(id).unwrap()).collect::<Vec<_>>());
}

fn assert_searches_documents(segment: &SegmentRows, expected: &[Row]) {
    let texts: Vec<&str> = expected.iter().filter_map(|(record, _)| record.document.as_deref()).collect();
    // Also what only two documents side by side contain.
    let across = texts
        .windows(2)
        .filter_map(|pair| Some(format!("{}{}", pair[0].chars().next_back()?, pair[1].chars().next()?)));
    let needles = ["t 1", "xx", "document"].map(String::from).into_iter().chain(across.take(20));
    for needle in needles {
        for labels in [0..segment.rows(), 3..segment.rows() / 2, 0..0] {
            let mut found = Vec::new();
            DocumentRows::each_containing(segment, labels.clone(), &needle, &mut |label| found.push(label))
                .unwrap();
            let contains =
                |label: &u32| segment.document(*label).unwrap().is_some_and(|text| text.contains(&needle));
            assert_eq!(found, labels.filter(contains).collect::<Vec<_>>(), "{needle:?}");
        }
    }
}

/// The vectors of `labels` as `with_rows` hands them out.
fn handed_out(segment: &SegmentReader, labels: &[u32]) -> Result<Vec<Vec<f32>>, Code> {
    let (mut room, mut vectors) = (Vec::new(), Vec::new());
    let mut keep = |rows: &[&[f32]]| {
        assert!(rows.len() <= ROWS_AT_ONCE);
        vectors.extend(rows.iter().map(|row| row.to_vec()));
    };
    segment.with_rows(labels, &mut room, &mut keep).map_err(|error| error.code())?;
    Ok(vectors)
}

#[test]
fn rows_here_and_there_are_the_same_mapped_copied_and_kept() {
    let (_dir, stores) = stores();
    let rows = rows(300, 24);
    let labels: Vec<u32> = (0..3 * ROWS_AT_ONCE as u32 + 5).map(|i| i * 7919 % 300).chain([4, 4]).collect();
    let expected: Vec<Vec<f32>> = labels.iter().map(|label| rows[*label as usize].1.clone()).collect();
    for store in &stores {
        for bytes in [0, 20 * 24 * 4, u64::MAX] {
            let segment = write(store, 24, Compression::None, &rows);
            assert_eq!(handed_out(&segment, &labels).as_ref(), Ok(&expected));
            segment.set_cache(bytes, &RowCacheBudget::new(u64::MAX));
            // Copied, copied and kept, kept.
            for _ in 0..3 {
                assert_eq!(handed_out(&segment, &labels).as_ref(), Ok(&expected));
            }
            assert_eq!(handed_out(&segment, &[]), Ok(Vec::new()));
            assert_eq!(handed_out(&segment, &[3, 300]), Err(Code::Corrupted));
        }
    }
}

fn any_record() -> impl Strategy<Value = Record> {
    let value = prop_oneof![
        ".{0,12}".prop_map(Value::Str),
        any::<i64>().prop_map(Value::Int),
        (-1e300..1e300).prop_map(Value::Float),
        any::<bool>().prop_map(Value::Bool),
        vec(".{0,4}", 1..3).prop_map(Value::StrArray),
        vec(any::<i64>(), 1..3).prop_map(Value::IntArray),
        vec(-1e3..1e3, 1..3).prop_map(Value::FloatArray),
        vec(any::<bool>(), 1..3).prop_map(Value::BoolArray),
    ];
    let metadata = btree_map(".{0,6}", value, 1..4).prop_map(Metadata::from);
    (option::of(".{0,40}"), option::of(metadata), option::of(".{0,10}"), any::<u64>()).prop_map(
        |(document, metadata, uri, ordinal)| Record { id: String::new(), ordinal, document, metadata, uri },
    )
}

/// Rows with distinct ids and vectors of any bits, NaN included.
fn any_rows() -> impl Strategy<Value = (usize, Vec<Row>)> {
    (1_usize..40, btree_set(".{1,10}", 0..20)).prop_flat_map(|(dim, ids)| {
        let n = ids.len();
        let parts = (vec(any_record(), n), vec(vec(any::<u32>().prop_map(f32::from_bits), dim), n));
        parts.prop_map(move |(records, vectors)| {
            let records =
                records.into_iter().zip(&ids).map(|(record, id)| Record { id: id.clone(), ..record });
            (dim, records.zip(vectors).collect())
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_rows_in_any_store(case in any_rows(), compression in prop::sample::select(COMPRESSIONS.to_vec())) {
        let (dim, expected) = case;
        let (_dir, stores) = stores();
        for store in &stores {
            let segment = write(store, dim, compression, &expected);
            assert_holds(&segment, &expected);
            let reopened = SegmentReader::open(Arc::clone(store), segment.folder()).unwrap();
            assert_holds(&reopened, &expected);
            reopened.verify_all().unwrap();
        }
    }
}

#[test]
fn rows_that_fill_several_batches() {
    let expected = rows(9000, 3);
    let (_dir, stores) = stores();
    for store in &stores {
        for compression in COMPRESSIONS {
            assert_holds(&write(store, 3, compression, &expected), &expected);
        }
    }
}

#[test]
fn vectors_that_fill_several_batches() {
    let dim = 8192;
    let (_dir, stores) = stores();
    let (_, mut writer) = writer(&stores[0], dim, Compression::None);
    let vector = |i: usize| (0..dim).map(|d| (i * 31 + d) as f32).collect::<Vec<_>>();
    let count = 2 * 1024 + 5;
    for i in 0..count {
        writer.push(&Record { id: i.to_string(), ..Record::default() }, &vector(i)).unwrap();
    }
    let segment = writer.publish().unwrap();
    for i in [0, 1, 1023, 1024, 2047, 2048, count - 1] {
        assert_eq!(segment.vector(i as u32).unwrap(), vector(i));
        segment.prefetch(i as u32);
    }
    assert!(segment.touched_bytes() > 0);
    segment.release_pages();
    assert_eq!(segment.touched_bytes(), 0);
    assert_eq!(segment.vector(2000).unwrap(), vector(2000));
}

#[test]
fn a_document_larger_than_a_batch() {
    let mut expected = rows(5, 2);
    expected[1].0.document = Some("å".repeat(9 << 20));
    expected[4].0.document = Some("b".repeat(10 << 20));
    let (_dir, stores) = stores();
    for compression in COMPRESSIONS {
        assert_holds(&write(&stores[0], 2, compression, &expected), &expected);
    }
}

#[test]
fn an_empty_segment() {
    let (_dir, stores) = stores();
    for store in &stores {
        for compression in COMPRESSIONS {
            let segment = write(store, 4, compression, &[]);
            assert_holds(&segment, &[]);
            assert_eq!(segment.find("a").unwrap(), None);
            assert!(segment.index_file().unwrap().is_none());
            assert!(segment.lookup().unwrap().is_none());
            segment.verify_all().unwrap();
        }
    }
}

#[test]
fn a_segment_knows_whether_its_labels_are_in_insertion_order() {
    let (_dir, stores) = stores();
    let segment = |ordinals: &[u64]| {
        let mut rows = rows(ordinals.len(), 2);
        rows.iter_mut().zip(ordinals).for_each(|((record, _), ordinal)| record.ordinal = *ordinal);
        write(&stores[0], 2, Compression::None, &rows)
    };
    for (ordinals, ordered) in
        [(&[][..], true), (&[7], true), (&[3, 4, 9], true), (&[3, 9, 4], false), (&[3, 3], false)]
    {
        assert_eq!(segment(ordinals).is_in_insertion_order().unwrap(), ordered, "{ordinals:?}");
    }
}

#[test]
fn ids_are_found_among_many_and_absent_ones_are_not() {
    let (_dir, stores) = stores();
    for n in [1, 2, 3, 100, 20_000] {
        let segment = write(&stores[0], 1, Compression::None, &rows(n, 1));
        for i in (0..n).step_by(n / 50 + 1) {
            assert_eq!(segment.find(&format!("id-{i}")).unwrap(), Some(i as u32));
            assert_eq!(segment.find(&format!("no-{i}")).unwrap(), None);
        }
        assert_eq!(segment.find("").unwrap(), None);
    }
}

#[test]
fn the_index_and_the_lookup_are_built_from_staged_rows() {
    let expected = rows(10, 4);
    let (codes, links) = (vec![7_u8; 10_001], vec![1_u8, 2, 3]);
    let (_dir, stores) = stores();
    for store in &stores {
        let (folder, mut writer) = writer(store, 4, Compression::Zstd);
        for (record, vector) in &expected {
            writer.push(record, vector).unwrap();
        }
        let staged = writer.finish_rows().unwrap();
        assert_holds(&staged, &expected);
        assert_eq!(VectorRows::len(&staged), 10);
        assert_eq!(DocumentRows::document(&staged, 1).unwrap(), expected[1].0.document.as_deref());
        assert!(store.folders().unwrap().iter().all(|name| *name != folder.to_string()));

        let buffers: [(&str, &[u8]); 3] = [("codes", &codes), ("links", &links), ("empty", &[])];
        writer.write_index("{\"m\":16}", &buffers).unwrap();
        match store.staging_path(&format!("{folder}/lookup.sqlite")).unwrap() {
            Some(path) => {
                std::fs::write(path, b"a database").unwrap();
                writer.add_file("lookup.sqlite").unwrap();
            }
            None => writer.add_bytes("lookup.sqlite", b"a database").unwrap(),
        }
        let segment = writer.publish().unwrap();
        let index = segment.index_file().unwrap().unwrap();
        assert_eq!(index.parameters().unwrap(), "{\"m\":16}");
        for (name, bytes) in buffers {
            let read = index.bytes(index.place(name).unwrap()).unwrap();
            assert_eq!(read, bytes);
            assert!(bytes.is_empty() || read.as_ptr().addr().is_multiple_of(64));
        }
        assert_eq!(index.place("other"), None);
        match segment.lookup().unwrap().unwrap() {
            Lookup::Path(path) => assert_eq!(std::fs::read(path).unwrap(), b"a database"),
            Lookup::Bytes(blob) => assert_eq!(blob.all().unwrap(), b"a database"),
        }
        segment.verify_all().unwrap();
        assert!(segment.bytes_on_disk() > 10_000);
        // The staged view stays readable.
        assert_holds(&staged, &expected);
    }
}

#[test]
fn staged_rows_that_were_not_read_before_are_readable_after_publishing() {
    let expected = rows(10, 4);
    let (_dir, stores) = stores();
    for store in &stores {
        let (_, mut writer) = writer(store, 4, Compression::Lz4);
        for (record, vector) in &expected {
            writer.push(record, vector).unwrap();
        }
        let staged = writer.finish_rows().unwrap();
        writer.publish().unwrap();
        assert_holds(&staged, &expected);
    }
}

#[test]
fn rows_are_copied_from_segment_to_segment_without_decoding() {
    let expected = rows(100, 2);
    let (_dir, stores) = stores();
    let source = write(&stores[0], 2, Compression::Lz4, &expected);
    let (_, mut writer) = writer(&stores[1], 2, Compression::None);
    for label in 0..source.rows() {
        writer.push_ref(source.record_ref(label).unwrap(), source.vector(label).unwrap()).unwrap();
    }
    assert_holds(&writer.publish().unwrap(), &expected);
}

#[test]
fn what_cannot_be_written_is_refused() {
    let (_dir, stores) = stores();
    let (_, mut writer) = writer(&stores[0], 3, Compression::None);
    let record = Record { id: "a".into(), ..Record::default() };
    assert_eq!(writer.push(&record, &[1.0]).unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(writer.push(&record, &[1.0; 3]).unwrap(), 0);
    assert!(writer.add_bytes("records.arrow", b"").is_err());
    assert!(writer.write_index("", &[("a", b""), ("a", b"")]).is_err());
    assert_eq!(writer.add_file("lookup.sqlite").unwrap_err().code(), Code::NotFound);
    writer.finish_rows().unwrap();
    assert!(writer.finish_rows().is_err());
    assert!(writer.push(&record, &[1.0; 3]).is_err());
}
