"""The Python API: one module and one function a verb, the same that the command calls.

Here, and only here, packages that do not know one another meet.
"""
