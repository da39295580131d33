"""Faust, a batch at a time. Read `engine` first, then `partition`, `frontier` and `seams`."""
