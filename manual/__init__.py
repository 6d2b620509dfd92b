"""The documentation site: pages of docs/, and a reference that is made of the code each time.

`make docs` builds it strictly into build/site, `make docs-serve` shows it while you write. Nothing of it is installed.
"""
