//! Venue protocols, a folder each: feed and order entry, both directions.
