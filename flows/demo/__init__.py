"""The demo: real servers and workers, traffic as upstream writes it, faults, and a reckoning by an independent reader.

`show` runs it; `people`, `traffic` and `sender` are what comes in, `watch` and `screen` what one sees meanwhile, `lag`
says when all is done, `audit` takes the two sums and `summary` prints them.
"""
