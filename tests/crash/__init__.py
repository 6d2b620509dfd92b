"""Real processes on a real Kafka, killed at named moments, frozen, starved of disk; judged by their own tables."""
