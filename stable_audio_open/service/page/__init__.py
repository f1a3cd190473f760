"""The page: forms whose requests go into the service's queue, as those of HTTP do."""
