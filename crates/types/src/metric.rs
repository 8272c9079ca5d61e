use std::fmt;
use std::str::FromStr;

use crate::{Code, Error};

/// How two vectors are compared. Smaller is nearer, always.
///
/// Definitions follow Chroma's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Metric {
    /// Squared Euclidean distance, no root: `sum (a - b)^2`.
    #[default]
    L2,
    /// `1 - a . b`. May be negative.
    InnerProduct,
    /// `1 - cos(a, b)`, with vectors normalised by `|x| + 1e-30`: a zero vector is at distance 1 from everything.
    Cosine,
}

impl Metric {
    /// The name in configurations: `l2`, `ip`, `cosine`.
    pub fn as_str(self) -> &'static str {
        match self {
            Metric::L2 => "l2",
            Metric::InnerProduct => "ip",
            Metric::Cosine => "cosine",
        }
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
        match s {
            "l2" => Ok(Metric::L2),
            "ip" => Ok(Metric::InnerProduct),
            "cosine" => Ok(Metric::Cosine),
            _ => Err(Error::new(
                Code::Unprocessable,
                format!("unknown space `{s}`, expected one of `l2`, `cosine`, `ip`"),
            )),
        }
    }
}
