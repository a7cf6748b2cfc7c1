"""Regression of one number a scan: the mean over all voxels of what the network answers."""
