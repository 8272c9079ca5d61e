use super::*;

#[test]
fn a_rounding_is_the_same_vector_and_another_is_not() {
    assert!(is_same(&[3.0, 4.0], &[3.000_000_2, 4.0]));
    assert!(!is_same(&[3.0, 4.0], &[3.01, 4.0]));
    assert!(!is_same(&[3.0, 4.0], &[3.0, 4.0, 0.0]));
}

#[test]
fn a_folder_that_is_none_of_chromas_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |path: &Path| ChromaSource::open(path).unwrap_err();
    assert_eq!(refused(&folder.path().join("missing")).code(), Code::InvalidArgument);
    assert!(refused(folder.path()).message().contains("holds no chroma.sqlite3"));
    std::fs::write(folder.path().join("chroma-collections.parquet"), b"").unwrap();
    assert!(refused(folder.path()).message().contains("0.3"));
    std::fs::write(folder.path().join("chroma.sqlite3"), b"short").unwrap();
    assert_eq!(refused(folder.path()).code(), Code::Corrupted);
}
