use proptest::prelude::*;

use super::*;

const DIM: usize = 2;
const LINKS: usize = 12;
const SIZE: usize = LINKS + 4 * DIM + 8;

/// Header, elements, norms and pickle of a folder with these elements: label, whether deleted, vector.
struct Sample {
    header: Vec<u8>,
    elements: Vec<u8>,
    lengths: Vec<u8>,
    pickle: Vec<u8>,
}

fn sample(elements: &[(u64, bool, [f32; DIM])]) -> Sample {
    let mut header = vec![0; HEADER_BYTES];
    header[0] = 1;
    for (at, value) in [(12, 100), (20, elements.len()), (28, SIZE), (36, SIZE - 8), (44, LINKS)] {
        header[at..at + 8].copy_from_slice(&(value as u64).to_le_bytes());
    }
    let mut bytes = Vec::new();
    let mut ids = Vec::new();
    let mut labels = Vec::new();
    for (label, deleted, vector) in elements {
        let mut links = [0; LINKS];
        links[FLAGS] = u8::from(*deleted);
        bytes.extend(links);
        vector.iter().for_each(|component| bytes.extend(component.to_le_bytes()));
        bytes.extend(label.to_le_bytes());
        ids.extend([0x8c, 2, b'r', b'0' + *label as u8, b'K', *label as u8]);
        labels.extend([b'K', *label as u8, 0x8c, 2, b'r', b'0' + *label as u8]);
    }
    let pickle =
        [b"\x80\x04}(\x8c\x0bid_to_label}(".as_slice(), &ids, b"u\x8c\x0blabel_to_id}(", &labels, b"uu."];
    let lengths = elements.iter().flat_map(|_| 2.0_f32.to_le_bytes()).collect();
    Sample { header, elements: bytes, lengths, pickle: pickle.concat() }
}

type Opened = Result<Option<(HnswFolder, Elements)>>;

fn open(sample: &Sample, cosine: bool) -> (Opened, Vec<Problem>) {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        (HEADER, &sample.header),
        (ELEMENTS, &sample.elements),
        (LENGTHS, &sample.lengths),
        (PICKLE, &sample.pickle),
    ];
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let mut problems = Vec::new();
    (HnswFolder::open(folder.path(), cosine, &mut problems), problems)
}

#[test]
fn vectors_are_as_long_as_before_they_were_normalised() {
    let sample = sample(&[(1, false, [1.0, 0.0]), (2, true, [0.0, 1.0]), (3, false, [0.6, 0.8])]);
    let (opened, problems) = open(&sample, true);
    let (mut folder, elements) = opened.unwrap().unwrap();
    assert_eq!(elements, Elements::from([("r1".into(), Some(0)), ("r3".into(), Some(2))]));
    assert_eq!(folder.vector(2).unwrap(), [1.2, 1.6]);
    assert!(problems.is_empty());
    let (opened, _) = open(&sample, false);
    assert_eq!(opened.unwrap().unwrap().0.vector(2).unwrap(), [0.6, 0.8]);
}

#[test]
fn what_is_cut_off_or_twice_there_is_lost_and_reported() {
    let mut sample = sample(&[(1, false, [1.0, 0.0]), (1, false, [0.0, 1.0]), (3, false, [1.0, 0.0])]);
    sample.elements.truncate(2 * SIZE + 5);
    let (opened, problems) = open(&sample, false);
    let (_, elements) = opened.unwrap().unwrap();
    assert_eq!(elements, Elements::from([("r1".into(), None), ("r3".into(), None)]));
    assert_eq!(problems.len(), 2, "{problems:?}");
}

#[test]
fn vectors_that_cannot_be_right_are_refused() {
    let (opened, _) = open(&sample(&[(1, false, [2.0, 0.0]), (2, false, [f32::NAN, 0.0])]), true);
    let mut folder = opened.unwrap().unwrap().0;
    assert!(folder.vector(0).unwrap_err().message().contains("not normalised"));
    assert!(folder.vector(1).unwrap_err().message().contains("not finite"));
    assert!(folder.vector(2).is_err());
}

#[test]
fn a_header_that_does_not_fit_is_refused() {
    let good = sample(&[(1, false, [1.0, 0.0])]);
    for (at, value) in
        [(0, 2_u64), (4, 8), (28, 0), (28, 1 << 40), (36, 0), (36, u64::MAX), (44, 1 << 20), (44, 1)]
    {
        let mut header = good.header.clone();
        if at == 0 {
            header[0] = 2;
        } else {
            header[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        assert!(Layout::parse("h", &header).is_err(), "{value} at {at}");
    }
    assert!(Layout::parse("h", &good.header[..99]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn changed_bytes_never_panic(
        file in 0..4_usize,
        changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..8),
        cut in any::<Option<usize>>(),
        cosine in any::<bool>(),
    ) {
        let mut sample = sample(&[(1, false, [1.0, 0.0]), (2, true, [0.0, 1.0]), (3, false, [0.6, 0.8])]);
        let bytes = match file {
            0 => &mut sample.header,
            1 => &mut sample.elements,
            2 => &mut sample.lengths,
            _ => &mut sample.pickle,
        };
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut % bytes.len());
        }
        if let (Ok(Some((mut folder, elements))), _) = open(&sample, cosine) {
            for element in elements.values().flatten() {
                let _ = folder.vector(*element);
            }
        }
    }
}
