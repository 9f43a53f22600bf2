"""The coordinator's loops: recorder, planner, reaper. Of several coordinators one does the work of each."""
