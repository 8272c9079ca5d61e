/// Mean share of the exact neighbours that were found: recall@k, where k is the length of each `exact` list.
pub fn recall(found: &[Vec<u32>], exact: &[Vec<u32>]) -> f64 {
    let hits: usize =
        found.iter().zip(exact).map(|(f, e)| e.iter().filter(|label| f.contains(label)).count()).sum();
    let wanted: usize = exact.iter().map(Vec::len).sum();
    hits as f64 / wanted.max(1) as f64
}

#[cfg(test)]
mod tests {
    #[test]
    fn counts_what_was_found() {
        let exact = [vec![1, 2, 3, 4], vec![5, 6, 7, 8]];
        assert_eq!(super::recall(&[vec![4, 3, 2, 1], vec![9, 5]], &exact), 5.0 / 8.0);
    }
}
