"""Templates: what they give, and what ends them."""

import hmac
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from hookgate_workflows.rendering import Rendering
from hookgate_workflows.templating import TemplateFailed, compiled

from .served import document, serving, setter, workflow

VALUES = {
    "request": {"body": {"items": [{"n": 1}, {"n": 2}], "name": "Ann"}, "params": {"a": "1"}, "method": "GET"},
    "context": {"*odd*": 5, "list": [3, 1, 3], "json": '{"x": [1, 2]}', "text": "hello, world"},
}


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("plain", "plain"),
        ("{{ request.body['items'] }}", [{"n": 1}, {"n": 2}]),
        ("{{ request.params.a | int + 1 }}", 2),
        (" {{- context['*odd*'] -}} ", 5),
        ("{{ request.body.name }} and {{ request.body.name | lower }}", "Ann and ann"),
        ('{"a": {{ request.body | tojson }}}', {"a": VALUES["request"]["body"]}),
        ("[not json {{ request.method }}", "[not json GET"),
        ("{{ request.body | json_query('items[].n') }}", [1, 2]),
        ("{{ context.json | json }}", {"x": [1, 2]}),
        ("{{ ({'status': 200, 'body': context.json} | rest2dict).body.x }}", [1, 2]),
        ("{{ {'a': 1} | combine({'b': 2}) }}", {"a": 1, "b": 2}),
        ("{{ context.list | unique }}", [3, 1]),
        (
            "{{ [1, 2] | union([2, 3]) }} {{ [1, 2] | intersect([2]) }} {{ [1, 2] | difference([2]) }}",
            "[1, 2, 3] [2] [1]",
        ),
        ("{{ context.text | regex_search('w\\\\w+') }}", "world"),
        ("{{ context.text | regex_findall('l') }}", ["l", "l", "l"]),
        ("{{ context.text | regex_replace('hello', 'goodbye') }}", "goodbye, world"),
        ("{{ 'x' | hmac('key') }}", hmac.new(b"key", b"x", "sha256").hexdigest()),
        ("{{ '2021-01-01' | to_datetime | timedelta(days=1) | strftime('%Y-%m-%d') }}", "2021-01-02"),
        ("{{ 'a=1&b=2&b=3' | url_qs }}", {"a": "1", "b": ["2", "3"]}),
        ("{{ 'yes' | to_bool }}", True),
        ("{{ nothing }}", None),
        ("{{ ''.__class__ }}", None),
        ("{% for each in request.body['items'] %}{{ each.n }},{% endfor %}", "1,2,"),
    ],
)
def test_a_template_gives_a_value(source, value):
    assert compiled(source).render(VALUES) == value


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("{{ request.__class__.__mro__ }}", "SecurityError|no plain value"),
        ("{{ context.list.append(1) }}", "SecurityError"),
        ("{{ 'x' * 1000000000 }}", "cannot be multiplied"),
        ("{{ 9 ** 9 ** 9 }}", "a power is too large"),
        ("{{ '%9999999999d' % 1 }}", "write texts one after the other"),
        ("{{ request.nothing.more }}", "UndefinedError: 'dict object' has no attribute 'nothing'"),
        ("{{ context.text | json }}", "JSONDecodeError in the template"),
    ],
)
def test_a_template_that_does_harm_fails_and_tells_no_values(source, why):
    with pytest.raises(TemplateFailed, match=why) as told:
        compiled(source).render(VALUES)

    assert "hello" not in str(told.value)


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% set n = namespace(x='xxxxx') %}{% for a in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}",
        "{{ 'x' | center(100000000000) }}",
    ],
)
async def test_what_runs_away_is_ended_and_others_go_on(source):
    rendering = Rendering(0.5)
    try:
        assert not compiled(source).at_once
        begun = time.monotonic()
        with pytest.raises(TemplateFailed, match=r"it took|it takes"):
            await rendering.render(source, VALUES, "value")
        assert await rendering.render("{{ request.body['items'] | map(attribute='n') | sum }}", VALUES, "value") == 3
        assert time.monotonic() - begun < 60
    finally:
        await rendering.close()


@pytest.mark.parametrize(
    "source",
    ["{{ a * 2 }}", "{% set a = 1 %}", "{% macro m() %}{% endmacro %}", "{{ a.format(1) }}", "{{ a | center(9) }}"],
)
def test_what_might_run_away_is_not_rendered_here(source):
    assert not compiled(source).at_once


def test_a_gateway_goes_on_while_a_template_runs_away(tmp_path):
    away = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    workflows = {
        "away": workflow(("set", setter("x", away))),
        "hello": workflow(("set", setter("*response*", {"body": "hello"}))),
    }
    routes = [
        {"route": f"/{name}", "method": "get", "workflow": name, "sync": True, "public": True} for name in workflows
    ]
    with serving(tmp_path, f"sqlite:///{tmp_path / 'store.db'}", document(workflows, routes)) as farm:
        with ThreadPoolExecutor(1) as pool:
            slow = pool.submit(farm.public, "/away")
            assert farm.public("/hello").text == "hello"
            assert slow.result(30).json()["reason"] == "workflow-failed"
        guid = next(
            each.facts["workflow"]["guid"] for each in farm.gate.wait_for_exchanges(2) if each.response.status == 500
        )
        assert "took longer than 1 s, and was ended" in farm.transaction(guid).json()["errors"][0]["message"]
