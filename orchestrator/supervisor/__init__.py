"""Processes of ours under one roof: started in order, restarted when they die, stopped in reverse, never left behind.

It knows processes and their log lines; what they are for is the business of `saga up` and `saga demo`.
"""
