use ferrochrome_types::Code;
use proptest::prelude::*;

use super::*;

/// `{"id_to_label": {"a": 1, "b": 2}, "label_to_id": {1: "a", 2: "b"}, ...}` as `serde_pickle` writes it: no memo.
fn dict_pickle(pairs: &[(&str, u8)]) -> Vec<u8> {
    let text = |out: &mut Vec<u8>, text: &str| {
        out.push(b'X');
        out.extend((text.len() as u32).to_le_bytes());
        out.extend(text.as_bytes());
    };
    let mut out = vec![0x80, 3, b'}', b'('];
    text(&mut out, "dimensionality");
    out.push(b'N');
    text(&mut out, "id_to_label");
    out.extend(*b"}(");
    for (id, label) in pairs {
        text(&mut out, id);
        out.extend([b'J', *label, 0, 0, 0]);
    }
    out.push(b'u');
    text(&mut out, "label_to_id");
    out.extend(*b"}(");
    for (id, label) in pairs {
        out.extend([b'J', *label, 0, 0, 0]);
        text(&mut out, id);
    }
    out.extend(*b"uu.");
    out
}

/// The same as an object of Chroma's class, in protocol 4, with the operations that larger files have.
fn object_pickle() -> Vec<u8> {
    let mut out = vec![0x80, 4, 0x95, 0, 0, 0, 0, 0, 0, 0, 0];
    for name in [CLASS.0, CLASS.1] {
        out.extend([0x8c, name.len() as u8]);
        out.extend(name.as_bytes());
        out.push(0x94);
    }
    out.extend([0x93, 0x94, b')', 0x81, 0x94, b'}', 0x94, b'(']);
    let short = |out: &mut Vec<u8>, text: &str| {
        out.extend([0x8c, text.len() as u8]);
        out.extend(text.as_bytes());
        out.push(0x94);
    };
    short(&mut out, "max_seq_id");
    out.extend([0x8a, 2, 0x10, 0x27]);
    short(&mut out, "id_to_label");
    out.extend([b'}', 0x94, b'(']);
    short(&mut out, "a");
    out.extend([b'M', 1, 0, b'u']);
    short(&mut out, "label_to_id");
    // The id is remembered: MEMOIZE number 8.
    out.extend([b'}', 0x94, b'(', b'K', 1, b'h', 8, b'u']);
    short(&mut out, "id_to_seq_id");
    out.extend([b'}', b'(']);
    short(&mut out, "b");
    out.extend([b'C', 2, 1, 2, b'u', b'u', b'b', b'.']);
    out
}

#[test]
fn both_forms_are_read() {
    let data = read("p", &dict_pickle(&[("a", 1), ("b", 2)])).unwrap();
    assert_eq!(data.labels, HashMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]));
    assert_eq!(data.max_seq_id, None);
    let data = read("p", &object_pickle()).unwrap();
    assert_eq!(data.labels, HashMap::from([("a".to_owned(), 1)]));
    assert_eq!(data.max_seq_id, Some(10_000));
}

#[test]
fn an_id_whose_entries_disagree_is_named() {
    let mut bytes = dict_pickle(&[("a", 1), ("b", 2)]);
    let at = bytes.windows(2).rposition(|pair| pair == [b'J', 2]).unwrap();
    bytes[at + 1] = 3;
    let data = read("p", &bytes).unwrap();
    assert_eq!(data.contradictions, ["b"]);
    assert_eq!(data.labels.len(), 1);
}

#[test]
fn what_would_run_code_is_refused() {
    let text = |text: &str| [&[0x8c, text.len() as u8][..], text.as_bytes()].concat();
    let global = |module, name| [text(module), text(name), vec![0x93]].concat();
    let hostile: [Vec<u8>; 9] = [
        b"cos\nsystem\n(S'ls'\ntR.".to_vec(),
        [global("os", "system"), text("ls"), vec![0x85, b'R', b'.']].concat(),
        [global("builtins", "eval"), b".".to_vec()].concat(),
        // Chroma's class, but called.
        [global(CLASS.0, CLASS.1), b")R.".to_vec()].concat(),
        // An attribute of its module: `sys`, for example.
        [global(CLASS.0, "os"), b".".to_vec()].concat(),
        // A class by a number, INST, persistent ids, extensions, and a buffer from elsewhere.
        vec![b'K', 1, b'K', 2, 0x93, b'.'],
        b"(ios\nsystem\n.".to_vec(),
        b"\x80\x02NQ.".to_vec(),
        vec![0x82, 1, b'.'],
    ];
    for bytes in hostile {
        let error = read("p", &bytes).unwrap_err();
        assert_eq!(error.code(), Code::Untrusted, "{error}");
    }
}

#[test]
fn a_file_that_is_cut_off_is_damaged() {
    for whole in [dict_pickle(&[("a", 1), ("b", 2)]), object_pickle()] {
        for length in 0..whole.len() {
            let error = read("p", &whole[..length]).unwrap_err();
            assert_eq!(error.code(), Code::Corrupted, "{error}");
        }
    }
}

#[test]
fn memory_stays_in_proportion() {
    // A dictionary that is filled with itself again and again, which doubles in a machine that copies.
    let mut bytes = vec![b'}', b'q', 0, b'(', b'K', 1, b'K', 2, b'u'];
    for _ in 0..1_000 {
        bytes.extend([b'h', 0, b'b']);
    }
    bytes.push(b'.');
    assert_eq!(read("p", &bytes).unwrap_err().code(), Code::Corrupted);
}

proptest! {
    #[test]
    fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read("p", &bytes);
    }

    #[test]
    fn changed_bytes_never_panic(changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..6), object in any::<bool>()) {
        let mut bytes = if object { object_pickle() } else { dict_pickle(&[("a", 1), ("bc", 2), ("d", 3)]) };
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        let _ = read("p", &bytes);
    }
}
