"""A network's graph, or its picture, as PyTorch source that a person could have written.

================== ===========================================================================
`reading`          a graph → layers: modules and calls without names, sizes as shapes
`idioms`           layers that exporters spread over several operators, put together again
`ordering`         the layers in an order that only depends on the network
`blocks`           layers → blocks that repeat, and runs of blocks (`grammar`, `repeats`)
`parameters`       the arguments of each block's class (`scalars`)
`writing`          the source: blocks (`block_class`), the network (`network_items`,
                   `network_class`), and the rest
`weights`          the parameters' values under the source's names
`verification`     the source run beside the file, in a process of its own
================== ===========================================================================

Nothing that a file says becomes source, neither names nor texts: names are made here, numbers are
numbers, and operators are those of `volunet.graph.operators`.
"""
