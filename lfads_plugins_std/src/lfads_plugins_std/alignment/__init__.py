"""Sessions with neurons of their own, aligned by the conditions they share."""
