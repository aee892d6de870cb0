"""A node's power switch, driven by any fence-agents program (`fence_ipmilan`, `fence_redfish` …).

metadata  what a program says of itself: parameters and actions
program   one call of it, with its secrets and its deadline
options   what it is to be told, checked against what it says of itself
device    the switch: the port `PowerSwitch`
"""
