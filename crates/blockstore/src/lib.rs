//! Segment files: Arrow, mapped and checksummed, over a blob store
