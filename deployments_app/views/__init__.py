"""Pages of requests, placements and rollouts."""
