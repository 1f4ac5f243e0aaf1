"""The files of other benchmarks: a module for each tool, each of the same shape.

``reads`` says whether a file is one of that tool's, ``results`` gives what it tells as documents
(:class:`deploybench.archive.imported.Imported`) in this program's units. Where the format is
defined stands at the top of each module. What is no number that a measurement gives is refused.
"""
