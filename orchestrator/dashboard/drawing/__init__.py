"""Drawings: pure functions from what is to be shown to SVG. Shapes have classes, places are numbers; no style."""
