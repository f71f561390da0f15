"""Several models that act as one (`search.ensemble`): the mean of what each wants."""
