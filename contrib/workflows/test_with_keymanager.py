"""Custom routes that are not public take the tokens of the key manager, without a word about it in the document."""

import pytest

from contrib.keymanager.town import serving

MORE = """\
workflows:
  mine:
    cells:
      start: {original_name: start}
      say: {original_name: context_setter, params: {key: "*response*", value: {body: "{{ user.name }}"}}}
      end: {original_name: end}
    transitions: [[start.ok, say], [say.ok, end]]
custom_routes:
  - {route: /my-route, method: get, workflow: mine, sync: true}
  - {route: /later, method: get, workflow: mine}
"""


@pytest.mark.row("CR-22", "CR-8")
def test_a_custom_route_takes_a_token_of_the_key_manager(tmp_path):
    with serving(tmp_path, f"sqlite:///{tmp_path / 'store.db'}", "http://127.0.0.1:9", more=MORE) as town:
        path, token = "/api/v01/custom/my-route", town.token(town.client())["access_token"]
        other = town.token(town.client(), grant_type="password", username="john", password="correct horse battery")

        told = [town.call(shown, path).status_code for shown in ("", "none-of-ours", token)]
        assert told == [401, 401, 200]
        assert town.call(token, path).text == "tom"

        number = town.call(token, "/api/v01/custom/later").json()["id"]
        seen = [town.call(shown, f"/api/v01/transactions/{number}") for shown in (token, other["access_token"], "")]
        assert [each.status_code for each in seen] == [200, 403, 401]
        assert seen[0].json()["owner"] == "tom"
