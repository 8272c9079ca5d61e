//! The Node addon: conversions only
