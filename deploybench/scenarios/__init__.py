"""MLPerf's four load scenarios by MLPerf's own LoadGen, over any runner."""
