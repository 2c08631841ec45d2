"""What clients may ask for, and which calls share an answer."""

import pytest

from .places import FRESH, OLD, counting, status_of, validating


def test_a_client_that_has_what_is_kept_is_told_so(served):
    place = served.place((200, {**FRESH, "etag": '"v1"', "content-language": "en"}, "the body"))
    place.get()

    same, weak = place.get(if_none_match='"v0", "v1"'), place.get(if_none_match='W/"v1"')
    other, any_ = place.get(if_none_match='"v2"'), place.get(if_none_match="*")

    assert [answer.status_code for answer in (same, weak, any_, other)] == [304, 304, 304, 200]
    assert (same.content, same.headers["etag"], "content-language" in same.headers) == (b"", '"v1"', False)
    assert (other.text, place.calls) == ("the body", 1)


def test_a_client_with_a_date_is_told_likewise(served):
    place = served.place((200, {**FRESH, "last-modified": "Thu, 01 Jan 2015 00:00:00 GMT"}, "the body"))
    place.get()

    later = place.get(if_modified_since="Thu, 01 Jan 2016 00:00:00 GMT")
    earlier = place.get(if_modified_since="Thu, 01 Jan 2014 00:00:00 GMT")
    assert (later.status_code, earlier.status_code, place.calls) == (304, 200, 1)


def test_a_condition_of_the_client_is_the_backends_where_nothing_is_kept(served):
    place = served.place(validating)

    answer = place.get(if_none_match='"v1"')

    assert (answer.status_code, place.asked[0].header("if-none-match")) == (304, '"v1"')
    assert place.get().status_code == 200


def test_a_client_with_another_version_gets_what_was_validated_with_ours(served):
    place = served.place(validating)
    place.get()

    other, same = place.get(if_none_match='"mine"'), place.get(if_none_match='"v1"')

    assert (other.status_code, other.text, same.status_code) == (200, "the body", 304)
    assert [request.header("if-none-match") for request in place.asked] == [None, '"v1"']


# --- what clients want ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", ["no-cache", "max-age=0", "min-fresh=100", "no-store"])
def test_a_client_may_have_the_backend_asked(served, wanted):
    place, deaf = served.place(counting()), served.place(counting(), "deaf")
    for each in (place, deaf):
        each.get()

    assert place.get(cache_control=wanted).text == "answer 2"
    assert deaf.get(cache_control=wanted).text == "answer 1"


def test_pragma_counts_where_nothing_else_is_said(served):
    place = served.place(counting())
    place.get()

    assert place.get(pragma="no-cache").text == "answer 2"
    assert place.get(pragma="no-cache", cache_control="max-age=60").text == "answer 2"
    assert place.calls == 2


def test_only_if_cached_never_goes_to_the_backend(served):
    place = served.place(counting())

    missing = place.get(cache_control="only-if-cached")
    assert (missing.status_code, missing.json()["reason"], place.calls) == (504, "not-cached", 0)
    place.get()
    assert (place.get(cache_control="only-if-cached").text, place.calls) == ("answer 1", 1)


def test_a_client_may_take_what_is_stale_unless_the_backend_forbids_it(served):
    place = served.place(counting(OLD))
    forbidden = served.place(counting({**OLD, "cache-control": "max-age=60, must-revalidate"}))
    shared = served.place(counting({**OLD, "cache-control": "s-maxage=60"}))
    for each in (place, forbidden, shared):
        each.get()

    assert place.get(cache_control="max-stale").text == "answer 1"
    assert place.get(cache_control="max-stale=600").text == "answer 1"
    assert place.get(cache_control="max-stale=0").text == "answer 2"
    assert (forbidden.get(cache_control="max-stale").text, shared.get(cache_control="max-stale").text) == (
        "answer 2",
        "answer 2",
    )


# --- which answers belong to which calls ---------------------------------------------------------------------------


def test_answers_are_selected_by_what_vary_names(served):
    place = served.place(
        lambda request: (200, {**FRESH, "vary": "Accept-Language"}, request.header("accept-language") or "-")
    )

    assert [place.get(accept_language=each).text for each in ("de", "en", "de", "en")] == ["de", "en", "de", "en"]
    assert place.get(accept_language="fr").text == "fr"
    assert place.calls == 3
    assert status_of(place.get(accept_language="it")).startswith("fwd=vary-miss")


def test_a_header_that_the_gateway_may_have_written_selects_only_if_the_deployer_says_so(served):
    def answer(request):
        return 200, {**FRESH, "vary": "X-Client"}, request.header("x-client")

    unknown, known = served.place(answer), served.place(answer, "trusting")

    for each in (unknown, known):
        assert [each.get(x_client=name).text for name in ("a", "b", "a")] == ["a", "b", "a"]
    assert (unknown.calls, known.calls) == (3, 2)


def test_another_query_is_another_answer(served):
    place = served.place(counting())

    assert [place.get(query=each).text for each in ("?a=1", "?a=2", "?a=1")] == ["answer 1", "answer 2", "answer 1"]


