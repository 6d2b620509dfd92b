"""What a participant remembers between commands: the fence, how far it has read, and which store it is."""
