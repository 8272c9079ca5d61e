//! Nearest-neighbour indices: flat and hnsw, and the cache of open ones
