"""Each alert fires for the cell that is in trouble and for no other, by Prometheus's own engine."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

RULES = Path(__file__).resolve().parents[2] / "docs" / "grafana" / "alerts.yml"
PROMTOOL = shutil.which("promtool")
HOURS = 4
MINUTES = "x240"  # so often a series has its next value

# What a metric does, as promtool writes it: a value for good, or one to begin with and what is added each minute.
TROUBLE: dict[str, Mapping[str, str]] = {
    "FdistNoCoordinator": {'fdist_coordinator_leading{part="reaper"}': "0"},
    "FdistPartUnreachable": {'fdist_up{part="redis"}': "0"},
    "FdistRecorderBehind": {"fdist_recorder_lag_seconds": "90"},
    "FdistRedisEvicts": {"fdist_redis_evicted_keys_total": "0+1"},
    "FdistRedisBusy": {
        'fdist_redis_command_seconds_total{command="fcall"}': "0+30",
        'fdist_redis_command_seconds_total{command="xread"}': "0+25",
    },
    "FdistNodesDead": {'fdist_nodes{state="dead"}': "6", 'fdist_nodes{state="live"}': "94"},
    "FdistTransfersFail": {
        'fdist_transfer_failures_total{reason="busy"}': "0+6",
        'fdist_transfers_total{source="peer"}': "0+100",
    },
    "FdistWrongChecksums": {'fdist_verification_failures_total{of="shard"}': "0+1"},
    "FdistJobsFail": {'fdist_jobs_ended_total{state="failed"}': "0+1"},
    "FdistNothingMoves": {
        'fdist_jobs{state="running"}': "1",
        "fdist_transfers_running": "0",
        "fdist_nodes_waiting": "7",
    },
    "FdistBucketReadMoreThanOnce": {
        'fdist_job_amplification_ratio_bucket{le="1.5"}': "0+0",
        'fdist_job_amplification_ratio_bucket{le="2.0"}': "0+1",
        'fdist_job_amplification_ratio_bucket{le="+Inf"}': "0+1",
    },
    "FdistDiskAlmostFull": {"fdist_agent_disk_free_bytes": "4", "fdist_agent_disk_bytes": "100"},
    "FdistAgentNotRegistered": {"fdist_agent_registered": "0"},
    "FdistStandingBehind": {'fdist_standing_nodes{standing="llama", use="behind"}': "2"},
    "FdistStandingVersionFailed": {'fdist_standing_failed{standing="llama"}': "1"},
    "FdistStandingSourceTrouble": {'fdist_standing_trouble{standing="llama"}': "1"},
    "FdistStandingNotChecked": {'fdist_standing_check_overdue_seconds{standing="llama"}': "700"},
}
HEALTH: Mapping[str, str] = {
    'fdist_coordinator_leading{part="reaper"}': "1",
    'fdist_up{part="redis"}': "1",
    "fdist_recorder_lag_seconds": "1",
    "fdist_redis_evicted_keys_total": "0",
    'fdist_redis_command_seconds_total{command="fcall"}': "0+20",
    'fdist_redis_command_seconds_total{command="xread"}': "0+10",
    'fdist_nodes{state="dead"}': "4",
    'fdist_nodes{state="live"}': "96",
    'fdist_transfer_failures_total{reason="busy"}': "0+4",
    'fdist_transfers_total{source="peer"}': "0+100",
    'fdist_verification_failures_total{of="shard"}': "3",
    'fdist_jobs_ended_total{state="failed"}': "2",
    'fdist_jobs{state="running"}': "1",
    "fdist_transfers_running": "5",
    "fdist_nodes_waiting": "7",
    'fdist_job_amplification_ratio_bucket{le="1.5"}': "0+1",
    'fdist_job_amplification_ratio_bucket{le="2.0"}': "0+1",
    'fdist_job_amplification_ratio_bucket{le="+Inf"}': "0+1",
    "fdist_agent_disk_free_bytes": "20",
    "fdist_agent_disk_bytes": "100",
    "fdist_agent_registered": "1",
    'fdist_standing_nodes{standing="llama", use="behind"}': "0",
    'fdist_standing_failed{standing="llama"}': "0",
    'fdist_standing_trouble{standing="llama"}': "0",
    'fdist_standing_check_overdue_seconds{standing="llama"}': "20",
}


def series(cell: str, metrics: Mapping[str, str]) -> list[dict[str, str]]:
    """As a Prometheus has them that scrapes a cell as a job of that name."""
    found = []
    for metric, does in metrics.items():
        name, _, labels = metric.rstrip("}").partition("{")
        scraped = ", ".join(filter(None, [f'job="{cell}"', 'instance="10.0.0.1:9464"', labels]))
        found.append({"series": f"{name}{{{scraped}}}", "values": does + (MINUTES if "+" in does else f"+0{MINUTES}")})
    return found


def test_every_alert_is_tried() -> None:
    rules = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
    assert [rule["alert"] for rule in rules] == list(TROUBLE)


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not on PATH; Debian's package prometheus has it")
@pytest.mark.parametrize("alert", TROUBLE)
def test_an_alert_fires_for_the_cell_in_trouble_alone(alert: str, tmp_path: Path) -> None:
    assert set(TROUBLE[alert]) <= set(HEALTH)
    case = {
        "interval": "1m",
        "input_series": [*series("troubled", {**HEALTH, **TROUBLE[alert]}), *series("healthy", HEALTH)],
        "promql_expr_test": [
            {
                "expr": 'count by (alertname, job) (ALERTS{alertstate="firing"})',
                "eval_time": f"{HOURS - 1}h",
                "exp_samples": [{"labels": f'{{alertname="{alert}", job="troubled"}}', "value": 1}],
            }
        ],
    }
    file = tmp_path / "case.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [case]}))
    done = subprocess.run([str(PROMTOOL), "test", "rules", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
