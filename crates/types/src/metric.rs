use std::fmt;
use std::str::FromStr;

use crate::{Code, Error, Result};

/// How two vectors are compared. Smaller is nearer, always.
///
/// The definitions of `l2`, `ip` and `cosine` follow Chroma's; the other five are not in Chroma. `p` and `q` stand for `a` and `b`
/// divided by the sum of their components, so that they add up to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Metric {
    /// Squared Euclidean distance, no root: `sum (a - b)^2`.
    #[default]
    L2,
    /// `1 - a . b`. May be negative.
    InnerProduct,
    /// `1 - cos(a, b)`, with vectors normalised by `|x| + 1e-30`: a zero vector is at distance 1 from everything.
    Cosine,
    /// Manhattan distance: `sum |a - b|`.
    L1,
    /// The share of components that differ, `0..=1`.
    Hamming,
    /// Weighted Jaccard distance of non-negative vectors: `1 - sum min(a, b) / sum max(a, b)`, `0..=1`. For components of 0 and 1 that
    /// of the sets. Two zero vectors are at distance 0.
    Jaccard,
    /// Hellinger distance of non-negative vectors: `sqrt(1 - sum sqrt(p q))`, `0..=1`. A zero vector is at distance 0 from another
    /// and at 1 from everything else.
    Hellinger,
    /// Jensen-Shannon distance of non-negative vectors, the root of the divergence by natural logarithms: `sqrt(sum (p ln(p / m)
    /// + q ln(q / m)) / 2)` with `m = (p + q) / 2`, `0..=sqrt(ln 2)`. A zero vector is at distance 0 from another and at
    /// `sqrt(ln 2)` from everything else.
    JensenShannon,
}

impl Metric {
    /// All of them, Chroma's first.
    pub const ALL: [Metric; 8] = [
        Metric::L2,
        Metric::Cosine,
        Metric::InnerProduct,
        Metric::L1,
        Metric::Hamming,
        Metric::Jaccard,
        Metric::Hellinger,
        Metric::JensenShannon,
    ];

    /// The name in configurations, for example `l2` or `jensen-shannon`.
    pub fn as_str(self) -> &'static str {
        match self {
            Metric::L2 => "l2",
            Metric::InnerProduct => "ip",
            Metric::Cosine => "cosine",
            Metric::L1 => "l1",
            Metric::Hamming => "hamming",
            Metric::Jaccard => "jaccard",
            Metric::Hellinger => "hellinger",
            Metric::JensenShannon => "jensen-shannon",
        }
    }

    /// Whether quantised codes can stand for vectors under this metric: they approximate dot products, so only under `l2`, `ip` and
    /// `cosine`.
    pub fn has_codes(self) -> bool {
        matches!(self, Metric::L2 | Metric::InnerProduct | Metric::Cosine)
    }

    /// Refuses a vector that the metric is not defined for: under `jaccard`, `hellinger` and `jensen-shannon` no component may be
    /// negative. `what` names the vector in the message.
    ///
    /// # Errors
    /// `InvalidArgument`.
    pub fn check(self, vector: &[f32], what: impl fmt::Display) -> Result<()> {
        if !matches!(self, Metric::Jaccard | Metric::Hellinger | Metric::JensenShannon) {
            return Ok(());
        }
        let Some(at) = vector.iter().position(|component| *component < 0.0) else { return Ok(()) };
        Err(Error::invalid(format!(
            "Space `{self}` compares vectors without negative components, but component {at} of {what} is {}: give non-negative \
             embeddings, or choose another space when the collection is created",
            vector[at]
        )))
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Metric {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self, Error> {
        Metric::ALL.into_iter().find(|metric| metric.as_str() == s).ok_or_else(|| {
            let names = Metric::ALL.map(|metric| format!("`{metric}`")).join(", ");
            Error::new(Code::Unprocessable, format!("unknown space `{s}`, expected one of {names}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for metric in Metric::ALL {
            assert_eq!(metric.as_str().parse::<Metric>().unwrap(), metric);
        }
        let error = "L1".parse::<Metric>().unwrap_err();
        assert!(
            error
                .message()
                .ends_with("`l2`, `cosine`, `ip`, `l1`, `hamming`, `jaccard`, `hellinger`, `jensen-shannon`")
        );
    }

    #[test]
    fn negative_components_are_refused_where_the_metric_has_no_meaning_for_them() {
        for metric in Metric::ALL {
            let refused = matches!(metric, Metric::Jaccard | Metric::Hellinger | Metric::JensenShannon);
            assert_eq!(metric.check(&[0.0, 1.0, -1e-30], "the query").is_err(), refused);
            assert!(metric.check(&[0.0, -0.0, 2.0], "the query").is_ok());
        }
        let error = Metric::Jaccard.check(&[0.0, -0.5], "embedding 3").unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
        assert!(error.message().contains("component 1 of embedding 3 is -0.5"), "{error}");
    }
}
