//! The database: collections, snapshots, planner, seal and compaction
