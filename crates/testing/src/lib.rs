//! Datasets, recall and generators for tests
