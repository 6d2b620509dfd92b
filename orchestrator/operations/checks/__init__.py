"""What `saga doctor` looks at: each file looks at one thing, and judges what it saw by a pure function."""
