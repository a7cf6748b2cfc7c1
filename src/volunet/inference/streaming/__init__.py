"""Exact whole-volume prediction in a bounded memory: a graph streamed along one axis.

`fixed` → a model at one size, every constant computed; `lowering` writes global operators as
statistics of slices; `flows` finds how each tensor follows the axis; `groups` what runs in one call
of an engine; `kernels` the model of one call; `program` what is buffered, recomputed or spilled;
`schedule` in which order; `planning` chooses among programs; `execution` runs one.
"""
