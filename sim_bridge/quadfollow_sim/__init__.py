"""Worlds to fly in and the loop that streams their frames to a server."""
