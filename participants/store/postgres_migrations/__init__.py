"""The guard's schema on PostgreSQL: numbered files, each carried out once."""
