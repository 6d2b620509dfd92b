"""Sagas: listed, shown, explained, begun and watched."""
