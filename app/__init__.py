"""Where the parts are put together and shown: daemon, command line, HTTP API, metrics, demo.

The only folder that knows all the others. A daemon's instant is a `live.View`; `summary` makes of it the
`status.Status` that JSON, metrics and screens are made of. Nothing here decides anything.
"""
