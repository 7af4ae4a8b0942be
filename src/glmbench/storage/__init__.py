"""The ground floor: atomic files, content hashes, the cache, and fetching from sources and mirrors."""
