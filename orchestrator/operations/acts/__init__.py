"""The operator's verbs: for one saga or for many, sent and followed to what came of them."""
