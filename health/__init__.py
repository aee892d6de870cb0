"""Watching: dialogues, probes, sentinels, detectors and the observer's report.

Layers, each knowing only those before it: `dialogues/` (bytes in, events out), `streams` and `tls`
(one byte-stream interface, whatever carries it), `probe` (one dialogue from connect to close),
`detector` (results to verdict, pure), `schedule` and `sentinel` (when to probe), `observer` (all of a
cluster into one report). It says what was seen and never what to do about it.
"""
