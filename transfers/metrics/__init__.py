"""What is told to Prometheus: `counts` of what the coordinator sees happen, `cell` of how things are.

Labels have few values, whatever the size of the fleet: a node's own figures come from its agent.
"""
