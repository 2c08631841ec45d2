"""Calls that workflows have made are found by host, client, status, method and URL."""

import httpx

from hookgate.testing import upstream

from .served import document, processes, workflow


def test_outbound_calls_are_found(tmp_path, database_url):
    with upstream(lambda request: (404 if request.path == "/none" else 200, {}, "")) as shop:
        call = {"original_name": "http_call", "params": {"connection": "shop", "url": "/{{ request.match_info.what }}"}}
        far = {"original_name": "http_call", "params": {"url": f"{shop.url}/far_1", "method": "PUT"}}
        routes = [{"route": "/{what}", "method": "get", "workflow": "both", "sync": True, "on_missing_response": 204}]
        flows = {"both": workflow(("near", call), ("far", far))}
        made = document(flows, routes, connections={"shop": {"targets": shop.url}})
        with processes(tmp_path, database_url, made) as start:
            farm = start()
            for who, what in (("ann", "tea"), ("bob", "none")):
                assert farm.call(f"/api/v01/custom/{what}", who=who).status_code == 204

            def found(query):
                headers = {"authorization": "Bearer token-of-ann"}
                url = f"{farm.gate.management}/-/api/outbound-calls?{query}"
                return httpx.get(url, headers=headers, timeout=30, trust_env=False)

            def urls(query):
                return [each["url"].removeprefix(shop.url) for each in found(query).json()["calls"]]

            assert urls("") == ["/far_1", "/none", "/far_1", "/tea"]
            assert urls("host=shop") == ["/none", "/tea"]
            assert urls(f"host={shop.url.removeprefix('http://')}&client=ann") == ["/far_1"]
            assert urls("status=404") == ["/none"]
            assert urls("status=none") == []
            assert urls("method=put&client=bob") == ["/far_1"]
            assert urls("url=/te") == ["/tea"]
            assert urls("url=/te_") == []
            page = found("limit=3").json()
            assert urls(f"limit=3&before={page['next']}") == ["/tea"]
            assert [found(query).status_code for query in ("status=x", "before=1", "url=%00")] == [400] * 3
