"""What is wrong with a data set or a run, measured: the package of ``volunet doctor``."""
