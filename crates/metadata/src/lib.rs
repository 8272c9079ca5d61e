//! SQLite: catalog, log, postings, full text, and filters to bitmaps
