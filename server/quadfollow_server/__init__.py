"""The real-time server: one inference engine behind HTTP and ZeroMQ."""
