"""The wiring: one file a deployable, the only owners of an App, and the doors to the outside. Imports all of the above.

Start with `route`, then `deliver`, `retry` and `record`; `engine/` is Faust, a batch at a time; `cli/` is the
`carillon` command; `settings` what the environment sets, but for the providers' own. `clients` makes the clients of AWS
and holds DynamoDB's rows, which `writer` writes as `row_items` has them; `templates` is the cache in front of S3.
"""
