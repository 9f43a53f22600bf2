"""The coordinator's loops: recorder, planner, reaper, watcher, herald, standing. Of several coordinators one does the
work of each."""
