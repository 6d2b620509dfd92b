"""`make deploy-test`: what is shipped in deploy/, really run, where no registry is reached."""
