"""Stores the daemons agree in, behind `model.ports.Coordination`: `local` for one controller."""
