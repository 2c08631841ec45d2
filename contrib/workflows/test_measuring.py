"""What is counted of workflows."""

import re

import httpx

from .served import document, processes, setter, workflow

WORKFLOWS = {
    "hello": workflow(("set", setter("*response*", {"body": "hello"}))),
    "fails": workflow(("ask", {"original_name": "boolean_expression", "params": {"expression": "false"}})),
}
WORKFLOWS["fails"]["transitions"] = [["start.ok", "ask"], ["ask.true", "end"]]
WORKFLOWS["fails"]["cells"]["ask"]["outputs"] = ["true"]
ROUTES = [{"route": f"/{name}", "method": "get", "workflow": name, "sync": True, "public": True} for name in WORKFLOWS]


def test_instances_are_counted_by_workflow_and_status(tmp_path):
    made = document(WORKFLOWS, ROUTES, gateway={"observers": ["prometheus"]})
    made["management"]["apps"].append("prometheus")
    with processes(tmp_path, f"sqlite:///{tmp_path / 'store.db'}", made) as start:
        farm = start()
        statuses = [farm.public(f"/{name}").status_code for name in ("hello", "hello", "fails")]
        told = httpx.get(f"{farm.gate.management}/-/metrics", timeout=30, trust_env=False).text

    assert statuses == [200, 200, 500]
    found = dict(re.findall(r"^(hookgate_workflow_\S+) (\S+)$", told, re.MULTILINE))
    counted = {name: float(value) for name, value in found.items()}
    assert counted['hookgate_workflow_instances_total{workflow="hello",status="CLOSED_IN_SUCCESS"}'] == 2
    assert counted['hookgate_workflow_instances_total{workflow="fails",status="CLOSED_IN_ERRORS"}'] == 1
    assert counted['hookgate_workflow_seconds_count{workflow="hello"}'] == 2
    assert counted["hookgate_workflow_running"] == 0