def test_another_host_is_another_answer(served):
    place = served.place(counting())

    assert [place.get(host=each).text for each in ("a.test", "b.test", "A.TEST")] == [
        "answer 1",
        "answer 2",
        "answer 1",
    ]


def test_another_destination_is_another_answer(served):
    place = served.place((200, FRESH, "here"), "moved")
    served.backend.answer.said[f"/other{place.path}"] = (200, FRESH, "there")

    assert [place.get(x_to=each).text for each in ("backend", "other", "backend", "other")] == ["here", "there"] * 2
    assert place.calls == 1


def test_head_is_answered_from_what_get_has_brought_and_brings_nothing(served):
    place = served.place(counting())

    before = place.get("HEAD")
    whole = place.get()
    after = place.get("HEAD")

    assert (before.status_code, place.calls) == (200, 2)
    assert (after.status_code, after.content, after.headers["content-length"]) == (200, b"", "8")
    assert whole.text == "answer 1" or whole.text == "answer 2"


def test_parts_are_the_backends(served):
    place = served.place(lambda request: (206, {**FRESH, "content-range": "bytes 0-1/8"}, "an"))

    assert [place.get(range="bytes=0-1").status_code for _ in range(2)] == [206, 206]
    place.say((200, FRESH, "the body"))
    assert (place.get().text, place.get().text) == ("the body", "the body")
    place.say((206, {**FRESH, "content-range": "bytes 0-1/8"}, "th"))
    assert place.get(range="bytes=0-1").text == "th"


def test_a_get_with_a_body_is_none_of_ours(served):
    place = served.place(counting())

    answers = [served.gate.request("GET", place.path, content=b"question").text for _ in range(2)]
    assert answers == ["answer 1", "answer 2"]


# --- callers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("told", [{"authorization": "Bearer x"}, {"cookie": "session=1"}], ids=str)
def test_an_answer_for_somebody_is_nobody_elses_unless_the_backend_says_so(served, told):
    private, public = served.place(counting()), served.place(counting({"cache-control": "public, max-age=60"}))
    shared = served.place(counting({"cache-control": "s-maxage=60"}))
    between = served.place(counting({"cache-control": "max-age=60, must-revalidate"}))

    for place in (private, public, shared, between):
        place.get(**told), place.get(**told)
    assert [place.calls for place in (private, public, shared, between)] == [2, 1, 1, 2]


def test_an_answer_for_nobody_is_not_given_to_somebody(served):
    place = served.place(counting())

    assert [place.get().text, place.get(authorization="Bearer x").text, place.get().text] == [
        "answer 1",
        "answer 2",
        "answer 1",
    ]


def test_each_caller_has_answers_of_its_own_where_the_deployer_says_so(served):
    place = served.place(lambda request: (200, FRESH, f"for {request.header('authorization')}"), "caller")

    assert [place.get(authorization=each).text for each in "aabab"] == ["for a", "for a", "for b", "for a", "for b"]
    assert place.calls == 2


def test_all_share_what_the_deployer_says_they_may(served):
    place = served.place(counting({}), "shared")

    assert [place.get(authorization=each).text for each in "ab"] == ["answer 1", "answer 1"]


def test_each_value_of_the_key_has_answers_of_its_own(served):
    place = served.place(lambda request: (200, FRESH, f"for {request.header('x-tenant')}"), "key")

    assert [place.get(x_tenant=each, authorization="x").text for each in "aabab"] == [
        *("for a", "for a", "for b", "for a", "for b")
    ]
    assert place.calls == 2


def test_nothing_is_kept_where_a_step_right_of_it_lets_callers_in(served):
    place = served.place(counting({"cache-control": "public, max-age=60"}), "ahead")

    assert [place.get(x_api_key=each).status_code for each in ("key-of-ann", "wrong", "key-of-ann")] == [200, 401, 200]
    assert (place.get().status_code, place.calls) == (401, 2)
    assert "caller-found-out-later" in status_of(place.get(x_api_key="key-of-ann"))


@pytest.mark.row("KC-72")
def test_who_is_not_let_in_gets_nothing_that_is_kept(served):
    place = served.place(counting({"cache-control": "public, max-age=60"}), "guarded")

    known = [served.gate.request("GET", place.path, auth=each) for each in (("ann", "a"), ("bob", "b"))]
    refused = [place.get(), served.gate.request("GET", place.path, auth=("ann", "wrong"))]

    assert [answer.text for answer in known] == ["answer 1", "answer 1"]
    assert [answer.status_code for answer in refused] == [401, 401]
    assert not any("answer" in answer.text for answer in refused)


def test_what_an_identity_got_stays_with_it(served):
    place = served.place(counting({}), "guarded")

    for each in (("ann", "a"), ("bob", "b"), ("ann", "a")):
        served.gate.request("GET", place.path, auth=each)
    assert place.calls == 3
