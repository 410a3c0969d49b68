"""The product's own HTTP server: health, metrics, feedback, the tickets API, and the channels' routes."""
