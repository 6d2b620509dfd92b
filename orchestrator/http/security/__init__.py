"""Who asks, and what they may: every route says which role it needs, and nothing is served that does not."""
