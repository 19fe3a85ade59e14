"""Recordings: pictures with what was answered about them, as MCAP files that Foxglove and Rerun open as they are."""
